"""Axes: the value of a run along each, which runs stay off it, and a curve along every axis of ``AXES``."""

import dataclasses
import math
from functools import cache

import numpy as np
import pytest

from mlproject.analysis import AXES, GRID_AXES
from mlproject.report import study_document
from tests.studies import cell, observe, with_two_laws

SCALES, SEEDS = (100, 200, 400), (0, 1)


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


def at(axis, scale, seed, **fields):
    """An observation whose fields and knobs that vary along an axis are set by ``scale``."""
    this = cell(seed=seed)
    values = {"model": f"net{scale}", "weights_digest": f"digest {scale}", "dataset_size": scale}
    known = {field.name for field in dataclasses.fields(this)}
    fields |= {name: values[name] for name in axis.varies if name in values}
    knobs = {**this.knobs} | {name: scale for name in axis.varies if name not in known}
    losses = 6.0 * scale**-0.5 * np.random.default_rng([scale, seed]).lognormal(sigma=0.2, size=40)
    this = dataclasses.replace(this, knobs=knobs, **fields)
    params = 1e3 * scale if "model" in axis.varies else None
    return observe(this, losses, params=params, flops=1e5 * this.dataset_size**1.5)


@cache
def curve_along(key):
    axis = AXES[key]
    runs = [at(axis, scale, seed) for scale in SCALES for seed in SEEDS]
    study = with_two_laws(runs, n_draws=20)
    (curve,) = study.along(key)
    return study, curve


@pytest.mark.parametrize("key", AXES)
def test_a_curve_has_a_positive_scale_for_each_value_with_all_its_seeds(key):
    _, curve = curve_along(key)
    assert curve.n_seeds == (len(SEEDS), len(SEEDS))
    assert len(curve.points) == len({point.name for point in curve.points}) == len(SCALES)
    assert (curve.x > 0).all()
    assert (np.diff(curve.x) > 0).all()


@pytest.mark.parametrize("key", AXES)
def test_a_curve_is_drawn(key):
    study, _ = curve_along(key)
    figures = {figure.name: figure for figure in study_document(study).figures}
    drawn = [figure for name, figure in figures.items() if name.startswith(f"scaling_{AXES[key].slug}")]
    assert drawn
    assert all(figure.draw() for figure in drawn)


def test_no_run_is_lost_where_the_compute_of_seeds_differs():
    runs = []
    for size in SCALES:
        for seed in SEEDS:
            flops = 1e8 * size**1.3 * (1 + 0.01 * seed)
            runs.append(observe(cell(size=size, seed=seed), [1.0, 2.0 + 10 / size], flops=flops))
    study = with_two_laws(runs, n_draws=20)
    (curve,) = study.along("flops")
    assert sorted(run_id for point in curve.points for run_id in point.run_ids) == sorted(study.run_ids)
    assert all(figure.draw() for figure in study_document(study).figures)
