"""What every set known by name keeps to; a new row of DATASETS is covered without a new test."""

import pickle
import struct
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from PIL import Image

from mlproject.data import DATASETS, UNLABELLED, load_images
from mlproject.data.layout import natural
from mlproject.data.published import SEGMENTATION_SETS

N_TRAIN, N_TEST = 20, 10
N_CLASSES = {"embedded": 10, "fashion-mnist-subset": 10, "mnist": 10, "fashion-mnist": 10, "cifar10": 10}
N_CLASSES |= {"cifar100": 10}  # of the tiny copy below
N_CLASSES |= {"embedded-scenes-32": 11, "embedded-scenes-64": 11, "voc2012": 21, "oxford-pets": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root with a tiny copy of each published set, in the files that torchvision reads."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("MNIST", "FashionMNIST"):
        write_mnist(folder / name / "raw")
    write_cifar(folder / "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "test_batch")
    write_cifar(folder / "cifar-100-python", ["train"], "test")
    write_pairs(folder, SEGMENTATION_SETS["voc2012"], first=0)
    write_pairs(folder, SEGMENTATION_SETS["oxford-pets"], first=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
        patch.setenv("MLPROJECT_DATA", str(folder))
        yield


@pytest.fixture(scope="module", params=DATASETS)
def images(request, root):
    return load_images(request.param)


def test_ids_are_unique_and_in_numeric_order(images):
    assert list(images.ids) == sorted(set(images.ids), key=natural)


def test_draws_are_nested_and_apart_from_the_evaluation(images):
    larger = images.draw(20, seed=3, how="balanced")
    np.testing.assert_array_equal(larger[:7], images.draw(7, seed=3, how="balanced"))
    assert not set(larger) & set(images.evaluation(10))


def test_no_draw_trains_on_the_validation_images_which_are_the_same_for_every_seed(images):
    validation = set(images.validation(8))
    assert not validation & set(images.evaluation(10))
    for how in ("balanced", "prefix"):
        for seed in (0, 3):
            assert not validation & set(images.draw(10, seed=seed, how=how, validation_size=8))
    np.testing.assert_array_equal(images.validation(8)[:4], images.validation(4))


def test_pixels_are_rgb_bytes_that_may_be_written_to(images):
    pixels = images.read(len(images) - 1)
    assert (pixels.ndim, pixels.shape[2], pixels.dtype) == (3, 3, np.uint8)
    before = pixels.copy()
    pixels[:] = 0
    np.testing.assert_array_equal(images.read(len(images) - 1), before)


def test_other_processes_can_read_the_images(images):
    there = ForkingPickler.loads(ForkingPickler.dumps(images))
    np.testing.assert_array_equal(there.read(1), images.read(1))
    if images.read_map is not None:
        np.testing.assert_array_equal(there.read_map(1), images.read_map(1))


def test_the_origin_is_stated_and_classes_have_names(images):
    assert images.source
    assert len(set(images.classes)) == len(images.classes) >= 2
    assert images.labels.max() < len(images.classes)


@pytest.mark.parametrize(("name", "n"), N_CLASSES.items())
def test_a_set_has_all_its_classes(root, name, n):
    assert len(load_images(name).classes) == n


def test_label_maps_are_of_the_pictures_size_and_of_named_classes(images):
    if images.read_map is None:
        pytest.skip("no label maps")
    for index in (0, len(images) - 1):
        classes = images.read_map(index)
        assert classes.shape == images.read(index).shape[:2]
        known = classes[classes != UNLABELLED]
        assert len(known)
        assert known.max() < len(images.classes)


def write_pairs(root, layout, first):
    """Pictures and label maps in the files of a published layout, with the lists that name them."""
    for words, listed, n in zip(layout.parts, layout.lists, (N_TRAIN + 10, N_TEST), strict=True):
        names = [f"{next(iter(words.values()))}_{i}" for i in range(n)]
        path = root / listed
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name} 1 1 1\n" if first else f"{name}\n" for name in names))
        for i, name in enumerate(names):
            classes = np.full((6, 8), first, np.uint8)
            classes[i % 5], classes[-1] = first + 1, 255 if not first else first + 2
            for pattern, pixels in ((layout.image, noise(6, 8, 3 + i)[..., :3]), (layout.label_map, classes)):
                file = root / pattern.format(name)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(pixels)).save(file)


def write_mnist(raw):
    raw.mkdir(parents=True)
    for prefix, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", noise(n, 28, 28))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", (np.arange(n) % 10).astype(np.uint8))


def write_idx(path, values):
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.tobytes())


def write_cifar(folder, train, test):
    folder.mkdir()
    for name, n in ((test, N_TEST), *((name, N_TRAIN // len(train)) for name in train)):
        labels = [i % 10 for i in range(n)]
        batch = {"data": noise(n, 3 * 32 * 32), "labels": labels, "fine_labels": labels}
        (folder / name).write_bytes(pickle.dumps(batch))
    names = {"label_names": list("abcdefghij"), "fine_label_names": list("abcdefghij")}
    for name in ("batches.meta", "meta"):
        (folder / name).write_bytes(pickle.dumps(names))


def noise(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)
