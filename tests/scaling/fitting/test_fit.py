"""One law on one set of points: planted parameters, verdicts, intervals, refusals."""

import numpy as np
import pytest

from mlproject.errors import BadInput, WrongUse
from mlproject.scaling import LAWS, fit

SIZES = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0])
LOSSES = 0.3 + 10.0 * SIZES**-0.5


def noisy(losses, relative, seed, shape=()):
    rng = np.random.default_rng(seed)
    return losses * np.exp(relative * rng.standard_normal((*shape, len(losses))))


def test_planted_parameters_come_back_to_rounding():
    found = fit(SIZES, LOSSES)
    values = {name: estimate.value for name, estimate in found.parameters.items()}
    assert values == pytest.approx({"alpha": 0.5, "k": 10.0, "E": 0.3}, rel=1e-8)
    assert found.verdict == "scaling"
    assert found.held_out_error == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("law", ["power", "power_floor", "shifted", "zhai", "m3"])
def test_units_change_amplitudes_and_nothing_else(law):
    losses = noisy(LOSSES, 0.02, 3)
    here, there = fit(SIZES, losses, law=law), fit(SIZES * 1e6, losses * 1e-3, law=law)
    assert there.parameters["alpha"].value == pytest.approx(here.parameters["alpha"].value, rel=1e-6)
    assert there.parameters["alpha"].low == pytest.approx(here.parameters["alpha"].low, rel=1e-4)
    assert there.predict([1e10]).mean * 1e3 == pytest.approx(here.predict([1e4]).mean, rel=1e-6)
    assert there.verdict == here.verdict


def test_the_same_points_give_the_same_fit():
    losses = noisy(LOSSES, 0.02, 4)
    assert fit(SIZES, losses).parameters == fit(SIZES, losses).parameters


def test_three_sizes_are_not_identifiable_and_say_what_would_be():
    found = fit(SIZES[:3], LOSSES[:3])
    assert found.verdict == "not identifiable"
    assert "one more scale" in found.reason
    assert found.n_scales == 3
    assert found.dof == 0


def test_one_degree_of_freedom_uses_its_wide_t():
    losses = np.array([1.0, 0.75, 0.45])
    found = fit(SIZES[:3], losses, law="power")
    slope, error = _textbook_slope(SIZES[:3], losses)
    assert found.parameters["alpha"].value == pytest.approx(-slope, rel=1e-9)
    assert found.parameters["alpha"].width == pytest.approx(2 * 12.7062 * error, rel=1e-3)
    assert found.verdict == "not identifiable"


def _textbook_slope(x, y):
    lx, ly = np.log(x), np.log(y)
    centred = lx - lx.mean()
    slope = centred @ ly / (centred @ centred)
    residual = ly - ly.mean() - slope * centred
    return slope, np.sqrt(residual @ residual / (len(x) - 2) / (centred @ centred))


def test_a_predicted_loss_has_the_textbook_interval_of_a_straight_line():
    losses = noisy(SIZES**-0.3, 0.02, 0)
    at = np.array([50.0, 700.0, 1e4, 1e6])
    found = fit(SIZES, losses, law="power").predict(at)
    design, asked = (np.stack([np.ones_like(x), np.log(x)], axis=1) for x in (SIZES, at))
    best, (squares,), _, _ = np.linalg.lstsq(design, np.log(losses))
    error = np.sqrt(np.diag(asked @ np.linalg.inv(design.T @ design) @ asked.T) * squares / 4)
    assert np.log(found.mean) == pytest.approx(asked @ best, rel=1e-6)
    assert np.log(found.high / found.mean) == pytest.approx(2.776445 * error, rel=0.01)
    assert np.log(found.mean / found.low) == pytest.approx(2.776445 * error, rel=0.01)


def test_predictions_come_one_by_one_or_all_at_once():
    found, at = fit(SIZES, noisy(LOSSES, 0.02, 1)), np.geomspace(50.0, 1e5, 150)
    together, some = found.predict(at), (0, 70, 149)
    for i in some:
        alone = found.predict([at[i]])
        assert alone.low[0] == pytest.approx(together.low[i], rel=1e-3)
        assert alone.high[0] == pytest.approx(together.high[i], rel=1e-3)


@pytest.mark.parametrize("law", ["power", "power_floor"])
def test_a_flat_curve_is_flat(law):
    assert fit(SIZES, noisy(np.ones(6), 0.005, 5), law=law).verdict == "flat"


def test_a_noisy_curve_is_not_flat_but_not_identifiable():
    assert fit(SIZES[:4], noisy(np.ones(4), 0.5, 6), law="power").verdict == "not identifiable"


def test_what_is_identified_is_told_parameter_by_parameter():
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e7, 4), SIZES))
    losses = 0.3 + 2.0 * (n / 1e5) ** -4.0 + (d / 100.0) ** -0.5
    grid = fit(np.stack([n, d], axis=1), noisy(losses, 0.005, 0), law="separable")
    assert "the data do not bound alpha" in grid.reason
    assert grid.identified == {"beta", "E"}, "A means nothing beside an exponent that is open"
    assert fit(SIZES, noisy(LOSSES, 0.003, 0)).identified == {"alpha", "k", "E"}
    falling = fit(SIZES, noisy(10.0 * SIZES**-0.5, 0.003, 1))
    assert falling.parameters["E"].low == 0.0
    assert falling.identified == {"alpha", "k"}, "a floor that may be zero is an upper limit"
    flat = noisy(np.ones(6), 0.005, 5)
    assert fit(SIZES, flat, law="power").identified == {"alpha", "k"}
    assert "alpha" not in fit(SIZES, flat).identified
    assert not fit(SIZES[:3], LOSSES[:3]).identified


def test_a_rising_loss_is_said_to_rise():
    found = fit(SIZES, SIZES**0.3, law="power")
    assert found.verdict == "scaling"
    assert "rises" in found.reason
    assert "alpha is negative" in found.flags


def test_a_floor_at_zero_is_reported():
    found = fit(SIZES, noisy(10.0 * SIZES**-0.5, 0.01, 11))
    at_zero = found.parameters["E"].value == 0.0
    assert at_zero == any("E is at zero" in flag for flag in found.flags)
    assert found.parameters["E"].low == 0.0


def test_draws_agree_with_the_profile_where_noise_is_independent():
    losses = noisy(LOSSES, 0.01, 7)
    by_draws = fit(SIZES, losses, draws=noisy(losses, 0.01, 8, (4000,)))
    by_profile = fit(SIZES, losses, sd=0.01 * losses)
    for name in ("alpha", "E"):
        a, b = by_draws.parameters[name], by_profile.parameters[name]
        assert a.low == pytest.approx(b.low, abs=0.15 * b.width)
        assert a.high == pytest.approx(b.high, abs=0.15 * b.width)


def test_a_new_run_varies_more_than_the_mean():
    found = fit(SIZES, noisy(LOSSES, 0.02, 12)).predict([6400.0, 64000.0])
    assert np.all(found.new_run_low < found.low)
    assert np.all(found.low < found.mean)
    assert np.all(found.mean < found.high)
    assert np.all(found.high < found.new_run_high)
    assert found.horizon == pytest.approx([2.0, 20.0])


def test_a_profile_covers_the_truth_with_and_without_a_floor():
    rng = np.random.default_rng(13)
    held = []
    for trial in range(32):
        floor = 0.3 * (trial % 2)
        x = np.repeat(np.geomspace(1.0, 30.0, 6), 3)
        y = (floor + 1.5 * x**-0.5) * np.exp(0.02 * rng.standard_normal(len(x)))
        found, at = fit(x, y), 300.0
        predicted = found.predict([at])
        truth = floor + 1.5 * at**-0.5
        inside = predicted.low[0] <= truth <= predicted.high[0]
        held.append([found.parameters["alpha"].holds(0.5), found.parameters["k"].holds(1.5), inside])
    assert np.all(np.sum(held, axis=0) >= 30)  # of 32: at a coverage of 0.8 that has a chance of 3 %


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        ([1, 2, 3], [1, 2], "match"),
        ([1, 2, 3], [1, -2, 3], "positive"),
        ([1, 2, np.nan], [1, 2, 3], "positive"),
        ([1], [1], "two points"),
        ([], [], "empty"),
        (["a", "b"], [1, 2], "numbers"),
    ],
)
def test_bad_points_are_refused_in_one_line(x, y, word):
    with pytest.raises(BadInput, match=word) as caught:
        fit(x, y)
    assert "\n" not in str(caught.value)


def test_bad_noise_and_laws_are_refused():
    with pytest.raises(BadInput, match="sd"):
        fit(SIZES, LOSSES, sd=[1.0])
    with pytest.raises(BadInput, match="draws"):
        fit(SIZES, LOSSES, draws=[[1.0]])
    with pytest.raises(BadInput, match="ceiling"):
        fit(SIZES, LOSSES, ceiling=-1.0)
    with pytest.raises(WrongUse, match="power_floor"):
        fit(SIZES, LOSSES, law="power_flor")


def test_every_law_states_its_source():
    for name, law in LAWS.items():
        assert law.name == name
        assert law.reference
        assert law.formula


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_constant_loss_is_flat_on_one_axis_and_on_two(noise):
    off = np.exp(noise * np.random.default_rng(0).standard_normal(9))
    x = np.geomspace(100, 6400, 9)
    assert fit(x, 0.7 * off, law="power_floor").verdict == "flat"
    n, d = (v.ravel() for v in np.meshgrid([1e5, 1e6, 1e7], [100.0, 1e3, 1e4]))
    for law in ("separable", "product", "coupled"):
        found = fit(np.stack([n, d], axis=1), 0.7 * off, law=law)
        assert found.verdict == "flat"
        assert "slopes" in found.reason


def test_a_loss_that_falls_along_one_axis_only_is_not_flat():
    n, d = (v.ravel() for v in np.meshgrid([1e5, 1e6, 1e7], [100.0, 1e3, 1e4]))
    y = 2 * d**-0.3 * np.exp(0.005 * np.random.default_rng(0).standard_normal(9))
    assert fit(np.stack([n, d], axis=1), y, law="product").verdict != "flat"


def test_the_average_slope_is_that_of_ordinary_least_squares():
    from scipy import stats

    from mlproject.scaling.fitting.points import read_points
    from mlproject.scaling.fitting.slopes import average_slopes

    x = np.geomspace(100, 6400, 9)
    y = x**-0.2 * np.exp(0.05 * np.random.default_rng(1).standard_normal(9))
    (found,) = average_slopes(read_points(x, y))
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf(0.975, 7) * line.stderr
    assert found.value == pytest.approx(-line.slope)
    assert [found.low, found.high] == pytest.approx([-line.slope - half, -line.slope + half])


def test_one_wild_point_moves_the_fit_and_is_flagged():
    x = np.geomspace(1e2, 1e5, 16)
    y = (0.3 + 10.0 * x**-0.5) * np.exp(0.002 * np.random.default_rng(3).standard_normal(16))
    y[-1] *= 1.2
    found = fit(x, y)
    assert any("robust" in flag for flag in found.flags)
    assert found.robust["alpha"] == pytest.approx(0.5, abs=0.03)
