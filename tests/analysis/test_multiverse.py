"""The multiverse: planted choices that matter are named, those that do not change nothing."""

import numpy as np
import pytest

from mlproject.analysis import analyse, curves
from mlproject.analysis.multiverse import multiverses
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.report.multiverse_comparisons_section import multiverse_comparisons_section
from mlproject.report.multiverse_section import headline, multiverse_section, sentence
from tests.studies import cell, observe, planted

SIZES = (100, 200, 400, 800, 1600)


def of(observations):
    (multiverse,) = analyse(observations, n_draws=40).multiverses
    return multiverse


@pytest.fixture(scope="module")
def multiverse():
    return of([planted(cell(size=size, seed=seed), n=60) for size in SIZES for seed in range(3)])


def easy_images_flat(size, seed):
    """Half of the images are learned as D^-0.5, the others, with small losses, are not learned at all."""
    rng = np.random.default_rng([size, seed])
    losses = np.concatenate([np.full(41, 0.2), 20 * size**-0.5 + np.zeros(39)])
    return observe(cell(size=size, seed=seed), losses * np.exp(0.02 * rng.normal(size=80)))


def test_every_combination_of_choices_is_a_specification(multiverse):
    # 3 summaries x (2 laws at all 5 scales and without either end) x all seeds and without each of three
    assert len(multiverse.specifications) == 3 * 2 * 3 * 4
    assert {"summary", "law", "scales", "seeds"} == set(multiverse.usual.choices)
    assert multiverse.usual.choices | {"law": ""} == {
        "summary": "mean", "law": "", "scales": "all", "seeds": "all"
    }  # fmt: skip
    values = [each.exponent.value for each in multiverse.specifications]
    assert values == sorted(values)
    assert multiverse.usual in multiverse.specifications


@pytest.fixture
def quick(monkeypatch, multiverse):
    """Curves are assessed as the first one was: what the multiverse takes from it is the reported law."""
    monkeypatch.setattr(curves, "assess", lambda *_, **__: multiverse.curve.assessments["mean"])


def test_many_seeds_are_left_out_in_ten_groups(quick):
    found = of([planted(cell(size=size, seed=seed), n=10) for size in SIZES for seed in range(12)])
    left = {each.choices["seeds"] for each in found.specifications} - {"all"}
    assert left == {
        "without seeds 0 to 1",
        "without seeds 2 to 3",
        *(f"without seed {s}" for s in range(4, 12)),
    }


def test_the_reported_specification_has_the_exponent_of_the_report(multiverse):
    local = multiverse.curve.assessments["mean"].local
    assert multiverse.usual.exponent.value == pytest.approx(local.value, abs=0.05)
    assert multiverse.usual.exponent.low < local.value < multiverse.usual.exponent.high


def test_the_choice_that_flips_the_conclusion_is_named(quick):
    found = of([easy_images_flat(size, seed) for size in SIZES for seed in range(3)])
    assert found.usual.falls
    assert found.n_agreeing < len(found.specifications)
    most = max(found.effects, key=lambda effect: effect.n_flips / effect.n)
    assert (most.choice, most.value, most.usual) == ("summary", "median", "mean")
    assert "contradict that the loss falls, most often with median instead of mean" in sentence(found)


def test_an_exponent_that_no_choice_moves_is_agreed_on(quick):
    runs = [observe(cell(size=size), np.full(30, 9.0 * size**-0.5)) for size in SIZES]
    found = of(runs)
    assert found.range == pytest.approx((0.5, 0.5), abs=0.01)
    assert found.n_agreeing == len(found.specifications)
    assert sentence(found).endswith("all agree: the loss falls.")


def test_tuned_and_fixed_knobs_of_one_curve_are_a_choice(quick):
    fixed = [planted(cell(size=size), n=40) for size in SIZES]
    tuned = [
        planted(cell(size=size, tuning={"knobs": "lr"}, knobs={"target": "labels", "lr": 1e-5 * size}), n=40)
        for size in SIZES
    ]
    found = of([*fixed, *tuned])
    assert {each.choices["knobs"] for each in found.specifications} == {"lr=0.001", "tuned lr"}


def test_another_seed_of_the_bootstrap_moves_limits_and_hardly_a_value(multiverse):
    observations = [planted(cell(size=size, seed=seed), n=60) for size in SIZES for seed in range(3)]
    (pool,) = image_pools(read_runs(observations)[0])
    (other,) = multiverses([multiverse.curve], pool.runs, seed=5)
    values = [each.exponent.value for each in multiverse.specifications]
    assert [each.exponent.value for each in other.specifications] == pytest.approx(values, abs=0.02)
    assert other.usual.exponent.low != multiverse.usual.exponent.low


def test_two_scales_have_no_multiverse(quick):
    assert analyse([planted(cell(size=size), n=20) for size in (100, 200)], n_draws=20).multiverses == ()


def test_the_section_has_a_row_for_every_specification_and_a_figure(multiverse):
    section = multiverse_section([multiverse], ())
    effects, specifications = section.tables
    assert len(specifications.rows) == len(multiverse.specifications)
    assert sum(row["as_reported"] for row in specifications.rows) == 1
    assert effects.rows[0]["choice"] in {"law", "summary", "scales", "seeds"}
    (figure,) = section.figures
    below = figure.draw().axes[1]
    assert below.get_yticklabels()[0].get_text() == "summary: mean"


def two_networks(first, second):
    """Easy and hard images: amplitude and exponent of the losses of each by network."""
    for model, halves in (("lite0", first), ("lite1", second)):
        for size in SIZES:
            for seed in range(2):
                rng = np.random.default_rng([size, seed])  # the same for both networks
                losses = np.concatenate(
                    [np.full(55 - 30 * i, k * size**-a) for i, (k, a) in enumerate(halves)]
                )
                yield observe(cell(model, size, seed), losses * np.exp(0.02 * rng.normal(size=80)))


def test_the_choice_that_turns_a_comparison_round_is_named(quick):
    # the mean is that of the 25 hard images, the median that of the 55 easy ones
    study = analyse(two_networks([(0.2, 0.5), (50, 0.2)], [(0.4, 0.1), (50, 0.4)]), n_draws=40)
    exponent, loss = study.comparison_multiverses
    assert (exponent.first.series, loss.first.series) == ("lite1", "lite1")
    assert exponent.usual.lead.value == pytest.approx(0.2, abs=0.05)
    assert exponent.reversed
    text = headline(study.multiverses, study.comparison_multiverses)
    assert text.startswith("A choice alone flips 2 of 4 conclusions.")
    assert (
        "as reported lite1 falls faster, but with summary median instead of mean lite0 falls faster" in text
    )
    section = multiverse_comparisons_section(study.comparison_multiverses)
    rows = section.tables[0].rows
    assert [row["flips"] for row in rows] == ["summary median instead of mean"] * 2
    assert len(section.tables[1].rows) == sum(len(each.contrasts) for each in study.comparison_multiverses)
    assert section.figures[-1].draw().axes[0].get_ylabel() == "ln ratio of\nlosses"


def test_a_study_whose_conclusions_no_choice_flips_says_so(quick):
    study = analyse(two_networks([(1.0, 0.3), (2.0, 0.3)], [(0.5, 0.5), (1.0, 0.5)]), n_draws=40)
    text = headline(study.multiverses, study.comparison_multiverses)
    assert text == "No choice alone flips any of the 4 conclusions."
    assert all(each.agreed for each in study.comparison_multiverses)
    leads = [each.usual.lead.value for each in study.comparison_multiverses]
    assert leads[0] == pytest.approx(0.2, abs=1e-3)  # shared images and seeds: the noise cancels
    assert leads[1] == pytest.approx(np.log(2) + 0.2 * np.log(3200), abs=1e-3)


def test_curves_of_other_images_are_not_compared(quick):
    losses = {size: np.full(30, 9.0 * size**-0.5) for size in SIZES}
    others = tuple(f"other_{i}.png" for i in range(30))
    runs = [observe(cell(size=size), values) for size, values in losses.items()]
    runs += [observe(cell("lite1", size), values, ids=others) for size, values in losses.items()]
    assert analyse(runs, n_draws=20).comparison_multiverses == ()
