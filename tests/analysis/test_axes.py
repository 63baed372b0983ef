"""What every axis of ``AXES`` promises: a scale for each value, positive, under names that differ."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mlproject.analysis import AXES, analyse
from mlproject.report import study_document
from tests.studies import cell, observe

SCALES, SEEDS = (100, 200, 400), (0, 1)


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


def curve_along(key):
    axis = AXES[key]
    runs = [at(axis, scale, seed) for scale in SCALES for seed in SEEDS]
    study = analyse(runs, n_draws=20)
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


@pytest.mark.parametrize("key", AXES)
def test_names_and_symbols_of_axes_differ(key):
    axis = AXES[key]
    others = [other for name, other in AXES.items() if name != key]
    assert axis.slug not in {other.slug for other in others}
    assert axis.symbol not in {other.symbol for other in others}


def test_no_run_is_lost_where_the_compute_of_seeds_differs():
    runs = []
    for size in SCALES:
        for seed in SEEDS:
            flops = 1e8 * size**1.3 * (1 + 0.01 * seed)
            runs.append(observe(cell(size=size, seed=seed), [1.0, 2.0 + 10 / size], flops=flops))
    study = analyse(runs, n_draws=20)
    (curve,) = study.along("flops")
    assert sorted(run_id for point in curve.points for run_id in point.run_ids) == sorted(study.run_ids)
    assert all(figure.draw() for figure in study_document(study).figures)
