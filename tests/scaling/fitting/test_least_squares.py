"""Least squares against second implementations: SciPy's solvers, finite differences, Huber's loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from mlproject.scaling import LAWS
from mlproject.scaling.fitting.grid_search import project, solve
from mlproject.scaling.fitting.least_squares import LeastSquares, refine
from mlproject.scaling.fitting.robust import EFFICIENT, huber, huber_weights

LOG_X = np.linspace(-2.0, 2.0, 9)[:, None]


def problem_of(name="power_floor", *, noise=0.02, seed=0, linear=False, n=1, **options):
    rng = np.random.default_rng(seed)
    y = (0.3 + 0.7 * np.exp(-0.5 * LOG_X[:, 0])) * np.exp(noise * rng.normal(size=(n, len(LOG_X))))
    return LeastSquares(
        law=LAWS[name], log_x=LOG_X, y=y, weights=np.ones((1, len(LOG_X))), linear=linear, **options
    )


@settings(max_examples=30)
@given(st.integers(min_value=0, max_value=10_000), st.floats(min_value=0.05, max_value=3.0))
def test_amplitudes_at_a_shape_are_those_of_scipys_nonnegative_least_squares(seed, alpha):
    problem = problem_of(noise=0.5, seed=seed)
    amplitudes, cost = project(problem, np.array([[alpha]]))
    basis = problem.law.basis(np.array([[alpha]]), LOG_X)[0] / problem.y[0][:, None]
    want, norm = optimize.nnls(basis, np.ones(len(LOG_X)))
    assert amplitudes[0, 0] == pytest.approx(want, abs=1e-6 * (1 + want.max()))
    assert cost[0, 0] == pytest.approx(norm**2, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("linear", [False, True])
def test_the_optimum_is_that_of_scipys_bounded_solver(linear):
    problem = problem_of(linear=linear)
    theta = solve(problem)[0]

    def residuals(at):
        return problem.residuals(at[None])[0]

    low, high = problem.bounds()
    peer = optimize.least_squares(
        residuals, [0.4, 0.2, 0.5], bounds=(low, high), xtol=1e-14, ftol=1e-14, gtol=1e-14
    )
    assert theta == pytest.approx(peer.x, rel=1e-4)
    assert problem.cost(theta[None])[0] <= 2.0 * peer.cost * (1 + 1e-9)


@pytest.mark.parametrize("name", ["power", "power_floor", "shifted", "zhai", "m3", "bounded", "bnsl1"])
def test_derivatives_are_those_of_central_differences(name):
    problem = problem_of(name)
    theta = np.full((1, len(problem.law.names)), 0.4)
    slopes = problem.jacobian(theta)[0]
    for j in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, j] = 1e-6
        numeric = (problem.residuals(theta + step) - problem.residuals(theta - step))[0] / 2e-6
        assert slopes[:, j] == pytest.approx(numeric, abs=1e-7)


def test_data_sets_that_are_solved_together_have_the_solution_of_each_by_itself():
    many = problem_of(n=5)
    together = solve(many)
    for i in range(5):
        alone = many.of(many.y[i : i + 1], many.weights)
        assert together[i] == pytest.approx(solve(alone)[0], rel=1e-5)


def test_a_parameter_that_is_held_does_not_move_and_the_others_reach_its_constrained_optimum():
    problem = problem_of()
    start = np.array([[0.9, 0.2, 0.6]])
    held = refine(problem, start, frozen=np.array([[True, False, False]]))
    assert held[0, 0] == 0.9

    def residuals(at):
        return problem.residuals(np.array([[0.9, *at]]))[0]

    peer = optimize.least_squares(residuals, [0.2, 0.6], bounds=(0.0, np.inf), xtol=1e-14, ftol=1e-14)
    assert held[0, 1:] == pytest.approx(peer.x, rel=1e-4)


def test_refinement_never_makes_a_fit_worse():
    problem = problem_of(n=20, noise=0.3)
    starts = np.random.default_rng(1).uniform(0.1, 2.0, size=(20, 3))
    assert np.all(problem.cost(refine(problem, starts, rounds=5)) <= problem.cost(starts))


def test_a_floor_that_is_left_out_is_zero_and_the_law_is_the_plain_power():
    theta = solve(problem_of(without_floor=True))[0]
    plain = solve(problem_of("power"))[0]
    assert theta[1] == 0.0
    assert theta[[0, 2]] == pytest.approx(plain, rel=1e-6)


def test_a_known_ceiling_is_kept_by_every_data_set():
    problem = problem_of("bounded", n=3, ceiling=3.0)
    index = problem.law.names.index(problem.law.ceiling)
    assert np.all(solve(problem)[:, index] == 3.0)


@given(
    st.lists(st.floats(min_value=-10, max_value=10), min_size=3, max_size=20),
    st.floats(min_value=0.01, max_value=5),
)
def test_hubers_weight_is_one_inside_and_falls_with_the_inverse_of_the_residual_outside(residuals, delta):
    residual = np.array(residuals)
    weights = huber_weights(residual, delta)
    inside = np.abs(residual) <= delta
    assert np.all(weights[inside] == 1.0)
    assert weights[~inside] * np.abs(residual[~inside]) == pytest.approx(delta)


def test_hubers_limit_is_in_robust_standard_deviations_whatever_the_unit():
    residual = np.random.default_rng(0).normal(size=2001)
    weights = huber_weights(residual)
    share = np.mean(weights < 1.0)
    assert share == pytest.approx(2 * 0.0893, abs=0.02)  # beyond 1.345 standard deviations
    assert EFFICIENT == 1.345
    assert huber_weights(1e6 * residual) == pytest.approx(weights)


def test_one_wild_loss_moves_least_squares_and_hardly_hubers_fit():
    clean = problem_of("power", noise=0.005)
    y = clean.y.copy()
    y[0, -1] *= 3.0
    wild = clean.of(y, clean.weights)
    truth = solve(clean)[0, 0]
    assert abs(huber(wild)[0] - truth) < 0.15 * abs(solve(wild)[0, 0] - truth)
