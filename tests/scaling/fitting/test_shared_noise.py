"""Noise that rows of a run share: its test, its variance, degrees of freedom, and what intervals hold."""

import numpy as np
import pytest
from scipy import stats

from mlproject.errors import BadInput
from mlproject.scaling import assess, average, fit
from mlproject.scaling.averaging.averaged_points import average_repeats, thinned
from mlproject.scaling.fitting import shared_noise
from mlproject.scaling.fitting.least_squares import LeastSquares
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.shared_noise import components, membership
from mlproject.scaling.fitting.slopes import average_slopes
from mlproject.scaling.laws import find_law

N_RUNS, N_ROWS = 6, 8
RUN = np.repeat(np.arange(N_RUNS), N_ROWS)
RUNS = np.eye(N_RUNS)[RUN]
ONES = np.ones(len(RUN))
U, V = (
    axis.ravel()
    for axis in np.meshgrid(np.linspace(-1.6, 1.6, N_RUNS), np.linspace(-2, 2, N_ROWS), indexing="ij")
)
GRID = np.stack([2e7 * np.exp(U), 1e3 * np.exp(V)], axis=1)


def off(seed, *, offset, noise):
    rng = np.random.default_rng(seed)
    return offset * rng.standard_normal(N_RUNS)[RUN] + noise * rng.standard_normal(len(RUN))


def grid(seed, *, offset=0.004, noise=0.002):
    return (0.2 + np.exp(-0.34 * U - 0.28 * V)) * np.exp(off(seed, offset=offset, noise=noise))


def within(y):
    means = np.array([y[run == RUN].mean() for run in range(N_RUNS)])
    return N_ROWS * means.var(ddof=1), np.sum((y - means[RUN]) ** 2) / (len(y) - N_RUNS)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_of_runs_of_equal_length_test_and_ratio_are_those_of_an_analysis_of_variance(seed, offset):
    y = off(seed, offset=offset, noise=1.0)
    parts = components(ONES[:, None], y - y.mean(), RUNS, ONES, known=False)
    between, rows = within(y)
    assert parts.chance == pytest.approx(stats.f.sf(between / rows, N_RUNS - 1, len(y) - N_RUNS), rel=1e-9)
    assert parts.ratio == pytest.approx(
        max((between / rows - 1) / N_ROWS, -0.95 / N_ROWS), rel=1e-3, abs=1e-4
    )
    assert parts.variance == pytest.approx(rows, rel=0.02)


def test_a_mean_has_the_degrees_of_freedom_of_runs_and_a_slope_within_them_those_of_rows():
    y = off(0, offset=2.0, noise=1.0)
    design = np.stack([ONES, V, U], axis=1)
    rest = y - design @ np.linalg.lstsq(design, y)[0]
    parts = components(design, rest, RUNS, ONES, known=False)
    assert parts.dof(np.eye(3)) == pytest.approx([N_RUNS - 2, len(y) - N_RUNS - 1, N_RUNS - 2], rel=0.01)
    known = components(design, rest, RUNS, ONES, known=True)
    assert known.dof(np.eye(3)[[0, 2]]) == pytest.approx([N_RUNS - 2] * 2, rel=0.3)
    assert known.dof(np.eye(3))[1] > 1e6


def test_the_slope_of_an_axis_that_varies_between_runs_has_the_interval_of_their_means():
    y = np.exp(-0.3 * U + off(1, offset=0.05, noise=0.01))
    points = read_points(np.exp(U), y, runs=RUN.tolist())
    (slope,) = average_slopes(points)
    means = [np.log(y[run == RUN]).mean() for run in range(N_RUNS)]
    line = stats.linregress(U[::N_ROWS], means)
    half = stats.t.ppf(0.975, N_RUNS - 2) * line.stderr
    assert [slope.low, slope.high] == pytest.approx([-line.slope - half, -line.slope + half], rel=1e-3)


def test_residuals_of_runs_are_whitened_by_the_inverse_root_of_their_covariance():
    weights = np.linspace(0.5, 2.0, len(RUN))
    problem = LeastSquares(
        law=find_law("power"),
        log_x=V[:, None],
        y=np.ones((1, len(V))),
        weights=weights[None],
        runs=RUNS,
        ratio=3.0,
    )
    white = problem.white(np.eye(len(V)))
    units = RUNS * weights[:, None]
    precision = np.diag(weights) @ np.linalg.inv(np.eye(len(V)) + 3.0 * units @ units.T) @ np.diag(weights)
    assert white @ white.T == pytest.approx(precision, abs=1e-12)


def test_exponents_of_models_with_offsets_are_held_without_a_column_of_runs():
    """Taken as independent, 12 rows of 6 models held 3 of 16."""
    fits = [fit(GRID, grid(seed), law="product") for seed in range(6)]
    assert sum(found.parameters["alpha"].holds(0.34) for found in fits) >= 5
    assert all(found.shared.chance < 0.25 for found in fits)
    stated = fit(GRID, grid(0), law="product", runs=GRID[:, 0].tolist())
    assert stated.parameters["alpha"].low == pytest.approx(fits[0].parameters["alpha"].low, rel=1e-9)


def test_grids_whose_models_share_nothing_are_fitted_as_before(monkeypatch):
    seed = next(s for s in range(20) if fit(GRID, grid(s, offset=0.0), law="product").shared is None)
    y = grid(seed, offset=0.0)
    now = fit(GRID, y, law="product")
    monkeypatch.setattr(shared_noise, "membership", lambda points: None)
    before = fit(GRID, y, law="product")
    assert now.parameters == before.parameters
    assert now.predict(2 * GRID[-1:]).low == before.predict(2 * GRID[-1:]).low


def runs_of_one_axis(seed, offset=0.01):
    x = np.concatenate([np.geomspace(100 * 2**run, 3000 * 2**run, N_ROWS) for run in range(N_RUNS)])
    return x, (0.3 + 5 * x**-0.4) * np.exp(off(seed, offset=offset, noise=0.002))


def test_runs_along_one_axis_share_an_offset_where_they_are_stated():
    for seed in range(4):
        x, y = runs_of_one_axis(seed, offset=0.04)
        stated, independent = fit(x, y, runs=RUN.tolist()), fit(x, y)
        assert stated.parameters["alpha"].holds(0.4)
        assert stated.parameters["alpha"].width < 0.5 * independent.parameters["alpha"].width
        assert stated.noise.factor_of("k") > stated.noise.factor_of("alpha") > 1.96


def test_averages_of_rows_share_the_offsets_of_their_runs():
    x, y = runs_of_one_axis(0)
    alone, stated = (average_repeats(read_points(x, y, runs=runs)) for runs in (None, RUN.tolist()))
    assert np.count_nonzero(alone.noise - np.diag(np.diag(alone.noise))) == 0
    assert np.count_nonzero(stated.noise - np.diag(np.diag(stated.noise))) > 0
    assert stated.run > 1.5
    assert np.sqrt(stated.prior_squares / stated.dof) < 0.006
    known = average_repeats(read_points(x, y, sd=0.002 * y, runs=RUN.tolist()))
    ratio = (known.run - 1.0) * known.prior_squares / known.dof
    assert 0.003 < np.sqrt(ratio) < 0.02


def test_models_of_a_grid_have_their_offset_from_the_discrepancy_once():
    points = read_points(GRID, grid(0), runs=RUN.tolist())
    assert average_repeats(points).run == 1.0
    seeds = read_points(np.repeat(GRID, 2, axis=0), np.repeat(grid(0), 2), runs=np.tile(RUN, 2).tolist())
    assert average_repeats(seeds).run >= 1.0


def test_dense_rows_of_one_run_are_averaged_and_those_of_two_runs_are_not():
    x = np.stack([np.repeat([1e6, 1e7], 400), np.tile(np.geomspace(1e2, 1e5, 400), 2)], axis=1)
    runs = np.tile(["a", "b"], 400).tolist()
    y = x[:, 0] ** -0.1 * x[:, 1] ** -0.2
    alone, stated = thinned(read_points(x, y)), thinned(read_points(x, y, runs=runs))
    assert len(stated.y) == 2 * len(alone.y)
    assert np.bincount(stated.runs).tolist() == [len(alone.y)] * 2


def test_replicates_do_not_hide_noise_that_models_share():
    y = grid(2)
    draws = y * np.exp(0.002 * np.random.default_rng(0).standard_normal((200, len(y))))
    found = fit(GRID, y, law="product", draws=draws)
    assert found.noise.partial
    assert found.parameters["alpha"].width > 2 * (
        np.quantile(found.refits.draws[:, 0], [0.025, 0.975]) @ [-1, 1]
    )


SIZES = np.repeat([100.0, 200.0, 400.0, 800.0], 2)


@pytest.mark.parametrize("runs", [["a"] * 8, list(range(8))], ids=["one", "each"])
def test_runs_that_cannot_show_what_they_share_are_flagged(runs):
    y = SIZES**-0.5 * np.exp(0.01 * np.random.default_rng(0).standard_normal(8))
    found = assess(SIZES, y, runs=runs, laws=("power",))
    (flag,) = [flag for flag in found.flags if "cannot be estimated" in flag]
    assert flag.startswith("1 run, 8 rows" if runs[0] == "a" else "8 runs, 8 rows")


def test_models_that_share_noise_are_named_with_what_to_do():
    n, d, _ = (v.ravel() for v in np.meshgrid([1.0, 10.0, 100.0], [1.0, 10.0, 100.0], [0, 1], indexing="ij"))
    noise = 0.002 * np.random.default_rng(0).standard_normal(18)
    x, y = np.stack([n, d], axis=1), n**-0.2 * d**-0.3 * np.where(n == 10, 1.1, 1.0) * np.exp(noise)
    found = assess(x, y, laws=("log_plane",), axes=("width", "images"))
    (flag,) = [flag for flag in found.flags if "share noise" in flag]
    assert flag.startswith("rows of the same width share noise (correlation 1.00 around log_plane)")
    assert flag.endswith("so each width counts as one run; name the column of runs if it is another")
    stated = assess(x, y, runs=n.tolist(), laws=("log_plane",))
    assert not [flag for flag in stated.flags if "share" in flag]


def test_every_row_needs_a_run():
    with pytest.raises(BadInput, match="one label per loss, 48, and has 2"):
        fit(GRID, grid(0), law="product", runs=["a", "b"])


def test_a_row_of_another_run_is_no_repetition():
    twice = read_points([1.0, 1.0, 2.0], [1.0, 1.0, 0.5], runs=["a", "b", "a"])
    assert twice.first_of_each().all()
    assert membership(twice).tolist() == [[1, 0], [0, 1], [1, 0]]
    assert twice.take(np.array([False, True, True])).n_runs == 2


def test_a_new_run_of_a_curve_has_the_noise_of_runs():
    x = np.tile(100 * 2.0 ** np.arange(N_ROWS), N_RUNS)
    y = (0.3 + 5 * x**-0.4) * np.exp(off(3, offset=0.02, noise=0.002))
    p = average(x, y, laws=("power_floor",), runs=RUN.tolist()).predict([x.max()])
    assert np.log(p.new_run_high[0] / p.new_run_low[0]) > 4 * 0.01
