"""The input is what torchvision's transforms make of the same PIL picture."""

import numpy as np
import pytest
from PIL import Image

from mlproject.models import Preprocess
from mlproject.models.model import normalise, prepare

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
