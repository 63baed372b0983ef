"""Error rates with the prior of known studies: with and without it, and which curves have none."""

from __future__ import annotations

import numpy as np
import pytest

from mlproject.analysis import published_laws
from mlproject.errors import WrongUse
from mlproject.report import study_document
from mlproject.report.study_report import study_json
from mlproject.scaling import PriorChoice, assess, find_library
from tests.analysis.test_mistakes import SIZES, N, observations
from tests.studies import cell, planted, without_laws


@pytest.fixture(scope="module")
def study():
    return without_laws(observations(), n_draws=100, prior=PriorChoice.of("vision"))


def test_the_rates_are_those_of_the_runs_and_the_laws_those_of_assess(study):
    (first, _) = study.prior_use.rates
    wrong = [of_scale.mean() for of_scale in study.mistakes.trajectories[0].wrong]
    assert first.curve.values("mean").tolist() == pytest.approx(wrong)
    assert first.curve.n_images == N
    direct = assess(list(SIZES), np.array(wrong), library=find_library("vision", "images", "error"))
    use = first.assessment.library
    assert use.library.studies == direct.library.library.studies
    assert use.local.estimate.value == pytest.approx(direct.library.local.estimate.value, abs=0.1)
    assert use.local.estimate.width < 1.2 * use.local.without.width
    for predicted in first.predictions:
        assert predicted.horizon.tolist() == [2, 10]


def test_a_report_states_the_prior_the_studies_and_both_estimates(study):
    document = study_document(study)
    (section,) = (s for s in document.sections if s.title.startswith("Error rates with known studies"))
    known, nearest = section.tables
    assert {"exponent there", "without"} <= set(known.formats)
    assert all(row["source"] for row in nearest.rows)
    assert "--prior vision: the loss of this section is the error rate" in section.paragraphs[0]
    assert "fewer than 3 scales, along model size (4 curves)" in section.bullets[-1]
    assert any(text.startswith("With the prior of 3 vision studies") for text in document.answer.result)
    (first, _) = study_json(study)["known_studies"]
    assert first["prior"]["local"]["without"]["low"] < first["prior"]["local"]["without"]["high"]


def test_what_no_library_is_a_prior_of_is_refused_or_left_out():
    with pytest.raises(WrongUse, match="not cross_entropy: write vision:error"):
        published_laws(PriorChoice.of("vision:cross_entropy"))
    assert set(published_laws(PriorChoice.of("vision:images"))) == {"training images"}
    runs = [planted(cell(size=size), n=20) for size in SIZES]
    use = without_laws(runs, n_draws=20, prior=PriorChoice.of("vision")).prior_use
    assert use.rates == ()
    assert any("nothing is classified" in reason for reason in use.left_out)
    use = without_laws(runs, n_draws=20, prior=PriorChoice.of("vision:parameters")).prior_use
    assert any("vision:parameters are other laws: write vision for" in reason for reason in use.left_out)
    random = without_laws(
        (run for run in observations(weights="random")), n_draws=20, prior=PriorChoice.of("vision:images")
    )
    assert any("random backbones" in reason for reason in random.prior_use.left_out)
