"""Grids of models and data sizes: planted joint laws come back, what cannot be joined is refused in words."""

import numpy as np
import pytest

from mlproject.analysis.grids import cost_of_cells, label_grids, make_grids
from tests.studies import WIDTHS, cell, default_study, drawn_pools, grid_study, joint_loss, observe

FEW = ("net-8", "net-32", "net-128")


def grids_of(runs, n_draws):
    """As ``analyse`` makes them, without the curves of every model and every data size."""
    return label_grids([pair for pool in drawn_pools(runs, n_draws=n_draws) for pair in make_grids(*pool, 0)])


@pytest.fixture(scope="module")
def grid():
    (grid,) = grids_of(grid_study(n=100), n_draws=100)
    return grid


def test_the_planted_exponents_are_inside_their_intervals(grid):
    assert grid.assessment.verdict == "scaling"
    parameters = grid.assessment.fits["separable"].parameters
    assert parameters["alpha"].holds(0.34)
    assert parameters["beta"].holds(0.4)
    assert parameters["E"].holds(0.3)


def test_laws_have_weights_and_both_ranks(grid):
    standings = grid.assessment.average.standings
    assert sum(one.weight for one in standings.values()) == pytest.approx(1.0)
    for ranks in (
        [s.in_sample_rank for s in standings.values()],
        [s.out_of_sample_rank for s in standings.values()],
    ):
        assert sorted(ranks) == list(range(1, len(standings) + 1))


def test_losses_beyond_the_grid_are_inside_their_intervals(grid):
    predicted, truth = grid.predictions, joint_loss(*grid.beyond.T)
    assert np.all((predicted.low < truth) & (truth < predicted.high))
    assert sorted({round(float(times)) for times in predicted.horizon}) == [2, 10]


def test_the_most_expensive_cells_are_predicted_from_the_cheaper_ones(grid):
    held = grid.held_out
    price = grid.compute
    assert price[held.rows].min() > price[~held.rows].max()
    observed, predicted = grid.values[held.rows], held.prediction
    inside = (predicted.new_run_low <= observed) & (observed <= predicted.new_run_high)
    assert np.mean(inside) >= 0.85
    assert held.n_inside == inside.sum()
    assert held.error < 0.1


def test_the_frontier_is_that_of_the_planted_law_under_the_logged_compute(grid):
    split = grid.allocation
    assert split.cell_cost.measured
    assert split.cell_cost.cost.coefficient == pytest.approx(6.0)
    assert split.frontier.n_exponent.holds(0.4 / 0.74)
    assert {way.method for way in split.envelopes} | {line.partition(":")[0] for line in split.refusals} >= {
        "minimum over curves",
        "IsoFLOP cubic",
    }


def test_seeds_are_averaged_into_one_cell(grid):
    assert grid.shape == (5, 6)
    assert len(grid.points) == 30
    assert all(point.n_seeds == 2 for point in grid.points)


def test_a_product_of_powers_is_told_from_a_sum():
    law = lambda n, d: 0.2 + (n / 1.6e6) ** -0.2 * (d / 800) ** -0.25  # noqa: E731
    (grid,) = grids_of(grid_study(n=50, seeds=1, noise=0.005, law=law, models=FEW), n_draws=100)
    assert grid.assessment.heaviest.law in ("product", "coupled")
    assert grid.assessment.weights["product"] > grid.assessment.weights["separable"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"models": ("net-8", "net-16")},
            "2 values of model size × 6 values of data size, at least 3 of each",
        ),
        ({"sizes": (100, 200)}, "5 values of model size × 2 values of data size"),
        ({"sizes": (100, 120, 150)}, "the range of data size is a factor of 1.5"),
        ({"law": lambda n, d: 0.0}, "y must be positive"),
    ],
)
def test_a_grid_that_is_too_small_is_refused_in_words(changes, words):
    (grid,) = grids_of(grid_study(n=30, seeds=1, **changes), n_draws=50)
    assert not grid.has_laws
    assert grid.predictions is None
    assert grid.model_lines == ()
    assert words in grid.assessment.reason


def test_close_models_are_no_axis():
    grids = grids_of(default_study(n=30, seeds=1), n_draws=50)
    reasons = {grid.series: grid.assessment.reason for grid in grids}
    assert reasons == {
        "models × images (imagenet)": "the range of model size is a factor of 1.43, at least 2 needed"
    }


def test_what_is_not_comparable_is_never_joined():
    """Pretrained beside random weights, another learning rate: each is a grid of its own."""
    few = ("net-8", "net-32")
    runs = list(grid_study(n=30, seeds=1, models=few))
    for name in few:
        for size in (100, 400, 1600):
            pretrained = cell(name, size, weights="imagenet")
            other = cell(name, size, weights="random", knobs={"target": "labels", "lr": 0.1})
            runs += [observe(this, np.ones(30), params=WIDTHS[name]) for this in (pretrained, other)]
    grids = grids_of(runs, n_draws=20)
    assert sorted(len(grid.points) for grid in grids) == [6, 6, 12]
    assert len({grid.label for grid in grids}) == 3


def test_a_constant_loss_is_flat_along_both_axes():
    runs = grid_study(n=30, seeds=1, noise=1e-3, law=lambda n, d: 1.0, models=FEW, sizes=(100, 400, 1600))
    (grid,) = grids_of(runs, n_draws=50)
    assert grid.assessment.verdict == "flat"


def test_without_logged_compute_parameters_times_images_stand_in():
    x = np.array([[n, d] for n in (1e5, 1e6, 1e7) for d in (100.0, 1000.0, 1e4)])
    spending = cost_of_cells(x, np.full(len(x), np.nan))
    assert not spending.measured
    assert spending.unit == "parameters × images"
    assert spending.cost.of(x[:, 0], x[:, 1]) == pytest.approx(x.prod(axis=1))
    fixed_cost = cost_of_cells(x, 1e9 * x[:, 1])
    assert not fixed_cost.measured, "compute that does not grow with the model splits no budget"
