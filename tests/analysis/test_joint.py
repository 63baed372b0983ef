"""Grids of models and data sizes: planted joint laws come back, what cannot be joined is refused in words."""

import numpy as np
import pytest

from mlproject.analysis import aggregate
from mlproject.analysis.joining import spend
from tests.studies import WIDTHS, cell, default_study, grid_study, joint_loss, observe

FEW = ("net-8", "net-32", "net-128")


@pytest.fixture(scope="module")
def joint():
    (found,) = aggregate(grid_study(n=100), n_draws=100).joints
    return found


def test_the_planted_exponents_are_inside_their_intervals(joint):
    assert joint.laws.verdict == "scaling"
    found = joint.laws.fits["separable"].parameters
    assert found["alpha"].holds(0.34)
    assert found["beta"].holds(0.4)
    assert found["E"].holds(0.3)


def test_laws_have_weights_and_both_ranks(joint):
    standings = joint.laws.average.standings
    assert sum(one.weight for one in standings.values()) == pytest.approx(1.0)
    for ranks in (
        [s.in_sample_rank for s in standings.values()],
        [s.out_of_sample_rank for s in standings.values()],
    ):
        assert sorted(ranks) == list(range(1, len(standings) + 1))


def test_losses_beyond_the_grid_are_inside_their_intervals(joint):
    told, truth = joint.laws.average.predict(joint.beyond), joint_loss(*joint.beyond.T)
    assert np.all((told.low < truth) & (truth < told.high))
    assert sorted({round(float(times)) for times in told.horizon}) == [2, 10]


def test_the_dearest_cells_are_predicted_from_the_cheaper_ones(joint):
    held = joint.laws.held_out
    price = joint.compute
    assert price[held.rows].min() > price[~held.rows].max()
    seen = joint.values[held.rows]
    assert np.mean((held.told.new_run_low <= seen) & (seen <= held.told.new_run_high)) >= 0.85


def test_the_frontier_is_that_of_the_planted_law_under_the_logged_compute(joint):
    split = joint.laws.allocation
    assert split.spending.measured
    assert split.spending.cost.coefficient == pytest.approx(6.0)
    assert split.frontier.n_exponent.holds(0.4 / 0.74)
    assert {one.method for one in split.envelopes} | {line.partition(":")[0] for line in split.refusals} >= {
        "minimum over curves",
        "IsoFLOP cubic",
    }


def test_seeds_are_averaged_into_one_cell(joint):
    assert joint.shape == (5, 6)
    assert len(joint.points) == 30
    assert all(point.n_seeds == 2 for point in joint.points)


def test_a_product_of_powers_is_told_from_a_sum():
    law = lambda n, d: 0.2 + (n / 1.6e6) ** -0.2 * (d / 800) ** -0.25  # noqa: E731
    (found,) = aggregate(grid_study(n=50, seeds=1, noise=0.005, law=law, models=FEW), n_draws=100).joints
    assert found.laws.heaviest in ("product", "coupled")
    assert found.laws.average.weights["product"] > found.laws.average.weights["separable"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ("net-8", "net-16")}, "2 model sizes × 6 data sizes, at least 3 of each"),
        ({"sizes": (100, 200)}, "5 model sizes × 2 data sizes"),
        ({"sizes": (100, 120, 150)}, "data sizes span a factor of 1.5"),
        ({"law": lambda n, d: 0.0}, "not above zero"),
    ],
)
def test_a_grid_that_is_too_small_is_refused_in_words(changes, words):
    study = aggregate(grid_study(n=30, seeds=1, **changes), n_draws=50)
    (found,) = study.joints
    assert found.laws is None
    assert words in found.refusal
    assert any("No joint law" in note and words in note for note in study.notes)


def test_close_models_are_no_axis():
    found = {
        joint.series: joint.refusal for joint in aggregate(default_study(n=30, seeds=1), n_draws=50).joints
    }
    assert found == {"models × images (imagenet)": "the model sizes span a factor of 1.4, at least 2 needed"}


def test_what_is_not_comparable_is_never_joined():
    """Pretrained beside random weights, another learning rate: each is a grid of its own."""
    few = ("net-8", "net-32")
    runs = list(grid_study(n=30, seeds=1, models=few))
    for name in few:
        for size in (100, 400, 1600):
            pretrained = cell(name, size, weights="imagenet")
            other = cell(name, size, weights="random", knobs={"target": "labels", "lr": 0.1})
            runs += [observe(one, np.ones(30), params=WIDTHS[name]) for one in (pretrained, other)]
    found = aggregate(runs, n_draws=20).joints
    assert sorted(len(joint.points) for joint in found) == [6, 6, 12]
    assert len({joint.label for joint in found}) == 3


def test_a_constant_loss_is_flat_along_both_axes():
    runs = grid_study(n=30, seeds=1, noise=1e-3, law=lambda n, d: 1.0, models=FEW, sizes=(100, 400, 1600))
    (found,) = aggregate(runs, n_draws=50).joints
    assert found.laws.verdict == "flat"


def test_without_logged_compute_parameters_times_images_stand_in():
    x = np.array([[n, d] for n in (1e5, 1e6, 1e7) for d in (100.0, 1000.0, 1e4)])
    spending = spend(x, np.full(len(x), np.nan))
    assert not spending.measured
    assert spending.unit == "parameters × images"
    assert spending.cost.of(x[:, 0], x[:, 1]) == pytest.approx(x.prod(axis=1))
    fixed_cost = spend(x, 1e9 * x[:, 1])
    assert not fixed_cost.measured, "compute that does not grow with the model splits no budget"
