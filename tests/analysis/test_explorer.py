"""The explorer's numbers: images that rise, shares of the loss, disagreement and differences of models."""

import numpy as np
import pytest

from mlproject.analysis import analyse, explorers
from mlproject.analysis.explorer import share_of_worst
from tests.studies import cell, default_study, observe, without_laws

SIZES = (100, 200, 400, 800, 1600)


def planted_rise(n=40, rising=4, seeds=2, models=("lite0", "lite1")):
    """Losses that fall as D^-0.5, but for the first images, which rise as D^0.5."""
    rng = np.random.default_rng(3)
    for model in models:
        for size in SIZES:
            for seed in range(seeds):
                exponent = np.where(np.arange(n) < rising, 0.5, -0.5)
                yield observe(
                    cell(model, size, seed), (size / 100) ** exponent * np.exp(0.02 * rng.normal(size=n))
                )


@pytest.fixture(scope="module")
def explorer():
    (made,) = explorers(without_laws(planted_rise(), n_draws=50))
    return made


def test_images_whose_loss_rises_are_counted(explorer):
    assert explorer.n_rising == explorer.n_rising_everywhere == 4
    assert explorer.series[0].exponent[:4] == pytest.approx(-0.5, abs=0.05)


def test_the_worst_tenth_carries_what_it_carries(explorer):
    assert share_of_worst(np.array([9.0, *[1.0] * 9]), 0.1) == 0.5
    assert np.isnan(share_of_worst(np.zeros(3), 0.1))
    losses = explorer.series[0].last
    assert explorer.series[0].worst_tenth == pytest.approx(np.sort(losses)[-4:].sum() / losses.sum())


def test_losses_are_those_of_each_run_by_size_and_seed(explorer):
    series = explorer.series[0]
    assert series.sizes.tolist() == [size for size in SIZES for _ in range(2)]
    assert series.seeds == (0, 1) * 5
    assert series.losses[:, -2:].mean(axis=1) == pytest.approx(series.last)


def test_models_that_rank_images_in_opposite_orders_disagree():
    up = np.linspace(1, 2, 11)
    runs = [observe(cell("lite0"), up), observe(cell("lite1"), up[::-1])]
    (made,) = explorers(analyse(runs, n_draws=20))
    assert made.disagreement is not None
    assert made.disagreement[5] == 0
    assert made.disagreement[0] == made.disagreement.max() == pytest.approx(100 * 10 / 11 / 2)


def test_models_are_compared_image_by_image_at_the_largest_shared_size():
    made = explorers(analyse(default_study(n=80, sizes=(100, 400), seeds=3), n_draws=100))[0]
    assert len(made.differences) == 3
    worst = max(made.differences, key=lambda d: d.loss)
    assert worst.name == "resnet18 (random)"
    assert worst.size == 400
    assert worst.difference.effect.value == pytest.approx(worst.loss - worst.reference_loss)
    assert worst.difference.verdict == "worse"


def test_with_one_seed_nothing_is_concluded_of_models():
    made = explorers(analyse(default_study(n=30, sizes=(100, 200), seeds=1), n_draws=20))[0]
    assert {d.difference.verdict for d in made.differences} == {"not concluded (one seed)"}


def test_one_image_one_cell_and_no_labels_are_no_error():
    (made,) = explorers(analyse([observe(cell(), [0.7])], n_draws=20))
    assert made.labels is None
    assert made.disagreement is None
    assert made.differences == ()
    assert not made.series[0].has_exponents
    assert made.n_rising == made.n_rising_everywhere == 0
    assert made.chosen(5).tolist() == [0]


def test_fewer_images_are_chosen_by_rise_and_loss_and_the_rest_evenly(explorer):
    chosen = explorer.chosen(10)
    assert len(chosen) == len(set(chosen.tolist())) == 10
    assert {0, 1, 2, 3} <= set(chosen.tolist())


def test_a_few_seeds_of_many_are_shown_and_models_are_compared_over_all(explorer, monkeypatch):
    monkeypatch.setattr("mlproject.analysis.explorer.MOST_SEEDS", 1)
    (made,) = explorers(without_laws(planted_rise(), n_draws=50))
    assert made.series[0].seeds == (0,) * 5
    assert made.series[0].n_seeds == 2
    assert made.differences == explorer.differences
    np.testing.assert_array_equal(made.series[0].losses, explorer.series[0].losses[:, ::2])


def test_in_sample_runs_leave_images_out():
    runs = [
        observe(cell(size=size, eval_size=0), np.ones(size), ids=tuple(f"{i:03d}" for i in range(size)))
        for size in (5, 10)
    ]
    (made,) = explorers(analyse(runs, n_draws=20))
    assert np.isnan(made.series[0].losses).sum() == 5
