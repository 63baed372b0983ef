import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlproject.data import encoded, load_images, manifest
from mlproject.data.manifest import Row, Stamp
from mlproject.errors import DigestMismatch, MLProjectError

from .pictures import encoded as png_of
from .pictures import fill, picture

NAMES = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(4)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose manifest is kept at once, in a cache of its own."""
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(manifest, "UNSETTLED_NS", -1_000_000_000_000)
    return fill(tmp_path / "data", NAMES)


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that were decoded."""
    paths: list[str] = []
    verdict = encoded._verdict

    def noted(place, **how):
        paths.append(Path(place[0]).name)
        return verdict(place, **how)

    monkeypatch.setattr(encoded, "_verdict", noted)
    return paths


def manifests(folder):
    return list((folder.parent / "cache").glob("manifest-*.arrow"))


def test_the_second_start_opens_no_file_and_gives_the_same_set(folder, opened):
    first = load_images(str(folder))
    assert len(opened) == 8
    second = load_images(str(folder))
    assert len(opened) == 8
    assert (second.digest, second.classes, second.skipped) == (first.digest, first.classes, first.skipped)


def test_only_new_and_changed_files_are_opened_and_removed_ones_are_gone(folder, opened):
    load_images(str(folder))
    opened.clear()
    fill(folder, ["cat/new.png"], first_seed=50)
    (folder / "dog/0.png").write_bytes(png_of(picture(60)))
    (folder / "cat/3.png").unlink()
    images = load_images(str(folder))
    assert sorted(opened) == ["0.png", "new.png"]
    assert "cat/new.png" in images.ids
    assert "cat/3.png" not in images.ids
    assert images.digest == load_images(str(folder), verify="full").digest


def test_a_file_changed_under_its_old_size_and_time_is_noticed(folder):
    path = folder / "dog/0.png"
    load_images(str(folder))
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\0")  # of the same length, damaged
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_images(str(folder), max_bad=1).skipped[0].id == "dog/0.png"


def test_label_maps_have_manifests_too_apart_from_those_of_pictures_alone(folder, opened):
    shutil.copytree(folder, folder / "images")
    for path in (folder / "images").rglob("*.png"):
        label_map = folder / "masks" / path.relative_to(folder / "images")
        label_map.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array([[0, 1, 0, 1, 0, 1]] * 4, np.uint8)).save(label_map)
    for name in ("cat", "dog"):
        shutil.rmtree(folder / name)
    load_images(str(folder / "images"))
    first = load_images(str(folder))
    assert len(opened) == 3 * 8
    opened.clear()
    second = load_images(str(folder))
    assert opened == []
    assert (second.digest, second.classes) == (first.digest, ("0", "1"))
    np.testing.assert_array_equal(second.read_map(0), [[0, 1, 0, 1, 0, 1]] * 4)
    load_images(str(folder), verify="full")
    assert len(opened) == 2 * 8


def test_bad_files_stay_bad_with_their_reason(folder, opened):
    (folder / "cat/0.png").write_bytes(b"no image")
    first = load_images(str(folder), max_bad=1)
    opened.clear()
    assert load_images(str(folder), max_bad=1).skipped == first.skipped
    assert opened == []


def test_a_renamed_folder_is_read_once_more_and_is_the_same_set(folder, opened):
    digest = load_images(str(folder)).digest
    opened.clear()
    renamed = load_images(str(folder.rename(folder.with_name("other"))))
    assert (renamed.digest, len(opened)) == (digest, 8)


def test_full_verification_reads_every_file_again(folder, opened):
    load_images(str(folder))
    opened.clear()
    load_images(str(folder), verify="full")
    assert len(opened) == 8


def test_files_that_changed_just_now_are_not_taken_from_the_manifest(folder, opened, monkeypatch):
    monkeypatch.setattr(manifest, "UNSETTLED_NS", 2_000_000_000)
    load_images(str(folder))
    opened.clear()
    load_images(str(folder))
    assert len(opened) == 8


def test_pixels_that_are_not_those_of_the_manifest_end_the_run_and_the_manifest(folder):
    load_images(str(folder))
    images = load_images(str(folder))
    (folder / "cat/0.png").write_bytes(png_of(picture(70)))
    with pytest.raises(DigestMismatch, match=r"cat/0\.png changed after it was loaded; start again"):
        images.read(0)
    assert manifests(folder) == []


def cut(content):
    return content[: len(content) // 2]


def flip(content):
    return content[:50] + bytes([content[50] ^ 1]) + content[51:]


@pytest.mark.parametrize("damage", [cut, flip, lambda content: b"", lambda content: content[32:]])
def test_a_damaged_manifest_is_reported_and_built_again(folder, opened, caplog, damage):
    digest = load_images(str(folder)).digest
    (path,) = manifests(folder)
    path.write_bytes(damage(path.read_bytes()))
    opened.clear()
    with caplog.at_level(logging.WARNING):
        assert load_images(str(folder)).digest == digest
    assert len(opened) == 8
    (line,) = caplog.messages
    assert "is damaged" in line
    opened.clear()
    load_images(str(folder))
    assert opened == []


def test_a_manifest_of_another_folder_counts_for_nothing(folder, opened, caplog):
    load_images(str(folder))
    (path,) = manifests(folder)
    other = fill(folder.with_name("other"), NAMES, first_seed=20)
    path.rename(manifest.manifest_path(str(other)))
    opened.clear()
    load_images(str(other))
    assert len(opened) == 8
    assert "is damaged" in caplog.text


def test_a_manifest_that_cannot_be_written_costs_a_line_and_nothing_else(folder, caplog):
    cache = folder.parent / "cache"
    cache.write_text("in the way of the folder")
    assert len(load_images(str(folder))) == 8
    assert "no manifest of" in caplog.text
    assert "the next start reads its files again" in caplog.text


def test_a_full_disk_while_the_manifest_is_written_costs_a_line_and_leaves_no_part(
    folder, caplog, monkeypatch
):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlproject.files.os.fsync", full)
    assert len(load_images(str(folder))) == 8
    assert "no room: " in caplog.text
    assert list((folder.parent / "cache").glob("*")) == []


def test_many_files_are_read_by_several_processes_with_the_same_result(folder, monkeypatch):
    digest = load_images(str(folder)).digest
    monkeypatch.setattr(encoded, "ENOUGH", 1)
    monkeypatch.setattr(encoded, "BATCH", 3)
    assert load_images(str(folder), verify="full").digest == digest


def die(batch, judge):
    os.kill(os.getpid(), 9)


def test_a_reading_process_that_is_killed_ends_the_start_in_one_line(folder, monkeypatch):
    monkeypatch.setattr(encoded, "ENOUGH", 1)
    monkeypatch.setattr(encoded, "_look", die)
    with pytest.raises(MLProjectError, match=r"a process that read pictures of .*/data was killed"):
        load_images(str(folder))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
ROWS = st.builds(Row, TEXTS, TEXTS, NUMBERS, NUMBERS, TEXTS, TEXTS)
FILES = st.tuples(
    st.builds(Stamp, NUMBERS, NUMBERS, NUMBERS), st.lists(ROWS, min_size=1, max_size=3).map(tuple)
)


@settings(max_examples=25)
@given(st.dictionaries(st.binary(min_size=1, max_size=6).map(os.fsdecode), FILES, max_size=4))
def test_a_manifest_gives_back_what_was_kept(known):
    assert manifest._unpacked(manifest._packed(known)) == known


def test_an_unknown_table_is_no_manifest():
    table, sink = pa.table({"path": ["a"]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(ValueError, match="it has columns path"):
        manifest._unpacked(memoryview(sink.getvalue()))
