import os
import shutil

import numpy as np
import pytest

from mlproject.data import label_map_names, load_images
from mlproject.data.layout import plain
from mlproject.errors import BadInput, DigestMismatch, WrongUse

from .pictures import encoded, fill, picture

NO_IMAGE = "not an image (none of PNG, JPEG, WEBP, BMP, GIF, TIFF)"


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


SPLITS = [
    ("train", "test"),
    ("train", "val"),
    ("train", "eval"),
    ("Train", "Validation"),
    ("TRAINING", "testing"),
]
SPLITS += [
    ("trn", "tst"),
    ("TRAIN2017", "VAL2017"),
    ("training", "validation"),
    ("learn", "vali"),
    ("train_set", "test-set"),
    ("train2017", "val2017"),
    ("01_train", "02_valid"),
]
SPLITS += [
    ("Training Images", "Test Images"),
    ("trainset", "devset"),
    ("train.data", "hold-out"),
    ("train ", "dev"),
]


@pytest.mark.parametrize(("train", "evaluation"), SPLITS)
def test_folders_named_after_splits_are_the_split(tmp_path, train, evaluation):
    fill(tmp_path, [f"{train}/cat/1.png", f"{train}/dog/1.png", f"{evaluation}/cat/1.png"])
    images = load_images(str(tmp_path))
    assert images.classes == ("cat", "dog")
    held_out = {id_ for id_, held in zip(images.ids, images.held_out, strict=True) if held}
    assert held_out == {f"{evaluation}/cat/1.png"}


def test_of_two_folders_that_are_held_out_test_is_taken(tmp_path):
    images = load_images(str(fill(tmp_path, ["training/1.png", "Validation/2.png", "Testing/3.png"])))
    assert images.ids == ("Testing/3.png", "training/1.png")


TREES = {
    ("train/cat/1", "train/dog/2", "Training/cat/3", "test/cat/4"): "Training/ and train/ .* one split",
    ("train/1", "test/2", "testing/3"): "test/ and testing/ .* one split",
    ("training/1", "train/2"): "both look like one split",
    ("test/1", "validation/2"): "there is no train/ beside it",
    ("val/cat/1", "val/dog/2"): "val/ of .*: looks like a split, .* or give .*val",
    ("train/cat/1", "unseen/cat/2"): "train/ and unseen/ .* not classes: both hold cat/",
    ("train/cat/1", "train/dog/2", "other/cat/3", "other/dog/4"): "not classes: both hold cat/ and dog/",
    ("fold_1/cat/1", "fold_2/cat/2"): "fold_1/ and fold_2/ .* not classes",
    ("trainA/horse/1", "my_train_v2/horse/2"): "not classes: both hold horse/",
    ("cat/train/1", "cat/test/2", "dog/train/3"): r"cat/train and cat/test .* put train/ and test/ above",
    ("data/Train/cat/1", "data/Valid/cat/2"): r"data/Train and data/Valid .* are splits; give .*data",
    (
        "train/images/1",
        "train/masks/2",
        "test/images/3",
        "test/masks/4",
    ): "images/ and masks/ .* not two",
    ("1/photos/a", "train/imgs/1", "val/imgs/2", "train/Annotations/3"): "imgs/ and Annotations/",
    ("train/1", "train_masks/1_mask"): "train/ and train_masks/ .* are pictures and label maps",
    ("train/1", "trainannot/1", "test/2", "testannot/2"): "train/ and trainannot/ .* label maps",
    ("CameraRGB/1", "CameraSeg/1"): "CameraRGB/ and CameraSeg/ .* label maps",
    ("1/images/a", "1/masks/a", "2/images/b", "2/masks/b"): "images/ and masks/ in .*/[12] are pictures",
    ("images/1", "labels/1", "masks/1"): "labels/ and masks/ beside images/ may both",
    ("cat/1", "cat/1_mask", "dog/2"): "1_mask beside 1 in .*/cat looks like its label map",
    ("1", "2", "gt-2"): "gt-2 beside 2 in .* looks like its label map",
    ("seg_train/x/1", "seg_test/x/2", "seg_pred/3"): "seg_test/ and seg_train/ .* look like splits",
    ("cats_train/1", "cats_test/2", "dogs_train/3"): "cats_test/ and cats_train/ .* look like splits",
    ("xtrain/cat/1", "xval/dog/2"): "xtrain/ and xval/ .* look like splits",
    (
        "train/cat/1",
        "train/dog/2",
        "cat/3",
        "dog/4",
    ): "train/ .* looks like a split, .* cat/ and dog/ lie in it",
}


@pytest.mark.parametrize("names", TREES)
def test_trees_that_look_like_splits_or_label_maps_are_refused_by_name(tmp_path, names):
    fill(tmp_path, [f"{name}.png" for name in names])
    with pytest.raises(BadInput, match=TREES[names]) as refusal:
        load_images(str(tmp_path))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["train/1", "bus/2", "car/3"], ("bus", "car", "train")),
        (["valid/1", "invalid/2"], ("invalid", "valid")),
        (["benign/40X/1", "malignant/40X/2"], ("benign", "malignant")),
        (["test/1", "control/2"], ("control", "test")),
        (["photos/1", "drawings/2"], ("drawings", "photos")),
        (["face/1", "face_mask/2"], ("face", "face_mask")),
        (["1/a", "mask/b"], ("1", "mask")),
        (["segway/1", "way/2"], ("segway", "way")),
        (["contest/1", "convalley/2"], ("contest", "convalley")),
    ],
)
def test_classes_that_are_named_like_a_split_stay_classes(tmp_path, names, classes):
    assert load_images(str(fill(tmp_path, [f"{name}.png" for name in names]))).classes == classes


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
    images = load_images(str(tmp_path))
    assert images.ids == ("a/2.png", "b/1.png")
    assert reasons(images) == {"a/10.png": "duplicate of a/2.png"}


def test_a_picture_in_two_classes_is_bad_in_both(tmp_path):
    fill(tmp_path, ["train/a/1.png", "train/b/1.png", "train/c/1.png", "test/b/2.png"])
    shutil.copy(tmp_path / "train/a/1.png", tmp_path / "test/b/1.png")
    fill(tmp_path, ["train/a/2.png"], first_seed=50)
    with pytest.raises(BadInput) as refusal:
        load_images(str(tmp_path))
    assert str(refusal.value) == (
        f"2 of 6 images in {tmp_path} are bad ("
        "test/b/1.png: the same bytes as train/a/1.png, of another class; "
        "train/a/1.png: the same bytes as test/b/1.png, of another class); "
        "repair them, or leave them out with max_bad=2"
    )
    images = load_images(str(tmp_path), max_bad=2)
    assert images.ids == ("test/b/2.png", "train/a/2.png", "train/b/1.png", "train/c/1.png")


def test_where_every_image_is_bad_none_can_be_left_out(tmp_path):
    (tmp_path / "1.png").write_text("no image")
    with pytest.raises(BadInput, match=r"1 of 1 images in .* are bad \(1\.png: .*\); repair them$"):
        load_images(str(tmp_path))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Cat", "cat"),
        ("cat", "cat "),
        ("hot_dog", "hot-dog"),
        ("n\u00a01", "n 1"),
        ("\uff23at", "cat"),
        ("ß", "SS"),
    ],
)
def test_classes_of_two_spellings_are_refused_naming_both(tmp_path, train, test):
    fill(tmp_path, [f"train/{train}/1.png", "train/dog/2.png", f"test/{test}/3.png"])
    with pytest.raises(BadInput, match=r"classes '.*' and '.*' of .* differ in case, .*3\.png") as refusal:
        load_images(str(tmp_path))
    assert "\n" not in str(refusal.value)


def test_classes_of_two_spellings_are_refused_as_such_where_their_images_have_one_name(tmp_path):
    fill(tmp_path, ["cat/1.png", "Cat/1.png"])
    with pytest.raises(BadInput, match="give both folders one name"):
        load_images(str(tmp_path))


def test_a_class_spelt_with_composed_and_decomposed_accents_is_one_class(tmp_path):
    images = load_images(str(fill(tmp_path, ["train/caf\u00e9/1.png", "test/cafe\u0301/2.png"])))
    assert images.classes == ("caf\u00e9",)


def test_a_class_with_nothing_to_train_on_is_refused_by_name(tmp_path):
    fill(tmp_path, ["train/cat/1.png", "test/cat/2.png", "test/owl/3.png", "test/elk/4.png"])
    with pytest.raises(BadInput, match=r"2 of 3 classes of .* have nothing to train on \(elk, owl\)"):
        load_images(str(tmp_path))


def test_a_class_that_lost_its_training_images_is_refused_as_well(tmp_path):
    fill(tmp_path, ["train/cat/1.png", "train/cat/5.png", "test/cat/2.png", "test/owl/3.png"])
    (tmp_path / "train/owl").mkdir()
    (tmp_path / "train/owl/1.png").write_text("no image")
    with pytest.raises(BadInput, match=r"1 of 2 classes of .* have nothing to train on \(owl\)"):
        load_images(str(tmp_path), max_bad=1)


SYSTEM_FOLDERS = ["@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", "System Volume Information", "#recycle"]


@pytest.mark.parametrize("name", [*SYSTEM_FOLDERS, "Thumbnails", ".thumbnails", ".ipynb_checkpoints"])
def test_folders_of_programs_are_no_classes_at_any_depth(tmp_path, name):
    fill(tmp_path, ["cat/1.png", "dog/2.png", f"{name}/3.png", f"cat/{name}/1.png/4.png"])
    images = load_images(str(tmp_path))
    assert images.classes == ("cat", "dog")
    assert images.ids == ("cat/1.png", "dog/2.png")
    assert images.skipped


def test_a_folder_of_programs_does_not_make_class_folders_of_flat_images(tmp_path):
    assert load_images(str(fill(tmp_path, ["1.png", "@eaDir/1.png/SYNOPHOTO_THUMB_M.png"]))).ids == ("1.png",)


@pytest.mark.parametrize("name", ["LOC_synset_mapping.txt", "synset_words.txt", "classes.txt"])
def test_folders_of_wordnet_numbers_get_the_names_of_their_classes(tmp_path, name):
    folder = fill(tmp_path, [f"{part}/n0{i}/{part}.png" for part in ("train", "val") for i in (1, 2)])
    (folder / "meta.bin").write_bytes(b"a pickle, which is not opened")
    digest = load_images(str(folder)).digest
    (folder / name).write_text(
        "n01 tench, Tinca tinca\nn02 goldfish, Carassius auratus\nn03 great white shark\n"
    )
    images = load_images(str(folder))
    assert images.classes == ("n01 tench", "n02 goldfish")
    assert images.digest == digest
    (folder / name).write_text("n01 tench\n")
    with pytest.raises(BadInput, match=f"{name} names no class n02; add a line"):
        load_images(str(folder))
    (folder / name).write_text("tench\ngold fish\n")  # of another kind
    assert load_images(str(folder)).classes == ("n01", "n02")


def test_a_flat_validation_folder_beside_class_folders_says_what_to_do(tmp_path):
    fill(tmp_path, ["train/n01/1.png", "train/n02/2.png", "val/ILSVRC2012_val_1.png"])
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n")
    with pytest.raises(BadInput) as refusal:
        load_images(str(tmp_path))
    assert "val has 1 images without class folders" in str(refusal.value)
    assert "sort them into val/CLASS/ as ILSVRC2012_validation_ground_truth.txt says" in str(refusal.value)
    assert "or give a table of path, label and split (data=FILE.csv)" in str(refusal.value)


@pytest.fixture
def imagenet(tmp_path):
    """A data set of two classes, and an empty folder beside it."""
    (tmp_path / "subset" / "train").mkdir(parents=True)
    return fill(tmp_path / "imagenet", ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"])


@pytest.mark.parametrize("links", [["cat/1.png", "dog/3.png"], ["cat", "dog"]])
def test_a_subset_made_of_links_is_that_of_copies_and_says_where_they_lead(tmp_path, imagenet, links):
    subset = tmp_path / "subset"
    for name in links:
        link = subset / "train" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(os.path.relpath(imagenet / name, link.parent))
    images, copies = load_images(str(subset)), shutil.copytree(subset, tmp_path / "copies")
    n = 2 if links[0] == "cat/1.png" else 4
    assert images.digest == load_images(str(copies)).digest
    assert f"{n} of {n} files are links to {imagenet}" in images.source
    assert reasons(images)["(links)"].startswith(f"{n} of {n} files are links")
    np.testing.assert_array_equal(images.read(0), np.asarray(picture(0)))


@pytest.mark.parametrize(("linked", "there"), [("train", "test"), ("Test", "Train"), ("val", "train")])
def test_a_split_may_be_a_link(tmp_path, linked, there):
    folder = fill(tmp_path / "in", [f"{there}/cat/1.png", f"{there}/dog/2.png"])
    (folder / linked).symlink_to(fill(tmp_path / "out", ["cat/3.png", "dog/4.png"], first_seed=50))
    assert load_images(str(folder)).n_held_out == 2


def test_links_that_loop_are_not_followed_and_links_to_links_end(tmp_path):
    folder = fill(tmp_path / "in", ["cat/1.png", "dog/2.png"])
    (folder / "cat" / "up").symlink_to("..")
    (folder / "cat" / "itself").symlink_to("itself")
    (folder / "dog" / "over").symlink_to(fill(tmp_path / "out", ["3.png"], first_seed=9))
    (tmp_path / "out" / "back").symlink_to(folder)
    for level in range(12):  # 2 to the power of 12 paths, if all were followed
        (folder / "dog" / f"{level}").mkdir()
        for name in "ab":
            (folder / "dog" / f"{level}" / name).symlink_to(f"../{level + 1}")
    fill(folder / "dog", ["12/4.png"], first_seed=20)
    images = load_images(str(folder))
    assert len(images) == 4
    assert reasons(images)["cat/up"] == "link to a folder above it, not followed"
    assert reasons(images)["dog/over/back"] == "link to a folder above it, not followed"
    assert reasons(images)["(links)"] == "1 that lead nowhere"
    assert any("listed 16 times" in reason for reason in reasons(images).values())


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "/proc/self/environ"])
def test_a_link_to_what_is_no_picture_is_refused_or_passed_over(tmp_path, target):
    fill(tmp_path, ["1.png"])
    (tmp_path / "2.png").symlink_to(target)
    images = load_images(str(tmp_path), max_bad=1)
    assert images.ids == ("1.png",)
    assert reasons(images)["2.png"] in ("not a plain file", NO_IMAGE)


def test_a_class_named_like_a_held_out_split_and_a_class_without_usable_images_are_noted(tmp_path):
    fill(tmp_path, ["cats/1.png", "dogs/2.png", "test/3.png"])
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds/4.png").write_text("no image")
    images = load_images(str(tmp_path), max_bad=1)
    assert images.classes == ("cats", "dogs", "test")
    assert reasons(images) == {
        "birds/4.png": NO_IMAGE,
        "(class birds)": "no class: none of its images can be used",
        "(test/)": "a class as it is, no split: there is no train/ beside it",
    }


def test_bad_images_of_one_reason_are_named_together(tmp_path):
    fill(tmp_path, ["1.png"])
    for i in range(2, 8):
        (tmp_path / f"{i}.png").touch()
    with pytest.raises(
        BadInput, match=r"6 of 7 images in .* \(2\.png, 3\.png, 4\.png and 3 more: empty file\);"
    ):
        load_images(str(tmp_path))


def test_subfolders_that_all_classes_share_are_noted(tmp_path):
    names = [f"{year}/{name}/{i}.png" for i, year in enumerate("12") for name in ("cat", "dog")]
    images = load_images(str(fill(tmp_path, names)))
    assert reasons(images) == {"(subfolders cat, dog)": "no classes: 1/ and 2/ above them are"}


def test_pipes_and_hidden_and_other_files_and_links_that_lead_nowhere_are_passed_over(tmp_path):
    folder = fill(tmp_path / "in", ["1.png", ".hidden.png", "._1.png"])
    (folder / "link.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.TXT").touch()
    (folder / "nothing").mkdir()
    images = load_images(str(folder))
    assert images.ids == ("1.png",)
    assert reasons(images) == {
        "(links)": "1 that lead nowhere",
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
    (tmp_path / "1.ppm").touch()
    with pytest.raises(BadInput, match=r"; there are \*\.ppm \(1 not named as images\)$"):
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


def test_names_of_classes_are_looked_at_once_and_not_once_for_every_pair(tmp_path, monkeypatch):
    looked_at = []
    monkeypatch.setattr(label_map_names, "plain", lambda name: looked_at.append(name) or plain(name))
    label_map_names.require_no_label_maps(tmp_path, [f"n{i:08d}/{i}.JPEG" for i in range(1000)])
    assert len(looked_at) < 10_000  # 1,000 classes are 999,000 pairs
