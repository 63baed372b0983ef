"""Tar shards and tables of images, made from embedded photographs."""

import io
import json
import tarfile
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mlproject.data import encoded, load_images, manifest
from mlproject.data.shards import split_of_shard
from mlproject.data.table_shards import _group
from mlproject.errors import BadInput, DigestMismatch

N = 8
SUFFIXES = (".tar", ".parquet", ".arrow")
FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["top", "shoe"]}}
METADATA = {"huggingface": json.dumps({"info": {"features": FEATURES}})}


@pytest.fixture(scope="module")
def photographs():
    """2 N encoded pictures; those of odd numbers are of class 1."""
    source, pictures = load_images("embedded"), []
    for index in range(2 * N):
        file = io.BytesIO()
        Image.fromarray(source.read(index)).save(file, "PNG")
        pictures.append(file.getvalue())
    return pictures


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(manifest, "UNSETTLED_NS", -1_000_000_000_000)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def write_tar(path, members):
    """Members by name: bytes, or text of a label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            file = io.BytesIO(content if isinstance(content, bytes) else content.encode())
            info.size = len(file.getvalue())
            tar.addfile(info, file)


def samples(pictures, first=0, ending="cls", label=str):
    members = {}
    for i, content in enumerate(pictures, first):
        members |= {f"{i:04d}.png": content, f"{i:04d}.{ending}": label(i % 2)}
    return members


def table(pictures, metadata=METADATA, labels=None):
    values = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(pictures)]
    image = pa.array(values, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    numbers = pa.array(labels or [i % 2 for i in range(len(pictures))])
    return pa.table({"image": image, "label": numbers}).replace_schema_metadata(metadata)


def save_to_disk(folder, content):
    """The files that ``Dataset.save_to_disk`` of Hugging Face's ``datasets`` writes."""
    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, content.schema) as stream:
        stream.write_table(content, max_chunksize=3)
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}], "_split": "train"}))


def write_tars(folder, photographs):
    write_tar(folder / "set-train-000000.tar", samples(photographs[:4]))
    write_tar(folder / "set-train-000001.tar", samples(photographs[4:N], first=4))
    write_tar(folder / "set-val-000000.tar", samples(photographs[N:]))
    (folder / "classes.txt").write_text("top\nshoe\n")


def write_parquet(folder, photographs):
    (folder / "data").mkdir()
    name = "00000-of-00001.parquet"
    pq.write_table(table(photographs[:N]), folder / "data" / f"train-{name}", row_group_size=3)
    pq.write_table(table(photographs[N:]), folder / "data" / f"test-{name}")


def write_arrow(folder, photographs):
    save_to_disk(folder / "train", table(photographs[:N]))
    save_to_disk(folder / "test", table(photographs[N:]))
    (folder / "train" / "cache-1f.arrow").write_bytes(b"a file that the set does not name")
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')


LAYOUTS = [write_tars, write_parquet, write_arrow]


@pytest.mark.parametrize("write", LAYOUTS)
def test_shards_are_a_data_set_with_splits_and_named_classes(folder, photographs, write, monkeypatch):
    write(folder, photographs)
    images = load_images(str(folder))
    assert images.classes == ("top", "shoe")
    assert (len(images), images.n_held_out) == (2 * N, N)
    held = [i for i in range(2 * N) if images.held_out[i]]
    assert images.labels[held].tolist() == [0, 1] * (N // 2)
    source = load_images("embedded")
    for place, index in enumerate(held):
        np.testing.assert_array_equal(images.read(index), source.read(N + place))

    def never(*_, **__):
        raise AssertionError("a picture is decoded again")

    sent = ForkingPickler.loads(ForkingPickler.dumps(images))  # to another process
    np.testing.assert_array_equal(sent.read(1), images.read(1))
    monkeypatch.setattr(encoded, "_verdict", never)
    assert load_images(str(folder)).digest == images.digest


@pytest.mark.parametrize("write", LAYOUTS)
def test_a_shard_that_changes_after_it_was_loaded_ends_the_run(folder, photographs, write):
    write(folder, photographs)
    images = load_images(str(folder))
    for path in folder.rglob("*"):
        if path.suffix in SUFFIXES:
            path.write_bytes(bytes(path.stat().st_size))
    _group.cache_clear()
    with pytest.raises(DigestMismatch, match=r"changed after it was loaded|no longer what was loaded"):
        images.read(0)


@pytest.mark.parametrize("write", LAYOUTS)
def test_a_truncated_shard_is_refused_in_one_line(folder, photographs, write):
    write(folder, photographs)
    shards = (path for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES)
    path = next(
        path for path in shards if "train" in str(path.relative_to(folder)) and "cache" not in path.name
    )
    content = path.read_bytes()
    for n_bytes in (len(content.rstrip(b"\0")) - 1, len(content) // 2, 700, 3, 0):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(BadInput, match=rf"{path.name} is (truncated or )?damaged.*again") as refusal:
            load_images(str(folder))
        assert "\n" not in str(refusal.value)


def test_every_truncation_of_a_tar_is_noticed(tmp_path, photographs):
    path = tmp_path / "a.tar"
    write_tar(path, samples(photographs[:2]))
    content = path.read_bytes()
    last = content.rstrip(b"\0")
    for n_bytes in range(0, len(last), 256):
        path.write_bytes(content[:n_bytes])
        with pytest.raises(BadInput, match="truncated or damaged after"):
            load_images(str(path))


def test_a_tar_damaged_at_a_header_in_the_middle_is_not_taken_as_a_shorter_one(tmp_path, photographs):
    path = tmp_path / "a.tar"
    write_tar(path, samples(photographs[:4]))
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        content[tar.getmembers()[4].offset + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="truncated or damaged after 4 members"):
        load_images(str(path))


def test_a_tar_with_a_hole_in_it_and_joined_ones_are_not_taken_as_shorter_ones(tmp_path, photographs):
    path = tmp_path / "a.tar"
    write_tar(path, samples(photographs[:4]))
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        hole = tar.getmembers()[4].offset
    path.write_bytes(whole[:hole] + bytes(4096) + whole[hole + 4096 :])
    with pytest.raises(BadInput, match="holds more behind its end, after 4 members"):
        load_images(str(path))
    path.write_bytes(whole + whole)
    with pytest.raises(BadInput, match="several archives were joined"):
        load_images(str(path))


def test_a_numbered_shard_that_is_not_there_is_named_where_the_folder_is_read(folder, photographs):
    write_parquet(folder, photographs)
    path = next(folder.rglob("*train*.parquet"))
    part = path.with_name("train-00000-of-00003.parquet")
    path.rename(part)
    with pytest.raises(BadInput, match=r"lacks 2 of the 3 shards .*first: .*train-00001-of-00003.parquet"):
        load_images(str(folder))
    assert len(load_images(str(part))) > 0


def test_shards_themselves_are_not_listed_among_what_was_left_out(folder, photographs):
    write_tars(folder, photographs)
    (folder / "notes.md").write_text("words")
    others = {skipped.id for skipped in load_images(str(folder)).skipped}
    assert "*.md" in others
    assert "*.tar" not in others


def test_compressed_shards_are_refused_with_the_remedy(tmp_path, photographs):
    with tarfile.open(tmp_path / "a.tar", "w:gz"):
        pass
    with pytest.raises(BadInput, match=r"a\.tar is compressed, .*unpack it to \.tar"):
        load_images(str(tmp_path / "a.tar"))
    content = table(photographs[:2])
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), content.schema, options=options) as stream:
        stream.write_table(content)
    with pytest.raises(BadInput, match=r"a\.arrow is compressed, .*save it uncompressed"):
        load_images(str(tmp_path / "a.arrow"))


@pytest.mark.parametrize(
    ("ending", "label", "classes"),
    [
        ("cls", str, ("0", "1")),
        ("txt", lambda i: ["cat", "dog"][i], ("cat", "dog")),
        ("json", lambda i: json.dumps({"caption": "x", "label": i}), ("0", "1")),
        ("json", lambda i: json.dumps({"class_name": ["cat", "dog"][i]}), ("cat", "dog")),
    ],
)
def test_labels_of_tar_shards_are_numbers_or_names(tmp_path, photographs, ending, label, classes):
    write_tar(tmp_path / "a.tar", samples(photographs[:N], ending=ending, label=label))
    images = load_images(str(tmp_path / "a.tar"))
    assert images.classes == classes
    assert images.labels.tolist() == [0, 1] * (N // 2)


BAD_SAMPLES = {
    "is no image": ({"9.png": b"no", "9.cls": "0"}, "not an image"),
    "has no label": ({"9.png": b"+"}, "has no label, as others have"),
    "has an empty label": ({"9.png": b"+", "9.cls": " "}, r"its \.cls holds no label"),
    "has a broken label": ({"9.png": b"+", "9.json": "{"}, r"its label \.json cannot be read"),
    "has a caption": (
        {"9.png": b"+", "9.txt": "a word " * 90},
        r"its label \.txt is a text of 629 characters",
    ),
    "has two pictures": ({"9.png": b"+", "9.jpg": b"+", "9.cls": "0"}, "2 pictures of one key"),
    "is of no class": ({"9.png": b"+", "9.cls": "7"}, r"label 7, of 2 classes \(from 0\)"),
}


@pytest.mark.parametrize("what", BAD_SAMPLES)
def test_a_bad_sample_of_a_tar_is_named_with_its_reason(folder, photographs, what):
    members, reason = BAD_SAMPLES[what]
    members = {name: photographs[N] if content == b"+" else content for name, content in members.items()}
    write_tar(folder / "a.tar", samples(photographs[:4]) | members)
    (folder / "classes.txt").write_text("top\nshoe\n")
    with pytest.raises(BadInput, match=rf"1 of 5 images .* \(a/9: .*{reason}.*max_bad=1"):
        load_images(str(folder))
    assert len(load_images(str(folder), max_bad=1)) == 4


@pytest.mark.parametrize(
    "pattern", ["*-train-*.tar", "set-train-{000000..000001}.tar", "{set-train-000000,set-train-000001}.tar"]
)
def test_a_pattern_names_shards(folder, photographs, pattern):
    write_tars(folder, photographs)
    images = load_images(str(folder / pattern))
    assert len(images) == N
    assert images.classes == ("top", "shoe")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none-*.tar", "no shards match"),
        ("set-train-{000000..000003}.tar", "cannot read the shard .*set-train-000002.tar': No such file"),
        ("{0..9999999}.tar", "names over 100,000 shards"),
        ("gone.tar", "cannot read the shard .*gone.tar': No such file"),
    ],
)
def test_shards_that_are_not_there_are_named(folder, photographs, pattern, message):
    write_tars(folder, photographs)
    with pytest.raises(BadInput, match=message):
        load_images(str(folder / pattern))


def test_shards_of_two_kinds_are_refused(folder, photographs):
    write_tars(folder, photographs)
    write_parquet(folder, photographs)
    with pytest.raises(
        BadInput, match=r"holds shards of 2 kinds \(\.parquet, \.tar\); name one kind by a pattern"
    ):
        load_images(str(folder))


def test_a_held_out_split_without_labels_is_not_taken(folder, photographs):
    write_parquet(folder, photographs)
    name = "data/test-00000-of-00001.parquet"
    pq.write_table(table(photographs[N:12]), folder / name.replace("test", "validation"))
    pq.write_table(table(photographs[12:], labels=[-1] * 4), folder / name)
    images = load_images(str(folder))
    assert images.n_held_out == 4
    assert "not read: without labels" in {skipped.reason for skipped in images.skipped}


def test_columns_without_metadata_are_known_by_type_and_name(tmp_path, photographs):
    columns = {"id": range(4), "img": photographs[:4], "class": ["cat", "dog"] * 2}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    images = load_images(str(tmp_path / "a.parquet"))
    assert (images.ids, images.classes) == (("a/0", "a/1", "a/2", "a/3"), ("cat", "dog"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1]}, r"has no column of pictures .*: x"),
        ({"a": [b"1"], "b": [b"2"]}, r"has 2 columns of pictures \(a, b\); name one image"),
    ],
)
def test_a_table_without_one_column_of_pictures_is_refused(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=message):
        load_images(str(tmp_path / "a.parquet"))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_pictures_that_are_only_paths_are_bad(tmp_path, photographs, kind):
    content = table([None, *photographs[1:4]])
    if kind == "parquet":
        pq.write_table(content, tmp_path / "a.parquet")
    else:
        with pa.ipc.new_stream(str(tmp_path / "a.arrow"), content.schema) as stream:
            stream.write_table(content)
    with pytest.raises(BadInput, match=r"1 of 4 images .* \(a/0: holds no bytes, only a path"):
        load_images(str(tmp_path / f"a.{kind}"))


def test_a_group_of_rows_of_parquet_is_read_once_for_all_its_pictures(folder, photographs):
    write_parquet(folder, photographs)
    images = load_images(str(folder))
    _group.cache_clear()
    for index in range(len(images)):
        images.read(index)
    assert _group.cache_info().misses == 4


def test_a_file_that_the_state_of_a_saved_set_names_must_be_there(folder, photographs):
    write_arrow(folder, photographs)
    state = folder / "train" / "state.json"
    state.write_text(state.read_text().replace("data-0", "other-0"))
    with pytest.raises(BadInput, match=r"other-00000-of-00001\.arrow is missing, which state\.json"):
        load_images(str(folder))
    state.write_text("{}")
    with pytest.raises(BadInput, match=r"state\.json cannot be read as the state of a saved data set"):
        load_images(str(folder))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00010.parquet", "train"),
        ("imagenet1k-validation-007.tar", "val"),
        ("train/data-00000-of-00001.arrow", "train"),
        ("val2017.tar", "val"),
        ("shard_TEST_0001.tar", "test"),
        ("dev/0000.parquet", "val"),
        ("00001.tar", None),
        ("trainer/1.tar", None),
    ],
)
def test_the_split_of_a_shard_is_a_word_of_its_path(path, split):
    assert split_of_shard(path) == split
