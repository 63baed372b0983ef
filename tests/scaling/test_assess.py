"""One assessment for curves, grids and tables: what is fitted, averaged, held out and refused."""

import numpy as np
import pytest

from mlproject.errors import BadInput, WrongUse
from mlproject.scaling import Cost, assess, average, fit, interval_text

SIZES = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0])


def losses(x=SIZES, *, alpha=0.5, k=8.0, floor=0.2, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    return (floor + k * x**-alpha) * np.exp(noise * rng.normal(size=len(x)))


def replicates(y, *, shared=0.1, unshared=0.01, n=200):
    rng = np.random.default_rng(1)
    return y * np.exp(shared * rng.normal(size=(n, 1)) + unshared * rng.normal(size=(n, len(y))))


def test_a_curve_has_laws_by_weight_a_verdict_and_its_largest_scale_held_out():
    found = assess(SIZES, losses())
    assert found.verdict == "scaling"
    assert found.reason.startswith("the loss falls with exponent")
    weights = [law.weight for law in found.laws]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0)
    assert set(found.fits) == {"power", "power_floor"}
    assert found.law("bnsl1").fit is None
    assert found.law("bnsl1").parameters["alpha"].low < found.law("bnsl1").parameters["alpha"].high
    assert found.law("zhai") is None
    assert found.held_out.rows.tolist() == [False] * 5 + [True]
    rest = average(SIZES[:5], losses()[:5]).predict(SIZES[5:])
    assert found.held_out.prediction.mean == pytest.approx(rest.mean, rel=1e-12)


@pytest.mark.parametrize("dof", [0.0, float("inf")])
def test_losses_without_any_noise_are_assessed(dof):
    y = losses(noise=0.0)
    assessed = assess(SIZES, y, draws=np.tile(y, (50, 1)), noise_dof=dof)
    assert assessed.verdict == "scaling"
    assert assessed.law("power_floor").parameters["alpha"].value == pytest.approx(0.5, rel=1e-3)
    two = assess(SIZES[:3], y[:3], draws=np.tile(y[:3], (50, 1)), noise_dof=dof)
    assert two.verdict == "not identifiable"


def test_fits_and_average_are_those_of_the_same_points():
    y = losses()
    found = assess(SIZES, y, sd=0.01 * y)
    alone = fit(SIZES, y, law="power_floor", sd=0.01 * y)
    for name, estimate in alone.parameters.items():
        assert found.law("power_floor").parameters[name].value == estimate.value
    told, together = found.predict([6400.0]), average(SIZES, y, sd=0.01 * y).predict([6400.0])
    assert told.mean == pytest.approx(together.mean, rel=1e-12)
    assert found.exponents == average(SIZES, y, sd=0.01 * y).parameters


PLANTED = {
    "power": lambda x: 5 * x**-0.3,
    "floor": lambda x: 0.4 + 5 * x**-0.4,
    "bounded": lambda x: 0.1 + 2.2 * (x / 700) ** -0.8 / (1 + (x / 700) ** -0.8),
    "kink": lambda x: 5 * x**-0.4 * (1 + (x / 800) ** 5) ** (0.25 / 5),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_answer_is_the_exponent_at_the_largest_scale_whatever_the_law(name):
    loss = PLANTED[name]
    low, high = loss(SIZES[-1] * np.exp(np.array([-1e-4, 1e-4])))
    truth = float(np.log(low / high) / 2e-4)
    rng = np.random.default_rng(3)
    found = assess(SIZES, loss(SIZES) * np.exp(0.005 * rng.normal(size=len(SIZES))))
    assert found.local.holds(truth)
    assert found.local.width < 0.35
    assert found.verdict == "scaling"
    assert f"exponent {interval_text(found.local.value, found.local.low, found.local.high)}" in found.reason
    assert "at 3,200" in found.reason


def test_the_answer_names_a_law_only_where_it_carries_most_of_the_weight():
    for seed in range(4):
        found = assess(SIZES, losses(seed=seed))
        assert ("of the weight" in found.reason) == (found.heaviest.weight >= 0.5)
        assert "power_floor: " not in found.reason


def test_the_irreducible_loss_over_all_laws_is_a_limit_where_a_law_without_one_has_weight():
    power = assess(SIZES, losses(floor=0.0))
    assert power.floor.low == 0.0
    assert not power.floor.identified
    assert f"no floor above {power.floor.high:.3g} fits" in power.reason
    assert power.floor.high < power.points.y.min()


def test_a_limit_of_the_irreducible_loss_is_at_most_that_of_the_loss_far_beyond_the_data():
    """A loss that starts at its ceiling: laws that cannot bend so leave the floor without a limit."""
    sizes = 10.0 * 2.0 ** np.arange(9)
    found = assess(sizes, [2.302, 2.300, 2.29, 2.22, 1.98, 1.62, 1.30, 1.04, 0.84])
    assert found.floor.high == pytest.approx(found.predict(10 * sizes[-1:]).high[0], rel=1e-9)
    assert "over all laws; no floor above 0.734 fits" in found.reason


def test_a_loss_that_has_reached_its_floor_fell_and_levels_off():
    sizes = np.geomspace(100, 1e6, 24)
    found = assess(sizes, losses(sizes, floor=0.5, noise=0.002))
    assert found.verdict == "scaling"
    assert found.reason.startswith("the loss fell and levels off: exponent [")
    assert found.floor.holds(0.5)


def test_a_curve_whose_exponent_could_be_nothing_is_not_called_scaling():
    y = 1.0 + 0.2 * np.random.default_rng(5).normal(size=len(SIZES))
    found = assess(SIZES, y)
    assert found.verdict == "not identifiable"
    assert found.local.holds(0.0)


def test_noise_that_all_scales_share_does_not_count():
    y = losses()
    few, many = (assess(SIZES, y, draws=replicates(y, shared=shared)) for shared in (0.0, 0.3))
    assert few.points.sd == pytest.approx(many.points.sd, rel=1e-9)


def test_a_loss_that_rises_is_followed_by_the_power_law_alone():
    found = assess(SIZES, 0.3 * SIZES**0.2)
    assert found.average is None
    assert found.held_out is None
    assert found.heaviest.law == "power"
    assert found.exponents["alpha"].value == pytest.approx(-0.2)
    assert found.predict([12800.0]).mean == pytest.approx(0.3 * 12800.0**0.2)


def test_a_constant_loss_is_flat():
    assert assess(SIZES, losses(k=0.0, floor=1.0, noise=1e-3)).verdict == "flat"


def test_a_flat_loss_with_seeds_may_have_a_slope_of_zero_and_stay_what_it_is():
    x = np.repeat(SIZES, 3)
    found = assess(x, losses(x, k=0.0, floor=1.3, noise=1e-3, seed=1))
    assert found.verdict == "flat"
    assert found.local.holds(0.0)
    predicted = found.predict([2 * SIZES[-1], 10 * SIZES[-1]])
    assert np.all((predicted.low < 1.3) & (predicted.high > 1.3))


def test_parameters_that_the_data_do_not_pin_down_are_marked():
    found = assess(SIZES[:3], losses(SIZES[:3]), draws=replicates(losses(SIZES[:3])))
    power = found.law("power")
    assert power.verdict == "not identifiable"
    assert not any(estimate.identified for estimate in power.parameters.values())


@pytest.mark.parametrize(("n", "fits", "verdict"), [(3, {"power"}, "not identifiable"), (4, None, "scaling")])
def test_a_power_law_needs_the_scales_at_which_a_floor_could_contradict_it(n, fits, verdict):
    y = losses(SIZES[:n], floor=0.0, noise=0.002)
    found = assess(SIZES[:n], y, sd=0.002 * y)
    assert set(found.fits) == (fits or {"power", "power_floor"})
    assert found.law("power").verdict == fit(SIZES[:n], y, law="power", sd=0.002 * y).verdict == verdict


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([100.0], "at least two points"),
        ([100.0, 120.0, 140.0, 160.0, 180.0], "under a decade; not fitted"),
    ],
)
def test_points_that_carry_no_law_say_why(x, words):
    found = assess(x, losses(np.array(x)))
    assert found.verdict == "not identifiable"
    assert words in found.reason
    assert found.average is None
    assert found.predict([1e5]) is None


def test_a_loss_of_zero_is_refused_in_words():
    found = assess(SIZES, [0.0, *losses()[1:]])
    assert found.verdict == "not identifiable"
    assert "not fitted: y must be positive finite numbers" in found.reason
    assert found.laws == ()


def grid(models=(1e6, 4e6, 1.6e7, 6.4e7), sizes=SIZES):
    x = np.array([(n, d) for n in models for d in sizes])
    rng = np.random.default_rng(0)
    return x, (0.3 + 20 * x[:, 0] ** -0.3 + 5 * x[:, 1] ** -0.4) * np.exp(0.005 * rng.normal(size=len(x)))


def test_the_most_expensive_cells_of_a_grid_are_held_out():
    x, y = grid()
    found = assess(x, y, cost=Cost(coefficient=6.0, n_power=1.0, d_power=1.0))
    price = x.prod(axis=1)
    assert price[found.held_out.rows].min() > price[~found.held_out.rows].max()
    assert found.verdict == "scaling"
    assert set(found.fits) == {"separable", "product", "log_plane", "coupled", "bounded_sum"}
    inside = (found.held_out.prediction.new_run_low < y[found.held_out.rows]) & (
        y[found.held_out.rows] < found.held_out.prediction.new_run_high
    )
    assert inside.mean() > 0.8


def test_a_grid_that_is_too_small_is_refused_in_words():
    x, y = grid(models=(1e6, 4e6))
    found = assess(x, y, axes=("model size", "data size"))
    assert found.reason == "2 values of model size × 6 values of data size, at least 3 of each needed"
    assert found.laws == ()


def test_laws_that_are_asked_for_are_the_only_ones():
    found = assess(SIZES, losses(), laws=("zhai", "power"))
    assert set(found.weights) == {"zhai", "power"}
    with pytest.raises(WrongUse, match="did you mean power"):
        assess(SIZES, losses(), laws=("powr",))
    with pytest.raises(BadInput, match="has 2 axes"):
        assess(SIZES, losses(), laws=("separable",))


def test_what_is_said_of_three_sizes_holds_the_t_interval_of_one_degree_of_freedom():
    x = np.array([100.0, 200.0, 400.0])
    y = 2.0 * x**-0.06 * np.exp(np.array([0.005, -0.01, 0.005]))
    draws = y * np.exp(0.003 * np.random.default_rng(0).normal(size=(200, 3)))
    for found in (assess(x, y, draws=draws, noise_dof=0), assess(x, y)):
        alone = found.law("power").fit
        for alpha in (alone.parameters["alpha"], found.exponents["alpha"]):
            assert alpha.low < -0.05 < 0.2 < alpha.high
        assert not found.exponents["alpha"].identified
        ahead, least = found.predict([800.0]), alone.predict([800.0])
        assert ahead.low[0] <= least.low[0] < least.high[0] <= ahead.high[0]
    with_floor = found.law("power_floor")
    assert not any(estimate.identified for estimate in with_floor.parameters.values())
