"""The parts of an answer that compare: joint laws, arms, image scales, regions, trained networks."""

import pytest

from mlproject.report.comparison_answers import comparison_answers
from mlproject.report.grid_sections import grid_answers
from tests.analysis.test_ablations import observations
from tests.analysis.test_image_scale import study as image_scale_study
from tests.analysis.test_iterations import run
from tests.studies import cell, grid_study, planted, with_two_laws, without_laws


def answer_of(runs, analysed=without_laws):
    return comparison_answers(analysed(list(runs), n_draws=60))


def test_a_joint_law_is_part_of_the_result():
    study = without_laws(grid_study(n=40, seeds=1, sizes=(100, 400, 1600, 3200)), n_draws=40)
    assert comparison_answers(study).result == tuple(grid_answers(study.grids))


def test_a_grid_without_a_law_is_a_doubt_with_its_reason():
    runs = grid_study(n=30, seeds=1, models=("net-8", "net-128"), sizes=(100, 3200))
    study = without_laws(runs, n_draws=40)
    (doubt,) = comparison_answers(study).not_concluded
    assert study.grids[0].assessment.reason in doubt


def test_arms_are_named_where_they_are_better_or_worse_and_counted_where_not():
    text = next(t for t in answer_of(observations()).result if "arms by difference" in t)
    assert "better than the baseline" in text
    assert "no difference seen" in text


def test_arms_of_one_seed_are_not_concluded():
    answer = answer_of(observations(seeds=1))
    assert any("with one seed" in text for text in answer.not_concluded)
    assert not any("better than" in text for text in answer.result)


def test_image_scales_are_answered_by_their_crossings():
    answer = answer_of(image_scale_study(lambda s: 1.0 / s))
    assert any("crossover" in text for text in answer.result)


def test_the_ratio_of_losses_of_two_regions_is_never_taken_for_a_difference_of_exponents():
    runs = [
        planted(cell(size=s, seed=i, region=region, region_digest=digest), k=k, floor=0.0, n=60)
        for region, digest, k in (("full", "", 6.0), ("background", "digest", 9.0))
        for s in (100, 200, 400, 700, 1200)
        for i in range(2)
    ]
    (text,) = answer_of(runs, with_two_laws).result
    assert "on full the loss is 0.6" in text
    assert "their exponents (k x^-α) do not differ measurably, by" in text


@pytest.mark.parametrize("majority", [0.1, None])
def test_the_most_accurate_network_stands_beside_guessing(majority):
    answer = answer_of([run(right=150), run("net2", right=180)])
    (text,) = (t for t in answer.result if "most accurate" in t)
    assert "of 2 networks net2" in text
