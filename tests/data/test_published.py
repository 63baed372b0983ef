import pytest

from mlproject.data import load_images
from mlproject.errors import BadInput

from .test_contract import write_mnist


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Twenty training and ten test images as torchvision finds them."""
    write_mnist(tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    return tmp_path / "MNIST" / "raw"


def test_a_published_set_keeps_its_own_test_split(tiny_mnist):
    images = load_images("mnist")
    assert (len(images), images.n_held_out, len(images.classes)) == (30, 10, 10)
    assert (images.ids[0], images.ids[-1]) == ("test/00000.png", "train/00019.png")
    assert images.read(29).shape == (28, 28, 3)


def test_one_class_of_a_published_set(tiny_mnist):
    assert load_images("mnist:3").ids == ("test/00003.png", "train/00003.png", "train/00013.png")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_a_set_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch, name):
    monkeypatch.setenv("MLPROJECT_DATA", str(tmp_path))
    says = rf"{name} cannot be read from .*download=true.* MLPROJECT_DATA"
    with pytest.raises(BadInput, match=says) as refusal:
        load_images(name)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_damaged_published_set_is_refused(tiny_mnist):
    (tiny_mnist / "train-images-idx3-ubyte").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="mnist cannot be read"):
        load_images("mnist")
