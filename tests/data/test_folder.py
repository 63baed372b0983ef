import os
import shutil

import numpy as np
import pytest

from mlproject.data import load_images
from mlproject.errors import BadInput, DigestMismatch, WrongUse

from .pictures import encoded, fill, picture


def reasons(images):
    return {skipped.id: skipped.reason for skipped in images.skipped}


def test_a_flat_folder_is_one_class_in_numeric_order(tmp_path):
    folder = fill(tmp_path / "tench", ["10.png", "2.png", "1.png"])
    images = load_images(str(folder))
    assert images.ids == ("1.png", "2.png", "10.png")
    assert (images.name, images.classes) == ("tench", ("tench",))
    np.testing.assert_array_equal(images.read(1), np.asarray(picture(1)))


def test_subfolders_are_classes(tmp_path):
    images = load_images(str(fill(tmp_path, ["dog/1.png", "cat/1.png", "cat/more/2.png"])))
    assert images.classes == ("cat", "dog")
    assert images.ids == ("cat/1.png", "cat/more/2.png", "dog/1.png")
    assert images.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("evaluation", ["test", "val", "eval"])
def test_train_and_test_folders_are_the_split(tmp_path, evaluation):
    fill(tmp_path, ["train/cat/1.png", "train/dog/1.png", f"{evaluation}/cat/1.png"])
    images = load_images(str(tmp_path))
    assert images.classes == ("cat", "dog")
    held_out = {id_ for id_, held in zip(images.ids, images.held_out, strict=True) if held}
    assert held_out == {f"{evaluation}/cat/1.png"}


def test_a_third_split_is_left_out_and_counted(tmp_path):
    fill(tmp_path, ["train/1.png", "test/1.png", "val/1.png", "val/2.png"])
    images = load_images(str(tmp_path))
    assert images.ids == ("test/1.png", "train/1.png")
    assert reasons(images) == {"(outside of train/ and test/)": "2 images, in no split"}


def test_train_alone_is_split_by_content(tmp_path):
    images = load_images(str(fill(tmp_path, [f"train/cat/{i}.png" for i in range(5)])))
    assert (images.classes, images.n_held_out) == (("cat",), 1)


def test_a_fifth_of_each_class_is_held_out_by_content(tmp_path):
    fill(tmp_path, [f"{name}/{i}.png" for name in "ab" for i in range(10)])
    before = load_images(str(tmp_path))
    assert np.bincount(before.labels[before.held_out]).tolist() == [2, 2]
    fill(tmp_path, [f"a/{i}.png" for i in range(10, 15)], first_seed=100)
    after = load_images(str(tmp_path))
    moved = [
        id_
        for id_, held in zip(before.ids, before.held_out, strict=True)
        if after.held_out[after.ids.index(id_)] != held
    ]
    assert np.bincount(after.labels[after.held_out]).tolist() == [3, 2]
    assert len(moved) <= 2


def test_too_few_images_leave_none_to_hold_out(tmp_path):
    assert load_images(str(fill(tmp_path, ["a/1.png", "a/2.png", "b/1.png"]))).n_held_out == 0


def test_the_digest_stays_when_the_folder_moves_and_changes_with_a_file(tmp_path):
    here = load_images(str(fill(tmp_path / "here", ["1.png", "2.png"]))).digest
    shutil.move(tmp_path / "here", tmp_path / "there")
    there = tmp_path / "there"
    assert load_images(str(there)).digest == here
    (there / "2.png").write_bytes(encoded(picture(9)))
    assert load_images(str(there)).digest != here


def test_a_file_that_changes_after_loading_is_not_used(tmp_path):
    images = load_images(str(fill(tmp_path, ["1.png", "2.png"])))
    (tmp_path / "1.png").write_bytes(encoded(picture(9)))
    (tmp_path / "2.png").unlink()
    with pytest.raises(DigestMismatch, match=r"1\.png changed"):
        images.read(0)
    with pytest.raises(DigestMismatch, match=r"2\.png is no longer"):
        images.read(1)


def test_a_relative_folder_is_still_found_after_a_change_of_directory(tmp_path, monkeypatch):
    fill(tmp_path / "pictures", ["1.png"])
    monkeypatch.chdir(tmp_path)
    images = load_images("pictures")
    monkeypatch.chdir("/")
    assert images.read(0).shape == (4, 6, 3)


def bad_folder(tmp_path):
    fill(tmp_path, ["1.png", "2.png"])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.jpg").write_bytes(encoded(picture(size=(64, 64)), "JPEG")[:400])
    return tmp_path


def test_bad_images_are_refused_before_anything_else_naming_count_and_reasons(tmp_path):
    with pytest.raises(BadInput) as refusal:
        load_images(str(bad_folder(tmp_path)), max_bad=2)
    message = str(refusal.value)
    assert "3 of 5 images" in message
    assert "empty.png: empty file" in message
    assert message.endswith("leave them out with max_bad=3")
    assert "\n" not in message


def test_as_many_bad_images_as_allowed_are_left_out_and_named(tmp_path):
    images = load_images(str(bad_folder(tmp_path)), max_bad=3)
    assert images.ids == ("1.png", "2.png")
    assert {skipped.id for skipped in images.skipped if skipped.bad} == {"cut.jpg", "empty.png", "text.png"}


def test_a_duplicate_is_left_out_and_names_the_one_that_stays(tmp_path):
    fill(tmp_path, ["a/2.png", "b/1.png"])
    shutil.copy(tmp_path / "a/2.png", tmp_path / "a/10.png")
    shutil.copy(tmp_path / "a/2.png", tmp_path / "b/2.png")
    images = load_images(str(tmp_path))
    assert images.ids == ("a/2.png", "b/1.png")
    assert reasons(images) == {"a/10.png": "duplicate of a/2.png", "b/2.png": "duplicate of a/2.png"}


def test_links_pipes_and_hidden_and_other_files_are_passed_over(tmp_path):
    folder = fill(tmp_path / "in", ["1.png", ".hidden.png", "._1.png"])
    outside = fill(tmp_path / "out", ["secret.png"], first_seed=50)
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.TXT").touch()
    (folder / "nothing").mkdir()
    images = load_images(str(folder))
    assert images.ids == ("1.png",)
    assert reasons(images) == {
        "link.png": "symbolic link, not followed",
        "loop": "symbolic link, not followed",
        "pipe.png": "not a plain file",
        "nothing/": "no images in it",
        ".*": "2 hidden",
        "*.txt": "1 not named as images",
    }


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["A.png", "a.png"], "'A.png' and 'a.png'"),
        (["é.png", "e\u0301.png"], r"'e\\u0301.png' and '\\xe9.png'"),
    ],
)
def test_names_that_are_one_on_other_disks_are_refused_naming_both(tmp_path, names, what):
    with pytest.raises(BadInput, match=f"have one name: {what}"):
        load_images(str(fill(tmp_path, names)))


def test_images_at_two_levels_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"beside and inside class folders.*1\.png, cat/2\.png"):
        load_images(str(fill(tmp_path, ["1.png", "cat/2.png"])))


def test_names_that_are_not_text_become_printable_ids(tmp_path):
    content = encoded(picture())
    with open(os.fsencode(tmp_path) + b"/a\xff\n%.png", "wb") as file:
        file.write(content)
    assert load_images(str(tmp_path)).ids == ("a%FF%0A%25.png",)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadInput, match=f"no images in {tmp_path}"):
        load_images(str(tmp_path))


@pytest.mark.parametrize("spec", ["missing/folder", "./missing", "/dev/null", "./a\0b"])
def test_what_is_no_folder_is_refused_in_one_line(tmp_path, monkeypatch, spec):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="cannot read the folder") as refusal:
        load_images(spec)
    assert "\n" not in str(refusal.value)


def test_an_unknown_name_is_refused_with_near_names():
    with pytest.raises(WrongUse, match=r"unknown data set or folder 'embeded'; did you mean embedded\?"):
        load_images("embeded")
