import os
import subprocess
import sys

import numpy as np
import pytest

from mlproject.data import DATASETS, digest_of_pixels, load_images
from mlproject.data.embedded import MANIFEST, PIXELS, load_embedded
from mlproject.errors import DigestMismatch


def test_embedded_images_are_those_that_were_published():
    images = load_images("embedded")
    assert images.digest == "2fc08b780c70450d1fbd08cc82f3159df342bbc857d19329b10a6f0eb78e9817"
    assert (len(images), images.n_held_out, len(images.classes)) == (4200, 1000, 10)
    assert np.bincount(images.labels[images.held_out]).tolist() == [100] * 10
    assert np.bincount(images.labels[~images.held_out]).tolist() == [320] * 10


def test_embedded_pixels_are_gray_in_three_channels_and_match_their_digests():
    images = load_images("embedded")
    for index in range(0, len(images), 400):
        pixels = images.read(index)
        assert pixels.shape == (28, 28, 3)
        assert digest_of_pixels(pixels[..., 0].copy()) == images.digests[index]


def test_embedded_labels_and_split_agree_with_the_stored_arrays():
    images = load_images("embedded")
    with np.load(PIXELS, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["labels"], images.labels)
        np.testing.assert_array_equal(arrays["held_out"], images.held_out)


def test_no_embedded_image_stands_twice():
    assert len(set(load_images("embedded").digests)) == 4200


def test_one_embedded_class_by_name_or_number():
    sneakers = load_images("embedded:sneaker")
    assert (len(sneakers), sneakers.n_held_out, sneakers.classes) == (420, 100, ("sneaker",))
    assert sneakers.digest == load_images("fashion-mnist-subset:7").digest
    whole = load_images("embedded")
    np.testing.assert_array_equal(sneakers.read(5), whole.read(whole.ids.index(sneakers.ids[5])))


def test_pixels_that_are_not_those_of_the_manifest_are_refused(tmp_path):
    manifest = tmp_path / "embedded.json"
    manifest.write_bytes(MANIFEST.read_bytes())
    damaged = bytearray(PIXELS.read_bytes())
    damaged[1_000_000] ^= 1
    manifest.with_suffix(".npz").write_bytes(damaged)
    images = load_embedded(manifest)
    with pytest.raises(DigestMismatch, match=r"restore it: git -C .* checkout -- "):
        images.read(0)


def test_the_digest_needs_neither_pixels_nor_heavy_imports():
    program = (
        "import sys; from mlproject.data import load_images; load_images('embedded').digest;"
        "print(sorted({'torch', 'torchvision', 'PIL', 'pandas'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_known_name_is_lower_case_without_a_colon_or_slash():
    assert all(name == name.lower() and not set(name) & set(":/. ") for name in DATASETS)
