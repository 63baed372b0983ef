"""Label maps: scenes that repeat, folders that are read strictly, faults told in one line."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from mlproject.data import load_images
from mlproject.errors import BadInput, DigestMismatch, WrongUse


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures with label maps of three classes, two of which are held out."""
    for i in range(12):
        part = "test" if i < 2 else "train"
        pixels = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8)
        classes = np.zeros((6, 8), np.uint8)
        classes[:2], classes[4] = 2, 255
        write(tmp_path / "images" / part / f"{i}.png", pixels)
        write(tmp_path / "labels" / part / f"{i}.png", classes)
    return tmp_path


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_folder_of_images_and_label_maps_is_read_with_its_split(folder):
    images = load_images(str(folder))
    assert (len(images), images.n_held_out, images.classes) == (12, 2, ("0", "1", "2"))
    assert sorted(np.unique(images.read_map(3)).tolist()) == [0, 2, 255]
    digest = images.digest
    classes = np.zeros((6, 8), np.uint8)
    classes[0] = 1
    write(folder / "labels" / "train" / "5.png", classes)
    assert load_images(str(folder)).digest != digest, "label maps are part of the data"
    with pytest.raises(DigestMismatch, match=r"5\.png changed"):
        images.read_map(images.ids.index("train/5.png"))


def test_names_of_classes_come_from_a_file(folder):
    (folder / "classes.txt").write_text("sky\nsea\nsand\nship\n")
    assert load_images(str(folder)).classes == ("sky", "sea", "sand", "ship")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: write(path, np.full((6, 8), 7, np.uint8)), "holds class 7, of which there are 3"),
        (lambda path: write(path, np.zeros((6, 9), np.uint8)), "image of 8 x 6, label map of 9 x 6 pixels"),
        (
            lambda path: write(path, np.zeros((6, 8, 3), np.uint8)),
            "mode RGB, not palette or 8-bit gray: save the number of each pixel's class (0, 1, …)",
        ),
        (
            lambda path: Image.new("L", (8, 6)).save(path, "JPEG"),
            "is a label map but JPEG, not PNG, which keeps values: save the number",
        ),
        (
            lambda path: Image.new("L", (8, 6)).save(path.with_suffix(".jpg")) or path.unlink(),
            "is a label map but JPEG",
        ),
        (lambda path: Image.new("I;16", (8, 6)).save(path), "mode I;16, not palette or 8-bit gray"),
        (
            lambda path: path.unlink() or path.symlink_to("/dev/zero"),
            "its label map train/5.png is missing in labels/",
        ),
        (lambda path: write(path, np.full((6, 8), 255, np.uint8)), "no pixel of its label map has a class"),
        (lambda path: path.unlink(), "its label map train/5.png is missing in labels/"),
        (lambda path: path.write_bytes(b"GIF89a"), "is a label map but GIF, not PNG"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "cannot be decoded as PNG: truncated"),
    ],
)
def test_a_bad_label_map_is_named_with_its_reason(folder, spoil, reason):
    (folder / "classes.txt").write_text("sky\nsea\nsand\n")
    spoil(folder / "labels" / "train" / "5.png")
    with pytest.raises(BadInput, match=r"1 of 12 images .*5\.png: .*") as caught:
        load_images(str(folder))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(load_images(str(folder), max_bad=1)) == 11


def masks(tmp_path, maps, *, names=("images", "masks")):
    """A folder of one picture for each label map, all in training but the last."""
    for i, classes in enumerate(maps):
        part = "test" if i == len(maps) - 1 else "train"
        pixels = np.random.default_rng(i).integers(0, 256, (*np.asarray(classes).shape, 3), np.uint8)
        write(tmp_path / names[0] / part / f"{i}.png", pixels)
        write(tmp_path / names[1] / part / f"{i}.png", np.asarray(classes, np.uint8))
    return tmp_path


NAMES = [
    ("images", "masks"),
    ("Images", "Labels"),
    ("imgs", "annotations"),
    ("JPEGImages", "SegmentationClass"),
]


@pytest.mark.parametrize("names", NAMES)
def test_pictures_beside_masks_are_no_classes_whatever_the_two_are_called(tmp_path, names):
    images = load_images(str(masks(tmp_path, [[[0, 1]], [[1, 0]]], names=names)))
    assert (images.ids, images.classes, images.n_held_out) == (("test/1.png", "train/0.png"), ("0", "1"), 1)
    assert images.read_map(0).tolist() == [[1, 0]]


@pytest.mark.parametrize("name", ["0_mask.png", "mask-0.png", "0.jpg.png", "0_GT.tif"])
def test_a_label_map_of_another_name_is_named_beside_the_one_that_is_missing(tmp_path, name):
    folder = masks(tmp_path, [[[0, 1]], [[1, 0]]])
    (folder / "masks/train/0.png").rename(folder / "masks/train" / name)
    with pytest.raises(
        BadInput, match=rf"0\.png is missing in masks/; train/{name} is there: give it that name"
    ):
        load_images(str(folder))


@pytest.mark.parametrize("suffix", [".PNG", ".Png"])
def test_suffixes_of_label_maps_may_be_in_any_case(tmp_path, suffix):
    folder = masks(tmp_path, [[[0, 1]], [[1, 0]]])
    (folder / "masks/train/0.png").rename(folder / f"masks/train/0{suffix}")
    assert len(load_images(str(folder))) == 2


def test_what_lies_beside_pictures_and_label_maps_unread_is_noted(tmp_path):
    folder = masks(tmp_path, [[[0, 1]], [[1, 0]]])
    write(folder / "masks/train/9.png", np.zeros((1, 2), np.uint8))
    write(folder / "overlays/1.png", np.zeros((1, 2), np.uint8))
    assert {skipped.id: skipped.reason for skipped in load_images(str(folder)).skipped} == {
        "(masks/)": "1 label maps without a picture",
        "overlays/": "beside pictures and label maps, not read",
    }


def test_the_label_maps_of_voc_are_read_beside_its_boxes(tmp_path):
    folder = masks(tmp_path, [[[0, 1]], [[1, 0]]], names=("JPEGImages", "SegmentationClass"))
    (folder / "Annotations").mkdir()
    (folder / "Annotations/0.xml").write_text("<annotation/>")
    assert load_images(str(folder)).read_map is not None


def test_names_of_classes_are_utf_8_with_or_without_a_mark_in_a_file_of_any_case(tmp_path):
    folder = masks(tmp_path, [[[0, 1]], [[1, 0]]])
    (folder / "Classes.TXT").write_bytes("Straße\r\nkött\r\n".encode("utf-8-sig"))
    assert load_images(str(folder)).classes == ("Straße", "kött")
    (folder / "Classes.TXT").write_bytes("kött\nhund\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"Classes\.TXT is not text in UTF-8; save it so"):
        load_images(str(folder))


@pytest.mark.parametrize("content", ["boxes.txt", "boxes.xml"])
def test_annotations_that_are_no_pictures_leave_a_folder_of_pictures(tmp_path, content):
    write(tmp_path / "images" / "1.png", np.zeros((2, 3, 3), np.uint8))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / content).write_text("0 0.5 0.5 1 1")
    images = load_images(str(tmp_path))
    assert (images.ids, images.read_map) == (("images/1.png",), None)


@pytest.mark.parametrize("linked", ["images", "masks"])
def test_a_folder_of_pictures_or_masks_may_be_a_link(tmp_path, linked):
    masks(tmp_path / "in", [[[0, 1]], [[1, 0]]])
    (tmp_path / "in" / linked).rename(tmp_path / "elsewhere")
    (tmp_path / "in" / linked).symlink_to(tmp_path / "elsewhere")
    images = load_images(str(tmp_path / "in"))
    assert len(images) == 2
    assert images.source.endswith(f"2 of 2 files are links to {tmp_path / 'elsewhere'}")


HARD = [[[0, 255], [255, 0]], [[0, 0], [255, 255]], [[255, 255], [255, 255]], [[0, 255], [0, 0]]]


def test_masks_of_0_and_255_are_refused_with_two_remedies_that_work(tmp_path):
    folder = masks(tmp_path, HARD)
    with pytest.raises(
        BadInput,
        match=r"hold 0 and 255 only, .* write the object as 1, .* ignore=none, or give the folder",
    ):
        load_images(str(folder))
    images = load_images(str(folder), ignore="none")
    assert images.classes == ("0", "1")
    assert [images.read_map(images.ids.index(f"train/{i}.png")).max() for i in range(3)] == [1, 1, 1]
    assert images.read_map(images.ids.index("train/0.png")).tolist() == [[0, 1], [1, 0]]
    written = load_images(str(masks(tmp_path, [np.array(classes) // 255 for classes in HARD])))
    assert written.classes == ("0", "1")
    assert written.digest != images.digest


def test_the_object_is_the_last_class_where_255_is_a_class(tmp_path):
    folder = masks(tmp_path, [[[0, 1, 2, 255]], [[0, 2, 1, 255]]])
    assert load_images(str(folder)).classes == ("0", "1", "2")
    images = load_images(str(folder), ignore="none")
    assert (images.classes, images.read_map(0).tolist()) == (("0", "1", "2", "3"), [[0, 2, 1, 3]])
    (tmp_path / "classes.txt").write_text("sky\nsea\nsand\nrock\nship\n")
    assert load_images(str(folder), ignore="none").read_map(0).tolist() == [[0, 2, 1, 4]]


def test_where_no_pixel_is_255_reading_it_as_a_class_changes_nothing(tmp_path):
    folder = str(masks(tmp_path, [[[0, 1]], [[1, 0]]]))
    assert load_images(folder, ignore="none").digest == load_images(folder).digest


@pytest.mark.parametrize("data", ["embedded", "embedded-scenes-32"])
def test_a_value_to_be_ignored_is_refused_for_data_of_another_kind(data):
    with pytest.raises(WrongUse, match=f"ignore must be 255, not 'none': {data} is no folder of images and"):
        load_images(data, ignore="none")


@pytest.mark.parametrize("values", [range(256), (0, 3, 128, 251, 255), (0, 64), (0, 254)])
def test_masks_that_are_pictures_are_refused_by_name_unless_all_their_classes_have_names(tmp_path, values):
    folder = masks(tmp_path, [[list(values)] * 3, [[0, 1] * 4]])
    with pytest.raises(
        BadInput, match=r"1 of 2 .*train/0\.png: its label map holds \d+ values up to"
    ) as refusal:
        load_images(str(folder))
    assert "as a picture does: save the number of each pixel's class" in str(refusal.value)
    (tmp_path / "classes.txt").write_text("".join(f"class {i}\n" for i in range(255)))
    assert len(load_images(str(folder)).classes) == 255


TURNED = [(1, 1), (3, 3), (6, 6), (6, 1), (8, 1), (1, 6)]
"""Orientations of an image and its label map of 6 x 8 pixels stored, whose sizes agree or tell the turn."""


@pytest.mark.parametrize(("image", "label_map"), TURNED)
def test_images_and_label_maps_are_both_upright(tmp_path, image, label_map):
    upright = (6, 8) if image < 5 and label_map < 5 else (8, 6)
    corner = np.zeros(upright, np.uint8)
    corner[0, 0] = 1
    save_turned(tmp_path / "images" / "1.png", np.repeat(255 * corner[..., None], 3, -1), image)
    save_turned(tmp_path / "masks" / "1.png", corner, label_map)
    images = load_images(str(tmp_path))
    assert np.array_equal(images.read(0)[..., 0] > 0, images.read_map(0) > 0)
    assert images.read_map(0)[0, 0] == 1


@pytest.mark.parametrize(
    ("image", "label_map", "shape"),
    [(3, 1, (6, 8)), (1, 2, (6, 8)), (6, 8, (6, 8)), (6, 1, (8, 8)), (4, 3, (8, 8))],
)
def test_an_image_that_exif_turns_without_its_label_map_is_refused_by_name(tmp_path, image, label_map, shape):
    save_turned(tmp_path / "images" / "1.png", np.zeros((*shape, 3), np.uint8), image)
    save_turned(tmp_path / "masks" / "1.png", np.zeros(shape, np.uint8), label_map)
    says = f"1.png: EXIF orientation of the image {image}, of its label map {label_map} .* save both upright"
    with pytest.raises(BadInput, match=says):
        load_images(str(tmp_path))


def test_a_label_map_drawn_on_the_stored_pixels_of_a_turned_image_has_another_size(tmp_path):
    save_turned(tmp_path / "images" / "1.png", np.zeros((6, 8, 3), np.uint8), 6)
    write(tmp_path / "masks" / "1.png", np.zeros((8, 6), np.uint8))
    with pytest.raises(BadInput, match=r"image of 8 x 6, label map of 6 x 8 pixels \(upright, by EXIF\)"):
        load_images(str(tmp_path))


def save_turned(path, upright, orientation):
    """Store a picture as a camera of that orientation does: EXIF turns it upright."""
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        6: lambda a: np.rot90(a, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)


def test_one_picture_with_two_label_maps_is_bad_and_with_one_a_duplicate(folder):
    for suffix, classes in (("png", 0), ("bak", 1)):
        shutil.copy(folder / "images/train/5.png", folder / f"images/train/5_{suffix}.png")
        write(folder / f"labels/train/5_{suffix}.png", np.full((6, 8), classes, np.uint8))
    with pytest.raises(
        BadInput, match=r"3 of 14 .*train/5\.png: the same bytes as .*, with another label map"
    ):
        load_images(str(folder))
    for suffix in ("png", "bak"):
        shutil.copy(folder / "labels/train/5.png", folder / f"labels/train/5_{suffix}.png")
    images = load_images(str(folder))
    assert len(images) == 12
    assert [skipped.reason for skipped in images.skipped] == ["duplicate of train/5.png"] * 2


def test_a_class_of_held_out_label_maps_only_is_noted(tmp_path):
    images = load_images(str(masks(tmp_path, [[[0, 1]], [[0, 2]]])))
    assert [(s.id, s.reason, s.bad) for s in images.skipped] == [
        ("(class 2)", "no image: in held-out label maps only, nothing to train on", False)
    ]


def test_scenes_are_the_same_everywhere():
    images = load_images("embedded-scenes-32")
    assert (len(images), images.n_held_out, len(images.classes)) == (3500, 500, 11)
    assert images.digest[:16] == "407212af8003e132"
    pixels, classes = images.read(500), images.read_map(500)
    assert (pixels.shape, classes.shape) == ((32, 32, 3), (32, 32))
    assert (int(pixels[..., 0].sum()), int(classes.sum())) == (77213, 2474)
    assert load_images("embedded-scenes-64").read(0).shape == (64, 64, 3)


def test_every_kind_of_clothes_is_in_the_scenes_and_most_pixels_are_background():
    images = load_images("embedded-scenes-32")
    maps = np.stack([images.read_map(i) for i in range(200)])
    shares = np.bincount(maps.ravel(), minlength=11) / maps.size
    assert 0.7 < shares[0] < 0.8
    assert shares.min() > 0.005


def spoil_with_link(folder):
    (folder / "classes.txt").symlink_to("/etc/passwd")


def spoil_with_pipe(folder):
    os.mkfifo(folder / "classes.txt")


CLASS_FILES = {
    "a link": (spoil_with_link, r"classes\.txt is a symbolic link, not followed; copy what it points to"),
    "a dangling link": (lambda f: (f / "classes.txt").symlink_to("nowhere"), "is a symbolic link"),
    "a pipe": (spoil_with_pipe, r"classes\.txt: not a plain file"),
    "a folder": (lambda f: (f / "classes.txt").mkdir(), r"classes\.txt: cannot be opened \(Is a dir"),
    "no text": (lambda f: (f / "classes.txt").write_bytes(b"a\xff\n"), "is not text in UTF-8"),
    "empty": (lambda f: (f / "classes.txt").write_bytes(b""), r"classes\.txt: empty file"),
    "blank": (lambda f: (f / "classes.txt").write_text("\n \n"), "must name each class once"),
}


@pytest.mark.parametrize("spoil_and_reason", CLASS_FILES.values(), ids=CLASS_FILES)
def test_a_list_of_classes_that_is_no_plain_text_file_is_refused_by_name(folder, spoil_and_reason):
    spoil, reason = spoil_and_reason
    spoil(folder)
    with pytest.raises(BadInput, match=reason) as refusal:
        load_images(str(folder))
    assert "\n" not in str(refusal.value)


def test_folders_below_pictures_and_label_maps_may_be_links(folder, tmp_path_factory):
    digest, elsewhere = load_images(str(folder)).digest, tmp_path_factory.mktemp("elsewhere")
    for name in ("images", "labels"):
        (folder / name / "train").rename(elsewhere / name)
        (folder / name / "train").symlink_to(elsewhere / name)
    assert load_images(str(folder)).digest == digest


def test_the_data_folder_itself_may_be_a_link(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "data"
    link.symlink_to(folder)
    assert load_images(str(link)).digest == load_images(str(folder)).digest
