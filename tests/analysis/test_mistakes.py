"""Mistakes by scale: planted images are recovered, κ is Cohen's, calibrated networks have no error."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mlproject.analysis import LOST, NEVER, analyse
from mlproject.analysis.calibration import binned_errors
from mlproject.losses import Observation, PerImageLosses
from mlproject.report.mistakes_section import sentences
from mlproject.scaling import image_trends, shrink
from tests.studies import cell, planted, without_laws

N = 120
SIZES = (100, 200, 400, 800)


def observations(*, seeds: int = 3, confident: bool = True, weights: str = "imagenet"):
    """Margins that rise with size; image 0 gets worse, images 1 to 5 are never right."""
    hard = 1.5 * np.random.default_rng(5).normal(size=N)
    hard[1:6] = 12.0
    for model in ("lite0", "lite1"):
        for size in SIZES:
            for seed in range(seeds):
                own = np.random.default_rng([size, seed, len(model), ord(model[-1])])
                steps = np.log(size / 100) * np.where(np.arange(N) == 0, -4.0, 0.8)
                margin = 1.0 - hard + steps + 0.3 * own.normal(size=N)
                margin[0] += 4.0
                chance = 1 / (1 + np.exp(-margin))
                yield observed(cell(model, size, seed, weights=weights), chance, confident=confident)


def observed(this, chance, *, confident):
    ids = tuple(f"{i:04d}.png" for i in range(N))
    right = chance > 0.5
    values = {"cross_entropy": -np.log(chance), "error": (~right).astype(float)}
    losses = PerImageLosses(kind="cross_entropy", image_ids=ids, splits=("eval",) * N, values=values)
    table = {"image_name": list(ids), "label": ["a"] * N}
    table["predicted"] = ["a" if hit else "b" for hit in right]
    if confident:
        table["confidence"] = [str(max(p, 1 - p)) for p in chance]
    return Observation(
        cell=this,
        run_id=f"run-{this.key}",
        metrics={"params": 1e6, "eval.loss": float(losses.loss.mean())},
        losses_digest=losses.digest,
        load_losses=lambda: losses,
        load_table=lambda name: table if name == "predictions" else {},
    )


@pytest.fixture(scope="module")
def study():
    return without_laws(observations(), n_draws=20)


@pytest.fixture(scope="module")
def known(study):
    return study.mistakes


def test_images_are_learned_lost_or_never_right_as_planted(known):
    for trajectory in known.trajectories:
        assert trajectory.learned[0] == LOST
        assert set(trajectory.learned[1:6].tolist()) == {NEVER}
        assert sum(trajectory.count(outcome) for outcome, _ in trajectory.outcomes) == N
        assert trajectory.trends.rises.nonzero()[0].tolist() == [0]


def test_kappa_of_seeds_is_that_of_cohen_and_of_models_has_an_interval(study, known):
    (table,) = known.consistencies
    (trajectory, _) = known.trajectories
    wrong = trajectory.wrong[0]
    agreed = np.mean([(wrong[i] == wrong[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))])
    assert table.observed[0, 0] == pytest.approx(agreed)
    p = 1 - wrong.mean()
    assert table.kappa[0, 0] == pytest.approx((agreed - p**2 - (1 - p) ** 2) / (2 * p * (1 - p)))
    assert table.low[0, 0] <= table.kappa[0, 0] <= table.high[0, 0]
    assert table.between_models == ((3, 7),)
    (text,) = (text for text in sentences(study) if text.startswith("Between models"))
    assert re.fullmatch(r".* κ is 0\.\d+ \[0\.\d+, [01]\.\d+\] \(lite0 and lite1\)\.", text)


def test_images_of_the_largest_scale_are_forecast_better_than_by_the_base_rate(known):
    for forecast in known.forecasts:
        base = next(score for score in forecast.scores if score.method == "base rate")
        assert base.log_gain.low > 0
        assert base.auc.value == pytest.approx(0.5)
        assert forecast.next_scale == 1600
        assert forecast.chance[1:6].max() < 0.5


def test_calibrated_networks_have_no_error_and_overconfident_ones_have_theirs():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, (3, 4000))
    right = (rng.random(confidence.shape) < confidence).astype(float)
    error, ece, calibrated = binned_errors(confidence, right)
    assert error.low < 0.01
    assert ece.value == pytest.approx(calibrated, abs=0.006)
    shifted = (rng.random(confidence.shape) < confidence - 0.1).astype(float)
    assert binned_errors(confidence, shifted)[0].value == pytest.approx(0.1, abs=0.02)


def test_what_cannot_be_computed_is_left_out_with_its_reason():
    lone = without_laws(observations(seeds=1, confident=False), n_draws=20).mistakes
    reasons = " ".join(lone.left_out)
    assert "one seed" in reasons
    assert "no confidence" in reasons
    regression = analyse([planted(cell(size=size), n=20) for size in (100, 200)], n_draws=20).mistakes
    assert regression.trajectories == ()
    assert "nothing is classified" in regression.left_out[0]


def test_trends_of_noise_are_rarely_discovered():
    rng = np.random.default_rng(1)
    losses = [np.exp(rng.normal(size=(3, 2000))) for _ in range(5)]
    trends = image_trends([1, 2, 4, 8, 16], losses)
    assert trends.rises.sum() + trends.falls.sum() <= 3


def test_shrunk_estimates_cover_what_was_drawn():
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(60):
        truth = 0.1 * rng.normal(size=10)
        result = shrink(truth + 0.1 * rng.normal(size=10), np.full(10, 0.1))
        inside += [e.holds(float(t)) for e, t in zip(result.values, truth, strict=True)]
    assert 0.92 <= np.mean(inside) <= 0.98
