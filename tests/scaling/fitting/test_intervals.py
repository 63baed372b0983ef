"""BCa intervals: against SciPy's, coverage of skewed losses, and where they change nothing."""

import numpy as np
import pytest
from scipy import stats

from mlproject.errors import BadInput
from mlproject.scaling import acceleration_of, bca, fit
from mlproject.scaling.fitting.intervals import estimate_noise


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


def test_draws_that_equal_the_value_but_for_rounding_count_half():
    value, rounding = np.array([2.0]), 1e-11 * np.random.default_rng(0).random((200, 1))
    draws = np.concatenate([[1.0, 1.5, 3.0, 4.0], np.full(196, 2.0)])[:, None]
    assert np.allclose(bca(value, draws * (1.0 - rounding)), bca(value, draws), rtol=1e-9)
    assert np.allclose(bca(value, draws * (1.0 + rounding)), bca(value, draws), rtol=1e-9)


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
    for seed in range(32):
        x, y, draws, moved = skewed_study(seed)
        held.append(fit(x, y, law="power", draws=draws, influence=moved).parameters["alpha"].holds(0.4))
    assert np.sum(held) >= 30  # of 32: at a coverage of 0.8 that has a chance of 3 %


def test_influence_needs_draws_of_the_same_points():
    x, y, draws, moved = skewed_study(0)
    with pytest.raises(BadInput, match="influence"):
        fit(x, y, influence=moved)
    with pytest.raises(BadInput, match="influence"):
        fit(x, y, draws=draws, influence=moved[:, :3])


def three_sizes():
    """Means of three sizes with one seed each: exponent 0.0595, standard error 0.0121, t = 12.7."""
    x = np.array([100.0, 200.0, 400.0])
    wave = 0.01208 * np.sqrt(np.sum((np.log(x) - np.log(x).mean()) ** 2)) * np.array([1, -2, 1]) / np.sqrt(6)
    y = 2.0 * x**-0.0595 * np.exp(wave)
    return x, y, y * np.exp(0.008 * np.random.default_rng(0).normal(size=(400, 3)))


def test_an_interval_beside_one_degree_of_freedom_is_the_t_interval_of_the_means():
    x, y, draws = three_sizes()
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf(0.975, 1) * line.stderr
    found = fit(x, y, law="power", sd=0.008 * y, draws=draws, noise_dof=0)
    alpha = found.parameters["alpha"]
    assert "one degree of freedom is left: t = 12.7" in found.reason
    assert (alpha.low, alpha.high) == pytest.approx((-line.slope - half, -line.slope + half), rel=1e-3)
    assert (alpha.low, alpha.high) == pytest.approx((-0.094, 0.213), abs=5e-4)
    assert alpha.holds(0.0)
    images_only = fit(x, y, law="power", sd=0.008 * y, draws=draws).parameters["alpha"]
    assert images_only.width < alpha.width


def test_a_prediction_of_partly_known_noise_is_as_wide_as_the_t_interval_and_as_the_draws():
    x, y, draws = three_sizes()
    shared = np.exp(0.5 * np.random.default_rng(1).normal(size=(400, 1)))
    ahead = fit(x, y, law="power", sd=0.008 * y, draws=draws * shared, noise_dof=0).predict([800.0])
    design = np.stack([np.ones(3), np.log(x)], axis=1)
    at = np.array([1.0, np.log(800.0)])
    residual = np.log(y) - design @ np.linalg.lstsq(design, np.log(y), rcond=None)[0]
    error = np.sqrt(np.sum(residual**2) * at @ np.linalg.inv(design.T @ design) @ at)
    half = max(stats.t.ppf(0.975, 1) * error, 1.96 * 0.5)
    assert np.log(ahead.high[0] / ahead.mean[0]) >= 0.8 * half  # less the bias correction of 400 draws
    assert np.log(ahead.mean[0] / ahead.low[0]) >= 0.8 * half  # less the bias correction of 400 draws


@pytest.mark.parametrize(
    ("cost", "dof", "noise_dof", "factor", "variance"),
    [
        (1.0, 3, np.inf, 1.96, 1.0),  # known
        (1.0, 3, 4.0, 2.776, 1.0),  # estimated from five runs
        (1.0, 3, 0.0, 3.182, 1.0),  # in part, and the residuals show no more
        (12.0, 3, 0.0, 3.182, 4.0),  # in part, and the residuals show more
        (12.0, 3, np.inf, 3.182, 4.0),  # rejected: chi-square of 3 exceeds 7.8 in 5 %
        (12.0, 3, 4.0, 2.776, 1.0),  # not rejected: F of 3 and 4 exceeds 6.6 in 5 %
        (0.0, 0, 4.0, 2.776, 1.0),
        (0.0, 0, 0.0, np.inf, 1.0),
    ],
)
def test_noise_has_the_t_of_what_is_known_of_it(cost, dof, noise_dof, factor, variance):
    noise = estimate_noise(cost, dof, known=True, noise_dof=noise_dof)
    assert noise.factor == pytest.approx(factor, abs=1e-3)
    assert noise.variance == pytest.approx(variance)


@pytest.mark.parametrize("n_scales", [3, 5])
def test_one_seed_covers_the_exponent_although_its_replicates_know_images_only(n_scales):
    rng = np.random.default_rng(n_scales)
    x, held, images_only = 100.0 * 2.0 ** np.arange(n_scales), [], []
    for _ in range(20):
        y = 3 * x**-0.4 * np.exp(rng.normal(0, np.hypot(0.01, 0.02), n_scales))
        draws = y * np.exp(rng.normal(0, 0.01, (100, n_scales)))
        for held_by, dof in ((held, 0.0), (images_only, np.inf)):
            found = fit(x, y, law="power", sd=0.01 * y, draws=draws, noise_dof=dof)
            held_by.append(found.parameters["alpha"].holds(0.4))
    assert np.sum(held) >= 18  # of 20: at a coverage of 0.75 that has a chance of 9 %
    assert np.mean(held) > np.mean(images_only)


def test_degrees_of_freedom_of_noise_are_not_negative():
    with pytest.raises(BadInput, match="noise_dof"):
        fit([1.0, 2.0], [2.0, 1.0], law="power", noise_dof=-1)
