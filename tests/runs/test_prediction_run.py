"""Sealed predictions: made before their cells, scored after them; and what becomes of attempts to cheat."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import uuid
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mlproject.analysis import PredictionRecord
from mlproject.cell import Cell
from mlproject.cli.listing import print_one
from mlproject.cli.progress import Lines
from mlproject.errors import BadInput, WrongUse
from mlproject.files import sha256
from mlproject.plans import Plan, plan_of
from mlproject.runs import SealedRun, fit_study, predict_plan, run_plan
from mlproject.runs.kept_results import kept_path
from mlproject.runs.prediction_run import prediction_record
from mlproject.runs.tasks import Site
from mlproject.tracking import PREDICTION_HEAD, Store, open_store, predictions
from mlproject.tracking.tracked_run import TrackedRun
from tests import processes
from tests.conftest import NewStore
from tests.docs.stored import store_run
from tests.studies import planted

SIZES, SIZE = "50,100,200,400", 800
WORDS = {"weights": "random", "seed": "0,1", "eval_size": "50", "target": "labels"}


@cache
def plan(sizes: str = SIZES) -> Plan:
    return plan_of("small", {"model": "efficientnet_lite0", "dataset_size": sizes, **WORDS})


def finish(store: Store, cell: Cell, *, factor: float = 1.0, **tags: str) -> str:
    return store_run(store, planted(cell, n=50, k=6.0 * factor, floor=0.25 * factor), **tags)


def target(seed: int, size: int = SIZE) -> Cell:
    return replace(plan().cells[0], dataset_size=size, seed=seed)


def finish_targets(store: Store, *, factor: float = 1.0, size: int = SIZE) -> list[str]:
    """Finish the predicted cells as a plan that starts now would."""
    head = Site.of(store).head
    return [finish(store, target(s, size), factor=factor, **{PREDICTION_HEAD: head}) for s in (0, 1)]


@pytest.fixture
def store(tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The small plan, all of it finished, in a tracking store that has no other cells."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))
    store = open_store(f"test-{uuid.uuid4().hex[:8]}")
    for cell in plan().cells:
        finish(store, cell)
    return store


def record(store: Store) -> PredictionRecord:
    found = prediction_record(store)
    assert found is not None
    return found


def verdicts(store: Store) -> list[str]:
    return [each.verdict for each in record(store).losses]


def predict(store: Store, *sizes: int) -> SealedRun:
    return predict_plan(store, plan(), sizes or (SIZE,))


def the_file(store: Store, sealed: SealedRun) -> Path:
    return store.artifact(sealed.run_id, "prediction.json")


def seal_anew(store: Store, sealed: SealedRun, losses: dict[str, float]) -> None:
    """Change a prediction, and its seal with it."""
    values = json.loads(the_file(store, sealed).read_text())
    values["losses"][0]["loss"] = losses
    content = json.dumps(values).encode()
    the_file(store, sealed).write_bytes(content)
    store.client.set_tag(sealed.run_id, "prediction.seal", sha256(content))


def test_a_prediction_is_pending_until_all_of_its_seeds_are_finished_and_then_scored(store: Store) -> None:
    assert prediction_record(store) is None
    sealed = predict(store)
    assert sealed.seal == sha256(the_file(store, sealed).read_bytes())
    (predicted,) = sealed.losses
    assert (predicted.seeds, predicted.cell.dataset_size, predicted.horizon) == ((0, 1), SIZE, 2.0)
    head = Site.of(store).head
    assert head == f"1:{sealed.seal}"
    finish(store, target(0), **{PREDICTION_HEAD: head})
    assert [(each.verdict, each.reason) for each in record(store).losses] == [
        ("pending", "1 of 2 runs are finished")
    ]
    finish(store, target(1), **{PREDICTION_HEAD: head})
    (scored,) = record(store).losses
    losses = [planted(target(seed), n=50).loss for seed in (0, 1)]
    assert scored.verdict == "inside"
    assert scored.observed == pytest.approx(np.mean(losses))
    assert scored.error == pytest.approx(np.log(np.mean(losses) / predicted.loss.value))


def test_the_file_says_what_was_predicted_from_what_by_which_code(store: Store) -> None:
    values = json.loads(the_file(store, predict(store)).read_text())
    assert (values["prediction"], values["before"], values["plan"]) == (1, [], "small")
    assert values["code"]["code.version"]
    assert len(values["code"]["source"]) == len(values["fitted"]["sha256"]) == 64
    assert values["fitted"]["runs"] == 8
    assert values["losses"][0]["cell"]["data_digest"] == plan().cells[0].data_digest


def test_the_same_prediction_is_sealed_once_and_a_later_one_names_it(store: Store) -> None:
    first, again = predict(store), predict(store)
    assert (again.run_id, again.is_new) == (first.run_id, False)
    other = predict(store, 1000)
    assert (other.number, other.is_new) == (2, True)
    assert json.loads(the_file(store, other).read_text())["before"] == [[1, first.seal]]
    assert Site.of(store).head == f"2:{other.seal}"
    store.client.delete_run(first.run_id)
    assert predict(store).is_deleted, "a prediction that was dropped is not made anew"


def test_two_predictors_at_once_seal_one_after_the_other(store: Store) -> None:
    sealed: list[SealedRun] = []
    threads = [threading.Thread(target=lambda at=at: sealed.append(predict(store, at))) for at in (800, 900)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(each.number for each in sealed) == [1, 2]
    assert not record(store).missing
    assert verdicts(store) == ["pending"] * 2


def test_what_exists_in_any_state_cannot_be_predicted(store: Store) -> None:
    run_id = finish(store, target(1))
    with pytest.raises(WrongUse, match=rf"seed 1 was run \(run {run_id}\): what exists cannot be predicted"):
        predict(store, SIZE, 1000)
    store.client.delete_run(run_id)
    with pytest.raises(WrongUse, match="was run and deleted"):
        predict(store)
    cell = target(0, 900)
    tags = {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict())}
    with store.run(kind="cell", name="running", tags=tags), pytest.raises(WrongUse, match="is running"):
        predict(store, 900)
    kept = kept_path(store, target(0, 1000))
    kept.write_bytes(b"")
    with pytest.raises(WrongUse, match="waits to be logged"):
        predict(store, 1000)
    kept.unlink()
    assert prediction_record(store) is None


def test_cells_of_another_experiment_cannot_be_predicted_in_this(store: Store):
    other = open_store(f"test-{uuid.uuid4().hex[:8]}")
    finish_targets(other)
    with pytest.raises(WrongUse, match=r"was run .*what exists cannot be predicted"):
        predict(store)


def test_sizes_that_are_not_larger_than_all_finished_are_refused(store: Store):
    with pytest.raises(WrongUse, match="cells of 400 images are finished; name larger sizes"):
        predict(store, 300)


def test_a_plan_without_three_finished_sizes_or_enough_images_is_refused() -> None:
    store = open_store(f"test-{uuid.uuid4().hex[:8]}")
    with pytest.raises(BadInput, match="three finished sizes with its knobs and data are needed"):
        predict(store)
    with pytest.raises(WrongUse, match="10000 images · embedded · seed 0: 3,200 images can be trained on"):
        predict(store, 10_000)


def test_a_prediction_after_the_fact_is_late(store: Store) -> None:
    head = Site.of(store).head  # a plan that starts now, and whose cells end after the prediction
    assert head == ""
    predict(store)
    run_id = finish(store, target(0))
    (late,) = record(store).losses
    assert (late.verdict, late.log_score) == ("late", None)
    assert late.reason == f"run {run_id[:8]} does not name it: its plan may have begun before"
    assert record(store).coverage == ()


def test_every_run_of_a_plan_names_the_newest_prediction_as_the_plan_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(f"test-{uuid.uuid4().hex[:8]}")
    monkeypatch.setattr("mlproject.runs.tasks.prediction_head", lambda _: "1:abc")
    words = {"model": "efficientnet_lite0", "dataset_size": "10", "eval_size": "20", "target": "labels"}
    (done,) = run_plan(plan_of("tiny", {**words, "weights": "imagenet", "epochs": 1}), store, Lines(1))
    assert store.client.get_run(done.run_id).data.tags[PREDICTION_HEAD] == "1:abc"


def test_a_run_that_began_before_is_late_whatever_its_tags_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(store)
    finish_targets(store)
    monkeypatch.setattr("mlproject.analysis.prediction_record.CLOCKS_APART", -3600.0)
    assert record(store).losses[0].reason.endswith("began before it was sealed")


def test_a_changed_file_and_a_changed_seal_are_altered(store: Store) -> None:
    sealed = predict(store)
    finish_targets(store, factor=2.0)
    assert verdicts(store) == ["outside"]
    kept = the_file(store, sealed).read_bytes()
    the_file(store, sealed).write_bytes(kept.replace(b'"low": 0.', b'"low": 0.0'))
    (altered,) = record(store).losses
    assert (altered.verdict, altered.reason) == ("altered", "its file differs from its seal")
    seal_anew(store, sealed, {"value": 0.9, "low": 0.8, "high": 1.0})
    (altered,) = record(store).losses
    assert altered.reason == f"it was sealed as {sealed.seal[:16]}…"
    least = record(store).least_coverage
    assert least is not None
    assert (least.n, least.n_inside) == (1, 0), "it counts as a miss"


def test_a_prediction_is_shown_as_it_was_sealed_and_with_its_fault(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed = predict(store, SIZE)
    print_one(store, sealed.run_id[:9], "")
    shown = capsys.readouterr().out
    assert re.search(r"prediction 1 .*sealed 20\d\d-", shown)
    assert f"Seal: {sealed.seal}\n" in shown
    the_file(store, sealed).write_bytes(b"{}")
    print_one(store, sealed.run_id, "")
    assert f"Seal: {sealed.seal}; its file differs from its seal" in capsys.readouterr().out


def test_a_changed_prediction_is_known_by_the_runs_that_name_it_alone(store: Store) -> None:
    sealed = predict(store)
    finish_targets(store, factor=2.0)
    seal_anew(store, sealed, {"value": 0.9, "low": 0.8, "high": 1.0})
    tag = f"prediction.{sealed.seal[:16]}"
    store.client.delete_experiment_tag(store.experiment_id, tag)
    assert verdicts(store) == ["altered"]


def test_a_dropped_prediction_is_scored_and_one_without_a_trace_of_its_own_is_missing(store: Store) -> None:
    sealed = predict(store)
    runs = finish_targets(store, factor=2.0)
    store.client.delete_run(sealed.run_id)
    (dropped,) = record(store).losses
    assert (dropped.verdict, dropped.reason) == ("outside", "the prediction was deleted since")
    store.client.delete_run(runs[0])
    assert record(store).losses[0].reason == (
        "the prediction was deleted since; 1 of its runs was deleted since"
    )
    store.client.restore_run(sealed.run_id)
    store.client.delete_tag(sealed.run_id, "prediction.seal")
    after = record(store)
    assert [(each.number, each.seal, each.n_losses) for each in after.missing] == [(1, sealed.seal, 1)]
    assert after.count("missing") == 1


def test_cells_that_are_run_again_change_no_score(store: Store) -> None:
    predict(store)
    runs = finish_targets(store, factor=2.0)
    for run_id in runs:
        store.client.delete_run(run_id)
    finish_targets(store)
    assert verdicts(store) == ["outside"], "the first run of a cell counts"


@pytest.mark.usefixtures("undrawn")
def test_a_fit_is_made_anew_once_a_prediction_is_made_or_settled(store: Store) -> None:
    keys = [cell.key for cell in plan().cells]
    first = fit_study(store, name="small", keys=keys)
    sealed = predict(store)
    second = fit_study(store, name="small", keys=keys)
    assert second.run_id != first.run_id
    assert fit_study(store, name="small", keys=keys).run_id == second.run_id
    finish_targets(store)
    third = fit_study(store, name="small", keys=keys)
    metrics = store.client.get_run(third.run_id).data.metrics
    assert (metrics["predictions.scored"], metrics["predictions.inside"]) == (1, 1)
    assert "Sealed predictions: 1 of 1 predicted losses came inside" in " ".join(third.text.split())
    assert sealed.seal in store.artifact(third.run_id, "report.html").read_text("utf-8")


def test_a_prediction_whose_seal_was_not_logged_is_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: TrackedRun, **_: object) -> None:
        raise BadInput("the store is gone")

    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "log", fail)
        with pytest.raises(BadInput, match="gone"):
            predict(store)
    assert prediction_record(store) is None
    assert predict(store).number == 1


def killed_before_its_witness(*words: str) -> None:
    predictions._witness = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    processes.command(*words)


@pytest.mark.slow
def test_a_kill_leaves_a_sealed_prediction_that_the_same_command_gives_again(
    store: Store, tmp_path: Path
) -> None:
    name = store.client.get_experiment(store.experiment_id).name
    lines = ['name = "small"', "[[grid]]", 'model = "efficientnet_lite0"', 'weights = "random"']
    lines += [f"dataset_size = [{SIZES}]", "seed = [0, 1]", "eval_size = 50"]
    path = tmp_path / "small.toml"
    path.write_text("\n".join([*lines, "[grid.knobs]", 'target = "labels"']))
    words = ("predict", str(path), f"--at={SIZE}", f"--experiment={name}")
    killed = processes.started(killed_before_its_witness, *words)
    assert processes.ended(killed) == -signal.SIGKILL
    (sealed,) = record(store).predictions
    assert Site.of(store).head == f"1:{sealed.seal}"
    assert predict(store).run_id == sealed.run_id
