"""Two axes: the compute-optimal frontier, comparing fits; the next cells that narrow the target most."""

from functools import cache

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import Cost, average, fit, fit_cost, frontier, plan_next

N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 5), np.geomspace(1e7, 1e10, 5)))
GRID = np.stack([N, D], axis=1)
TRUTH = {"A": 400.0, "alpha": 0.34, "B": 410.0, "beta": 0.28, "E": 1.69}


def chinchilla(n, d):
    return TRUTH["E"] + TRUTH["A"] * n ** -TRUTH["alpha"] + TRUTH["B"] * d ** -TRUTH["beta"]


def test_the_frontier_is_the_closed_form_of_its_law():
    compute = np.array([1e18, 1e20])
    best = frontier(fit(GRID, chinchilla(N, D), law="separable"), compute)
    a, b = TRUTH["alpha"], TRUTH["beta"]
    g = (a * TRUTH["A"] / (b * TRUTH["B"])) ** (1.0 / (a + b))
    assert best.n == pytest.approx(g * (compute / 6.0) ** (b / (a + b)), rel=1e-6)
    assert best.n * best.d * 6.0 == pytest.approx(compute)
    assert best.n_exponent.value == pytest.approx(b / (a + b))
    assert best.loss == pytest.approx(chinchilla(best.n, best.d))


@pytest.mark.parametrize("law", ["separable", "coupled"])
def test_nothing_of_equal_cost_is_better_than_the_frontier(law):
    y = chinchilla(N, D) * np.exp(0.005 * np.random.default_rng(0).standard_normal(len(N)))
    found, cost = fit(GRID, y, law=law), Cost(coefficient=2.0, n_power=0.8, d_power=1.1)
    best = frontier(found, 1e15, cost=cost)
    n = best.n * np.geomspace(0.2, 5.0, 41)
    d = (1e15 / (cost.coefficient * n**cost.n_power)) ** (1.0 / cost.d_power)
    assert found.predict(np.stack([n, d], axis=1)).mean.min() == pytest.approx(best.loss[0], rel=1e-4)
    assert best.n_limits[0] <= best.n <= best.n_limits[1]


def test_limits_of_the_frontier_hold_the_planted_optimum_as_often_as_they_say():
    compute, clean = np.geomspace(1e16, 1e18, 3), chinchilla(N, D)
    exact, held = frontier(fit(GRID, clean, law="separable"), compute), []
    for seed in range(20):
        noisy = clean * np.exp(0.005 * np.random.default_rng(seed).standard_normal(len(N)))
        best = frontier(fit(GRID, noisy, law="separable"), compute)
        pairs = ((best.n_limits, exact.n), (best.d_limits, exact.d), (best.loss_limits, exact.loss))
        held.append([np.mean((low <= truth) & (truth <= high)) for (low, high), truth in pairs])
    assert np.all(np.mean(held, axis=0) >= 0.9)  # of 20: at a coverage of 0.75 that has a chance of 9 %


def test_a_law_without_an_optimum_has_no_frontier():
    with pytest.raises(BadInput, match="no optimum"):
        frontier(fit(GRID, chinchilla(N, D), law="product"), 1e18)


def test_a_measured_cost_comes_back():
    found = fit_cost(N, D, 3.0 * N**0.9 * D**1.1)
    assert (found.coefficient, found.n_power, found.d_power) == pytest.approx((3.0, 0.9, 1.1))
    with pytest.raises(BadInput, match="separately"):
        fit_cost(N, 20.0 * N, N)


def test_a_design_on_one_line_is_not_identifiable():
    n = np.geomspace(1e6, 1e9, 12)
    x = np.stack([n, 20.0 * n], axis=1)
    found = fit(x, chinchilla(*x.T), law="separable")
    assert found.verdict == "not identifiable"
    assert "move together" in found.reason


SIZES = np.geomspace(100.0, 6400.0, 7)


@cache
def averaged():
    """The average of a curve, computed once for the tests that plan further cells of it."""
    y = (0.3 + 10.0 * SIZES**-0.5) * np.exp(0.01 * np.random.default_rng(4).standard_normal(7))
    return average(SIZES, y)


def test_the_next_cell_shrinks_the_interval_within_the_budget():
    plan = plan_next(
        averaged(), target=1e5, candidates=[200.0, 12800.0, 51200.0], costs=[1.0, 10.0, 40.0], budget=100.0
    )
    assert plan.spent <= 100.0
    assert plan.width_after < plan.width_before
    assert plan.cells[0].x[0] > 6400.0  # beyond the data, where laws part


def test_a_budget_below_every_cell_is_refused():
    with pytest.raises(BadInput, match="budget"):
        plan_next(averaged(), target=1e5, candidates=[200.0], costs=[1.0], budget=0.5)


@pytest.mark.parametrize("noise", [[0.01], [0.01, 0.0], [0.01, float("nan")]])
def test_noise_that_does_not_fit_the_candidates_is_refused(noise):
    with pytest.raises(BadInput, match="noise"):
        plan_next(
            averaged(), target=1e5, candidates=[200.0, 400.0], costs=[1.0, 1.0], budget=5.0, noise=noise
        )


def test_the_less_noisy_of_two_candidates_at_one_scale_is_chosen():
    plan = plan_next(
        averaged(), target=1e5, candidates=[12800.0, 51200.0], costs=[1.0, 1.0], budget=1.0,
        noise=[0.001, 1.0],
    )  # fmt: skip
    assert plan.cells[0].x == (12800.0,)
