"""Runs that lie off every law fitted to the others."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.scaling import assess
from mlproject.scaling.fitting.curve_outliers import outliers
from mlproject.scaling.fitting.points import read_points

SCALES = 100.0 * 2.0 ** np.arange(8)
CURVES = {
    "power": lambda x: 5 * x**-0.3,
    "floor": lambda x: 0.4 + 5 * x**-0.4,
    "steepening": lambda x: 3 * x**-0.1 * (1 + (x / 2500) ** 5) ** (-0.3 / 5),
    "flattening": lambda x: 5 * x**-0.4 * (1 + (x / 2500) ** 5) ** (0.25 / 5),
    "plateau": lambda x: 2.3 / (1 + (x / 2000) ** 0.8) + 0.1,
}


def curve(loss, seed, *, seeds, noise=0.01):
    draw = np.random.default_rng(seed)
    x = np.repeat(SCALES, seeds)
    return x, loss(x) * np.exp(noise * draw.standard_normal(len(x)))


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("name", CURVES)
def test_clean_runs_are_no_outliers_whatever_the_curve(name, seeds):
    for seed in range(3):
        x, y = curve(CURVES[name], seed, seeds=seeds)
        assert not outliers(read_points(x, y)).any()


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("name", ["power", "floor"])
@pytest.mark.parametrize("row", [0, 11, 23])
def test_one_contaminated_run_of_24_is_the_only_outlier(name, row, factor):
    x, y = curve(CURVES[name], 0, seeds=3)
    y[row] *= factor
    assert np.flatnonzero(outliers(read_points(x, y))).tolist() == [row]


def test_two_outliers_among_forty_do_not_hide_each_other():
    x, y = curve(CURVES["floor"], 1, seeds=5)
    y[[7, 30]] *= 2.0
    assert np.flatnonzero(outliers(read_points(x, y))).tolist() == [7, 30]


def test_runs_that_agree_at_their_scale_are_evidence_and_no_outliers():
    x, y = curve(CURVES["power"], 2, seeds=3)
    y[x == 800.0] *= 1.5
    assert not outliers(read_points(x, y)).any()


def test_too_few_points_name_no_outlier():
    x, y = SCALES[:5], CURVES["power"](SCALES[:5])
    y[2] *= 2.0
    assert not outliers(read_points(x, y)).any()


def test_noise_that_is_known_to_be_large_excuses_a_run():
    x, y = curve(CURVES["power"], 3, seeds=1, noise=0.002)
    y[4] *= 1.3
    assert outliers(read_points(x, y, sd=0.002 * y)).any()
    assert not outliers(read_points(x, y, sd=0.3 * y)).any()


def test_the_answer_names_the_run_and_moves_by_less_than_its_standard_error():
    x, y = curve(CURVES["power"], 4, seeds=3)
    clean = assess(x, y)
    y[-1] *= 2.0
    contaminated = assess(x, y)
    assert clean.local is not None
    assert contaminated.local is not None
    assert abs(contaminated.local.value - clean.local.value) < clean.local.width / 3.92
    assert f"x = 12,800 (loss {y[-1]:.4g})" in contaminated.flags[0]
    assert contaminated.n_points == len(x) - 1
