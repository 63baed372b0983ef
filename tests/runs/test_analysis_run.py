"""An analysis that was killed, and two of the same cells at once."""

from __future__ import annotations

import os
import signal
import threading
import uuid

import pytest

from mlproject.analysis import analyse
from mlproject.files import locked
from mlproject.runs import analysis_run, fit_study
from mlproject.runs.analysis_run import FitChoices, fit_key, fit_metrics
from mlproject.scaling import PriorChoice
from mlproject.tracking import Store
from tests import processes
from tests.docs.stored import store_study
from tests.studies import cell, planted

pytestmark = pytest.mark.usefixtures("undrawn")


def killed_in_its_analysis(*words: str) -> None:
    analysis_run.analyse = lambda _, **_named: os.kill(os.getpid(), signal.SIGKILL)
    processes.command(*words)


@pytest.fixture
def study() -> Store:
    """Two sizes carry no law: nothing here asks what was fitted."""
    return store_study(f"test-{uuid.uuid4().hex[:8]}", sizes=(100, 200))


def statuses(store: Store) -> list[str]:
    return sorted(
        run.info.status for run in store.client.search_runs([store.experiment_id], "tags.kind = 'fit'")
    )


@pytest.mark.slow
def test_a_killed_analysis_is_closed_by_the_next_which_fits_the_cells(study: Store) -> None:
    name = study.client.get_experiment(study.experiment_id).name
    killed = processes.started(killed_in_its_analysis, "aggregate", f"--experiment={name}")
    assert processes.ended(killed) == -signal.SIGKILL
    assert statuses(study) == ["RUNNING"]
    fit_study(study, name="all")
    assert statuses(study) == ["FINISHED", "KILLED"]


def test_the_same_cells_are_fitted_once_by_two_processes(
    study: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = fit_study(study, name="all")
    note = study.client.get_experiment(study.experiment_id).tags["mlflow.note.content"]
    assert f"[report](#/experiments/{study.experiment_id}/runs/{first.run_id}/artifacts/report.html" in note
    path = study.lock_path(f"fit-{study.client.get_run(first.run_id).data.tags['fit.key']}")
    monkeypatch.setattr(
        "mlproject.runs.analysis_run.analyse", lambda _, **_named: pytest.fail("fitted twice")
    )
    answers = []
    with locked(path):
        second = threading.Thread(target=lambda: answers.append(fit_study(study, name="all")))
        second.start()
        second.join(1)
        assert second.is_alive(), "it waits for the first"
    second.join(60)
    assert [answer.run_id for answer in answers] == [first.run_id]
    assert "waiting for another process that fits the same 4 cells" in caplog.text
    assert statuses(study) == ["FINISHED"]
    study.done()  # nothing changes from here on: the fit is found without reading a run
    monkeypatch.setattr(study, "observations", lambda **_: pytest.fail("runs were read"))
    assert fit_study(study, name="all").run_id == first.run_id


def test_the_key_of_a_fit_depends_on_its_prior() -> None:
    rows = [["cell", "digest", "run"]]
    choices = [None, *(FitChoices(prior=PriorChoice.of(text)) for text in ("vision", "vision:images"))]
    assert len({fit_key(rows, choice) for choice in choices}) == 3
    assert fit_key(rows, FitChoices()) == fit_key(rows)


def test_a_metric_of_an_exponent_names_its_law_as_exponents_of_two_laws_do_not_compare() -> None:
    runs = [
        planted(cell(size=size, seed=seed), n=60) for size in (100, 200, 400, 800, 1600) for seed in (0, 1)
    ]
    study = analyse(runs, n_draws=50)
    (curve,) = (curve for curve in study.curves if curve.assessments)
    identified = {law.law: law for law in curve.fitted_laws("mean") if law.verdict == "scaling"}
    assert identified
    assert fit_metrics(study) == {
        f"alpha.{name}.training images.lite0": law.parameters["alpha"].value
        for name, law in identified.items()
    }
