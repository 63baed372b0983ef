"""BCa intervals: against SciPy's, coverage of skewed losses, and where they change nothing."""

import numpy as np
import pytest
from scipy import stats

from mlproject.errors import BadInput
from mlproject.scaling import acceleration_of, bca, fit


def bayesian(sample, n=8000, seed=0):
    weights = np.random.default_rng(seed).standard_exponential((n, len(sample)))
    return (weights @ sample / weights.sum(axis=1))[:, None]


def influence(sample):
    return ((sample - sample.mean()) / len(sample))[:, None]


def test_ordinary_draws_give_the_interval_of_scipy():
    sample = np.random.default_rng(1).lognormal(size=60)
    reference = stats.bootstrap(
        (sample,), np.mean, method="BCa", n_resamples=20000, rng=np.random.default_rng(0)
    ).confidence_interval
    rows = np.random.default_rng(2).integers(0, 60, (20000, 60))
    value = np.array([sample.mean()])
    low, high = bca(
        value, sample[rows].mean(axis=1)[:, None], acceleration_of(influence(sample)), bayesian=False
    )
    assert low[0] == pytest.approx(reference.low, rel=0.01)
    assert high[0] == pytest.approx(reference.high, rel=0.01)


def test_exponential_weights_agree_with_scipy_once_their_skewness_is_counted_once():
    plain, accelerated = [], []
    for seed in range(30):
        sample = np.random.default_rng(seed).gamma(0.5, size=200)
        reference = stats.bootstrap(
            (sample,), np.mean, method="BCa", n_resamples=8000, rng=np.random.default_rng(0)
        ).confidence_interval
        value, draws = np.array([sample.mean()]), bayesian(sample)
        error = sample.std() / np.sqrt(200)
        for ends, acceleration in ((plain, 0.0), (accelerated, acceleration_of(influence(sample)))):
            low, high = bca(value, draws, acceleration)
            ends.append([(low[0] - reference.low) / error, (high[0] - reference.high) / error])
    assert np.mean(plain) > 0.02, "bias correction alone lies a standard error's fraction too high"
    assert abs(np.mean(accelerated)) < 0.5 * np.mean(plain)


def test_few_images_are_not_accelerated():
    assert acceleration_of(np.random.default_rng(0).lognormal(size=(19, 2))).tolist() == [0.0, 0.0]
    assert acceleration_of(np.zeros((50, 1))).tolist() == [0.0]


def test_symmetric_draws_give_percentiles():
    draws = np.random.default_rng(0).normal(size=(20001, 1))
    low, high = bca(np.array([float(np.median(draws))]), draws)
    assert [low[0], high[0]] == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.02)


def skewed_study(seed):
    """Losses of 400 images at six sizes: gamma over images, shared in part, around 3 x^-0.4."""
    rng = np.random.default_rng(seed)
    x = 100.0 * 2.0 ** np.arange(6)
    hard = rng.gamma(0.7, size=(400, 1))
    losses = 3 * x**-0.4 * (hard + 0.5 * rng.gamma(0.7, size=(400, 6))) / 1.05
    y = losses.mean(axis=0)
    weights = rng.standard_exponential((1000, 400))
    draws = weights @ losses / weights.sum(axis=1, keepdims=True)
    return x, y, draws, (losses - y) / 400


def test_influence_moves_the_interval_and_not_the_fit():
    x, y, draws, moved = skewed_study(0)
    plain = fit(x, y, law="power", draws=draws)
    accelerated = fit(x, y, law="power", draws=draws, influence=moved)
    for name in ("alpha", "k"):
        assert plain.parameters[name].value == accelerated.parameters[name].value
        assert plain.parameters[name].width == pytest.approx(accelerated.parameters[name].width, rel=0.15)
    ahead = [one.predict([6400]) for one in (plain, accelerated)]
    assert ahead[1].high[0] < ahead[0].high[0], "the plain interval of a skewed loss lies too high"


def test_accelerated_intervals_cover_the_planted_exponent():
    held = []
    for seed in range(60):
        x, y, draws, moved = skewed_study(seed)
        held.append(fit(x, y, law="power", draws=draws, influence=moved).parameters["alpha"].holds(0.4))
    assert np.mean(held) >= 0.88  # of 60 at 95 %: fewer than 53 has a chance under 2 %


def test_influence_needs_draws_of_the_same_points():
    x, y, draws, moved = skewed_study(0)
    with pytest.raises(BadInput, match="influence"):
        fit(x, y, influence=moved)
    with pytest.raises(BadInput, match="influence"):
        fit(x, y, draws=draws, influence=moved[:, :3])
