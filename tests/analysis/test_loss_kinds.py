"""Kinds of loss of the same outputs: planted absolute errors are the square roots of squared ones."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.analysis import analyse
from mlproject.losses import PerImageLosses
from tests.studies import cell, planted


def squared_and_absolute(size, seed=0, kinds=("mse", "mae")):
    """A run that trained the squared error, and logs the absolute error of every image as its root."""
    planned = planted(cell(size=size, seed=seed), n=60)
    known = planned.load_losses()
    values = {"mse": known.loss, "mae": np.sqrt(known.loss), "error": known.loss > 1.0}
    table = PerImageLosses(
        kind="mse",
        image_ids=known.image_ids,
        splits=known.splits,
        values={name: np.asarray(values[name], dtype=float) for name in (*kinds, "error")},
    )
    return replace(planned, losses_digest=table.digest, load_losses=lambda: table)


def kinds_of(observations):
    (curve,) = analyse(observations, n_draws=20).along("images")
    return curve, curve.loss_kinds


def test_every_kind_that_all_runs_log_is_compared_the_trained_one_first():
    curve, (trained, other) = kinds_of([squared_and_absolute(size) for size in (100, 200, 400)])
    assert (trained.kind, trained.trained, other.kind, other.trained) == ("mse", True, "mae", False)
    assert trained.mean == pytest.approx(curve.values("mean"))
    assert other.mean == pytest.approx(np.sqrt(curve.losses).mean(axis=0))
    assert trained.spread == pytest.approx(curve.losses.std(axis=0) / curve.losses.mean(axis=0))
    assert trained.agreement["mae"] == pytest.approx(1.0), "a square keeps the order of images"
    assert other.law.parameters["alpha"].value < trained.law.parameters["alpha"].value


def test_seeds_are_averaged_image_by_image():
    runs = [squared_and_absolute(size, seed) for size in (100, 200) for seed in (0, 1)]
    curve, (trained, _) = kinds_of(runs)
    assert trained.mean == pytest.approx(curve.losses.mean(axis=0))
    assert trained.law is None, "two sizes leave no degree of freedom"


def test_a_kind_that_a_run_lacks_is_not_compared():
    runs = [squared_and_absolute(100), squared_and_absolute(200, kinds=("mse",))]
    assert kinds_of(runs)[1] == ()
