"""The multiverse: planted choices that matter are named, those that do not change nothing."""

import numpy as np
import pytest

from mlproject.analysis import analyse, curves
from mlproject.analysis.multiverse import multiverses
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.report.multiverse_section import multiverse_section, sentence
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


def test_the_reported_specification_has_the_exponent_of_the_report(multiverse):
    local = multiverse.curve.assessments["mean"].local
    assert multiverse.usual.exponent.value == pytest.approx(local.value, abs=0.05)
    assert multiverse.usual.exponent.low < local.value < multiverse.usual.exponent.high


@pytest.fixture
def quick(monkeypatch, multiverse):
    """Curves are assessed as the first one was: what the multiverse takes from it is the reported law."""
    monkeypatch.setattr(curves, "assess", lambda *_, **__: multiverse.curve.assessments["mean"])


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
    section = multiverse_section([multiverse])
    effects, specifications = section.tables
    assert len(specifications.rows) == len(multiverse.specifications)
    assert sum(row["as_reported"] for row in specifications.rows) == 1
    assert effects.rows[0]["choice"] in {"law", "summary", "scales", "seeds"}
    (figure,) = section.figures
    below = figure.draw().axes[1]
    assert below.get_yticklabels()[0].get_text() == "summary: mean"
