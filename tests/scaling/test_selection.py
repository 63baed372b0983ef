"""Which rows of a set of points are fitted, and the flags that name the others."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.scaling import assess
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.selection import select

X = 100.0 * 2.0 ** np.arange(6)
Y = 5 * X**-0.3 * np.exp(0.01 * np.random.default_rng(0).standard_normal(6))


def test_all_rows_of_clean_points_are_fitted_without_a_flag():
    rows, flags = select(read_points(X, Y, ceiling=5.0))
    assert rows.all()
    assert flags == ()


@pytest.mark.parametrize("sd", [None, 0.01])
def test_a_table_that_was_pasted_five_times_gives_the_same_answer_and_says_so(sd):
    noise = None if sd is None else sd * Y
    once = assess(X, Y, sd=noise)
    five = assess(np.tile(X, 5), np.tile(Y, 5), sd=None if noise is None else np.tile(noise, 5))
    assert five.local == once.local
    assert five.fits["power"].parameters == once.fits["power"].parameters
    assert five.flags[0] == "24 rows repeat another and count once: the same scale, loss and noise"


def test_equal_losses_with_replicates_of_their_own_are_different_runs():
    draws = np.exp(0.01 * np.random.default_rng(1).standard_normal((50, 12))) * np.tile(Y, 2)
    rows, flags = select(read_points(np.tile(X, 2), np.tile(Y, 2), draws=draws))
    assert rows.all()
    assert flags == ()


def test_losses_above_the_ceiling_are_kept_and_named():
    rows, flags = select(read_points(X, Y, ceiling=float(np.sort(Y)[-2])))
    assert rows.all()
    assert flags == (f"1 loss lies above the ceiling {np.sort(Y)[-2]:.4g}, the loss of an uninformed model",)
