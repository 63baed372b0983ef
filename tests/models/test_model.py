"""The input is what torchvision's transforms make of the same PIL picture."""

import numpy as np
import pytest
from PIL import Image

from mlproject.errors import BadInput
from mlproject.models import Preprocess
from mlproject.models.model import normalise, prepare, prepare_map

SIZES = [(500, 375), (375, 500), (28, 28), (224, 224), (301, 300), (40, 900)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_are_torchvisions(size, interpolation):
    from torchvision import transforms

    width, height = size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    preprocess = Preprocess(resize=64, crop=55, interpolation=interpolation)
    theirs = transforms.Compose(
        [
            transforms.Resize(64, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(55),
            transforms.ToTensor(),
            transforms.Normalize(preprocess.mean, preprocess.std),
        ]
    )(Image.fromarray(image))
    ours = normalise(preprocess, prepare(preprocess, image)[None])[0]
    assert ours.shape == (3, 55, 55)
    assert np.abs(ours - theirs.numpy()).max() < 1e-5


@pytest.mark.parametrize(("shape", "grown"), [((1, 32_000), "8,192,000 x 256"), ((90, 2), "256 x 11,520")])
def test_a_picture_that_would_fill_the_memory_before_its_crop_is_refused_by_name(shape, grown, monkeypatch):
    monkeypatch.setattr("mlproject.models.model.MOST_RESIZED", 2_000_000)
    preprocess = Preprocess(resize=256, crop=224)
    pixels = np.zeros(shape, np.uint8)
    for read, image in ((prepare, np.stack([pixels] * 3, -1)), (prepare_map, pixels)):
        with pytest.raises(BadInput, match=f"a/1.png of .* pixels would be {grown} before its crop"):
            read(preprocess, image, name="a/1.png")


def test_a_panorama_as_long_as_files_may_be_is_still_resized():
    assert prepare(Preprocess(resize=512, crop=8), np.zeros((64, 6400, 3), np.uint8)).shape == (8, 8, 3)
