"""Label maps: scenes that repeat, folders that are read strictly, faults told in one line."""

import numpy as np
import pytest
from PIL import Image

from mlproject.data import load_images
from mlproject.errors import BadInput, DigestMismatch


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
        (lambda path: write(path, np.zeros((6, 8, 3), np.uint8)), "mode RGB, not palette or 8-bit gray"),
        (lambda path: write(path, np.full((6, 8), 255, np.uint8)), "no pixel of its label map has a class"),
        (lambda path: path.unlink(), "its label map 5.png cannot be opened"),
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
