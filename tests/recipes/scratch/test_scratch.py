"""Scratch: several image scales, compute, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from mlproject.errors import WrongUse
from mlproject.losses import Silent
from mlproject.plans import plan_of
from mlproject.recipes import build_recipe
from tests.recipes.doubles import QUICK, Images, cell_of, network_outcome


def test_cells_from_scratch_say_so():
    (cell,) = plan_of("x", {"recipe": "scratch", "model": "resblock_w4_d1"}).cells
    assert (cell.weights, cell.weights_digest, cell.validation_size) == ("scratch", "scratch", 320)
    assert not cell.random_features


def test_parameters_and_compute_are_those_of_the_whole_network():
    found = network_outcome("scratch")
    assert found.n_params == found.n_params_trained
    assert found.n_params == 29 * 2 + (18 * 4 + 8) + (54 * 4 + 16 + 8 + 8) + (54 * 16 + 32 + 32 + 16) + 9 * 4
    assert found.flops_total == 3 * found.flops_per_image * found.facts["samples"]
    doubled = network_outcome("scratch", epochs=6)
    assert doubled.flops_total == 2 * found.flops_total


def test_several_scales_are_seen_while_learning():
    cell = cell_of("scratch", size=96, **QUICK["scratch"])
    two = dataclasses.replace(cell, image_scales=(1.0, 2.0))
    recipe = build_recipe("scratch", cell.knobs)
    plain, scaled = (recipe.run(c, Images(200), Silent()) for c in (cell, two))
    body = plain.flops_per_image - 2 * 4 * 8
    assert scaled.flops_per_image - 2 * 4 * 16 == 5 * body
    assert scaled.n_params == plain.n_params + 4 * 8


def test_scales_of_the_pictures_own_pixels_are_refused():
    cell = cell_of("scratch", **QUICK["scratch"])
    native = dataclasses.replace(cell, image_scales=(1.0, 2.0), large_images="native")
    with pytest.raises(WrongUse, match="large_images must be interpolated"):
        build_recipe("scratch", cell.knobs).run(native, Images(), Silent())
