"""Segment: label maps, losses per pixel, the confusion matrix, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from mlproject.data import UNLABELLED, ImageSet
from mlproject.errors import BadInput, WrongUse
from mlproject.losses import Silent
from mlproject.models import find_model
from mlproject.recipes import build_recipe
from mlproject.recipes.examples import mapped
from mlproject.recipes.segment.run import iou
from mlproject.recipes.whole_network import sized
from tests.recipes.doubles import QUICK, Images, cell_of, network_outcome, without_maps


def test_sides_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(WrongUse, match="side must be divisible by 4, not 30"):
        build_recipe("segment", {"side": 30})


def test_what_does_not_fit_a_segmenter_is_said():
    with pytest.raises(WrongUse, match="data must have label maps"):
        network_outcome("segment", images=without_maps(None))
    cell = cell_of("segment", **QUICK["segment"])
    wrong = dataclasses.replace(cell, model="resblock_w2_d1")
    with pytest.raises(WrongUse, match="model must be a segmenter"):
        build_recipe("segment", cell.knobs).run(wrong, Images(), Silent())
    wrong = dataclasses.replace(cell, recipe="scratch")
    with pytest.raises(WrongUse, match="model must classify whole images"):
        build_recipe("scratch", QUICK["scratch"]).run(wrong, Images(), Silent())


def test_an_image_whose_pixels_all_lack_a_class_is_named():
    images = Images(200)
    maps = images.read_map
    images.read_map = lambda i: np.full((8, 8), UNLABELLED, np.uint8) if i == 2 else maps(i)  # type: ignore
    with pytest.raises(BadInput, match=r"2\.png: no pixel has a class at 8 x 8"):
        network_outcome("segment", images=images)


def test_a_segmenter_learns_and_is_shown_against_guessing():
    found = network_outcome("segment", epochs=30, lr=0.02)
    facts = found.facts
    assert facts["n_total"] == 32 * 64
    assert facts["accuracy"] > facts["majority_accuracy"] + 0.1
    matrix = np.array([found.tables["confusion"][f"class {i}"] for i in range(4)]).T
    assert matrix.sum() == facts["n_total"]
    assert np.trace(matrix) == facts["n_correct"]
    assert found.tables["classes"]["support"] == matrix.sum(1).tolist()
    assert facts["miou"] == pytest.approx(np.mean(found.tables["classes"]["iou"]))


def test_intersection_over_union_is_that_of_the_definition_and_absent_classes_have_none():
    matrix = np.array([[3.0, 1, 0], [2, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(iou(matrix), [3 / 6, 4 / 7, np.nan])


def test_unlabelled_pixels_count_for_nothing():
    images = Images(200)
    maps = images.read_map

    def mostly(index):
        classes = maps(index)
        classes[:, :2] = UNLABELLED
        return classes

    images.read_map = mostly  # type: ignore[method-assign]
    assert network_outcome("segment", images=images).facts["n_total"] == 32 * 48


def test_label_maps_are_cut_as_their_pictures_are():
    classes = np.zeros((10, 14), np.uint8)
    classes[:5] = 1
    images = ImageSet(
        name="one",
        ids=("a",),
        digests=("d",),
        labels=np.zeros(1, np.int64),
        classes=("dark", "bright"),
        held_out=np.zeros(1, np.bool_),
        read=lambda _: np.repeat(200 * classes[..., None], 3, axis=-1),
        read_map=lambda _: classes,
    )
    preprocess = sized(find_model("segmenter_w4_i1"), 20)
    with mapped(images, [0], preprocess) as examples:
        pixels, maps = examples.pixels, examples.targets
    assert maps.shape == (1, 20, 20)
    assert torch.equal(pixels[0, 0] > 100, maps[0] == 1)
