"""Axes: the value of a run along each, and which runs stay off it."""

import math

import pytest

from mlproject.analysis import AXES, GRID_AXES
from tests.studies import cell, observe


def run(*, params=1e6, flops=None, size=100, **knobs):
    return observe(
        cell(size=size, knobs={"target": "labels"} | knobs), [1.0, 2.0], params=params, flops=flops
    )


@pytest.mark.parametrize(
    ("axis", "fields", "value"),
    [
        ("images", {"size": 250}, 250.0),
        ("params", {"params": 2e6}, 2e6),
        ("flops", {"flops": 3e9}, 3e9),
        ("epochs", {"epochs": 20}, 20.0),
        ("epochs", {"epochs": 20, "steps": 0}, 20.0),
    ],
)
def test_the_value_of_a_run_along_an_axis(axis, fields, value):
    assert AXES[axis].value(run(**fields)) == value


@pytest.mark.parametrize(
    ("axis", "fields"),
    [
        ("params", {"params": 0.0}),
        ("params", {"params": math.nan}),
        ("flops", {"flops": -1.0}),
        ("epochs", {}),
        ("epochs", {"epochs": 20, "steps": 100}),
    ],
)
def test_a_run_that_does_not_know_its_value_stays_off_the_axis(axis, fields):
    assert math.isnan(AXES[axis].value(run(**fields)))


def test_labels_and_file_names_of_axes_are_distinct():
    assert AXES["images"].label == "training images, $D$ [images]"
    assert AXES["params"].slug == "model_size"
    assert len({axis.slug for axis in AXES.values()} | {GRID_AXES.slug}) == len(AXES) + 1
    assert len({axis.symbol for axis in AXES.values()}) == len(AXES)


def test_both_axes_of_a_grid_vary_what_either_axis_varies():
    assert GRID_AXES.varies == AXES["params"].varies | AXES["images"].varies
