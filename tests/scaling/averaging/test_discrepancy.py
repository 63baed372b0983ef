"""What laws leave out and what is plausible before data are seen, against independent references."""

import numpy as np
import pytest
from scipy import integrate, stats

from mlproject.scaling import average, fit
from mlproject.scaling.averaging.averaged_points import AveragedPoints, average_repeats
from mlproject.scaling.averaging.discrepancy import (
    LENGTH,
    Discrepancy,
    condition,
    discrepancies,
    predict_points,
)
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws.law import RISING, plausible_direction, plausible_share

SIZES = np.geomspace(100.0, 6400.0, 7)


def drift(size=1.0, *, anchor=(0.0,)):
    return Discrepancy(drift=size, correlated=0.0, log_prior=0.0, anchor=np.array(anchor))


def test_a_drift_is_an_integrated_ornstein_uhlenbeck_process():
    for u, v in ((1.0, 3.0), (2.5, 0.5), (-1.0, 2.0)):
        direct, _ = integrate.dblquad(lambda s, t: np.exp(-abs(s - t) / LENGTH), 0.0, u, 0.0, v)
        found = drift().covariance(np.array([[u]]), np.array([[v]]))[0, 0]
        assert found == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_discrepancy_is_a_covariance_along_any_number_of_axes(axes):
    at = np.random.default_rng(0).uniform(0.0, 5.0, (40, axes))
    one = Discrepancy(drift=2.0, correlated=1.5, log_prior=0.0, anchor=at.min(axis=0))
    covariance = one.covariance(at, at)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert np.diag(covariance) == pytest.approx(one.variance(at))


def test_where_a_drift_starts_does_not_matter():
    u = np.linspace(0.0, 5.0, 9)[:, None]
    y = -0.3 * u[:, 0] + 0.01 * np.sin(3.0 * u[:, 0])
    cells = AveragedPoints(log_x=u, log_y=y, noise=np.eye(9), prior_squares=4e-4, dof=4.0)
    at, flat = np.array([[6.0], [7.0]]), np.zeros((1, 9))
    answers = [
        predict_points(
            cells, condition(cells, [drift(3.0, anchor=(a,))])[0], flat, at, np.zeros((1, 2)), None
        )
        for a in (0.0, 5.0)
    ]
    for here, there in zip(*answers, strict=True):
        assert here == pytest.approx(there, rel=1e-6)


def test_discrepancies_share_the_prior_probability():
    cells = AveragedPoints(
        log_x=np.arange(5.0)[:, None], log_y=np.zeros(5), noise=np.eye(5), prior_squares=4e-4, dof=4.0
    )
    assert sum(np.exp(one.log_prior) for one in discrepancies(cells)) == pytest.approx(1.0)


def test_the_share_of_the_floor_has_a_beta_prior():
    z = np.linspace(-4.0, 4.0, 33)
    assert plausible_share(z) == pytest.approx(stats.beta.ppf(stats.norm.cdf(z), 2, 2), abs=1e-7)


def test_a_power_law_may_rise_and_seldom_does():
    z = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    exponents = plausible_direction(z)
    assert np.mean(exponents < 0) == pytest.approx(RISING, abs=1e-3)
    assert np.all(np.diff(exponents) >= 0)


def test_copies_of_a_row_tell_nothing_of_the_noise():
    y = 0.3 + 10.0 * SIZES**-0.5
    once = average_repeats(Points(x=SIZES[:, None], y=y))
    thrice = average_repeats(Points(x=np.repeat(SIZES, 3)[:, None], y=np.repeat(y, 3)))
    assert not thrice.noise_known
    assert (thrice.prior_squares, thrice.dof) == pytest.approx((once.prior_squares, once.dof))
    assert thrice.log_y == pytest.approx(once.log_y)


def test_a_loss_that_rises_is_predicted_to_rise():
    y = SIZES**0.3 * np.exp(0.01 * np.random.default_rng(0).standard_normal(7))
    found = average(SIZES, y)
    predicted = found.predict([5e4])
    assert predicted.low[0] < 5e4**0.3 < predicted.high[0]
    assert predicted.low[0] > y[-1]
    assert found.parameters["alpha"].holds(-0.3)


def test_tens_of_decades_leave_every_number_finite():
    x = np.geomspace(1.0, 1e16, 17)
    found = average(x, 0.3 + 2.0 * x**-0.2, laws=("power", "power_floor", "zhai", "m4", "bnsl1", "bnsl2"))
    predicted = found.predict([1e18])
    assert sum(found.weights.values()) == pytest.approx(1.0)
    assert predicted.low[0] < 0.3 + 2.0 * 1e18**-0.2 < predicted.high[0]


def test_a_constant_loss_is_flat():
    assert fit(SIZES, np.full(7, 2.0)).verdict == "flat"
    assert average(SIZES, np.full(7, 2.0)).predict([2e4]).mean[0] == pytest.approx(2.0, rel=0.05)


def test_parameters_of_an_averaged_law_agree_with_its_profile():
    y = (0.3 + 10.0 * SIZES**-0.5) * np.exp(0.01 * np.random.default_rng(1).standard_normal(7))
    sampled, fitted = average(SIZES, y).law_parameters("power_floor"), fit(SIZES, y).parameters
    assert set(sampled) == set(fitted)
    for name, estimate in fitted.items():
        assert sampled[name].low < estimate.value < sampled[name].high
