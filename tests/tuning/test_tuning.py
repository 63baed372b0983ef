"""Sweeps that tune: a trial is a cell, the best knobs run at all seeds, and every number says where from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlproject.cli import planned
from mlproject.cli.progress import Lines
from mlproject.errors import StoreUnreachable, WrongUse
from mlproject.losses import Silent
from mlproject.plans import Plan, plan_of, read_plan
from mlproject.recipes import build_recipe
from mlproject.report import study_document, study_json, to_csv, to_json
from mlproject.runs import run_plan
from mlproject.tracking import Store
from mlproject.tuning import coordinates
from mlproject.tuning.trials import validation_curves
from tests.studies import with_two_laws

pytestmark = pytest.mark.usefixtures("undrawn")
SMALL = {
    "model": "efficientnet_lite0", "weights": "imagenet", "dataset_size": "20", "seed": "0,1",
    "eval_size": 20, "validation_size": 20, "target": "labels", "batch_size": 8,
}  # fmt: skip
FEW_IMAGES = {"dataset_size": "5", "eval_size": 5, "validation_size": 5}
"""For larger image scales, at which an image takes several passes."""


def tuned_plan(tmp_path: Path, **changes: object) -> Plan:
    words = {"trials": "6", "storage": str(tmp_path / "optuna.log"), "tune": "lr=1e-4..1e-1,epochs=1..8"}
    return plan_of("small", SMALL | words | changes, tuned=True)


def run(plan: Plan, store: Store):
    watcher = Lines(len(plan.cells), 1)
    return run_plan(plan, store, watcher), watcher


def dry_run(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    planned.print_plan(plan, "")
    return capsys.readouterr().out


def artifact(store: Store, run_id: str, name: str) -> str:
    return store.artifact(run_id, name).read_text("utf-8")


def studies(store: Store) -> list:
    return list(store.search("tags.kind = 'study'"))


def test_the_best_knobs_run_at_all_seeds_and_say_how_they_were_found(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    results, _ = run(tuned_plan(tmp_path), store)
    assert [r.status for r in results] == ["done", "done"]
    first, second = (r.cell for r in results)
    assert first.knobs == second.knobs
    assert {first.seed, second.seed} == {0, 1}
    assert first.tuning == {
        "knobs": "epochs,lr", "space": "epochs 1..8; lr 0.0001..0.1 log", "trials": 6, "sampler": "tpe",
        "pruner": "none", "seed": 0, "validation": "20 images",
    }  # fmt: skip
    assert first.label.endswith("seed 0 · tuned")
    again, _ = run(tuned_plan(tmp_path), store)
    assert [(r.status, r.cell.key) for r in again] == [("was done", r.cell.key) for r in results]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", store.experiment_id)
    shown = dry_run(tuned_plan(tmp_path), capsys)
    assert "1 searches: 1 finished, 0 to do; 2 cells: 2 done, 0 to do" in shown
    assert "engine: " not in shown, "nothing would be started"
    shown = dry_run(tuned_plan(tmp_path, trials="8"), capsys)
    assert "6 of 8  0 of 2" in shown
    assert "1 searches: 0 finished, 1 to do; 2 cells: 0 done, 2 to do" in shown


def test_a_dry_run_makes_no_studies_and_says_so_where_they_cannot_be_read(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
):
    assert "1 searches: 0 finished, 1 to do" in dry_run(tuned_plan(tmp_path), capsys)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "optuna.log").write_text("no journal")
    planned.print_plan(tuned_plan(tmp_path), "")
    shown = capsys.readouterr()
    assert "note: which searches are finished is not known: tuning storage" in shown.err
    assert "1 searches: 0 finished, 1 to do" in shown.out


def test_the_study_is_a_child_run_with_its_trials_and_plots(tmp_path: Path, store: Store):
    results, _ = run(tuned_plan(tmp_path), store)
    (study,) = studies(store)
    (sweep,) = store.search("tags.kind = 'sweep'")
    assert study.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    rows = artifact(store, study.info.run_id, "trials.csv").splitlines()
    assert rows[0] == "index,trial,state,validation_loss,epochs,lr,reason"
    assert len(rows) == 1 + 6
    assert store.artifact(study.info.run_id, "trials.png").read_bytes().startswith(b"\x89PNG")
    metrics = study.data.metrics
    losses = [float(row.split(",")[3]) for row in rows[1:]]
    assert metrics["validation.loss"] == min(losses)
    assert metrics["validation.loss_best_lr"] == pytest.approx(min(losses), rel=1e-5)
    assert {"validation.loss_half_lr", "validation.loss_double_lr", "flatness", "trials"} <= set(metrics)
    assert study.data.params["best.lr"] == str(results[0].cell.knobs["lr"])
    store.artifact(study.info.run_id, "trials.png").unlink()
    run(tuned_plan(tmp_path), store)
    logged = [each.info.run_id for each in studies(store)]
    assert len(logged) == 2, "a study that lost an artifact is logged again"
    assert artifact(store, logged[0], "trials.csv").splitlines() == rows


def test_a_trial_has_the_validation_loss_of_the_cell_that_it_stands_for(tmp_path: Path, store: Store):
    results, _ = run(tuned_plan(tmp_path, seed="0"), store)
    (study,) = studies(store)
    (seen,) = store.observations(keys=[results[0].cell.key])
    validation = seen.load_losses().select("validation").loss
    assert len(validation) == 20
    assert validation.mean() == pytest.approx(study.data.metrics["validation.loss"], rel=1e-5)


def test_the_evaluation_split_is_never_looked_at(tmp_path: Path, store: Store):
    plan = tuned_plan(tmp_path)
    (coordinate,) = coordinates(plan.cells, plan.tune)
    other = plan_of(
        "other", SMALL | {"eval_size": 40, "trials": "6", "tune": "lr=1e-4..1e-1,epochs=1..8"}, tuned=True
    )
    (more,) = coordinates(other.cells, other.tune)
    knobs = {"lr": 0.01, "epochs": 8}
    curves = [
        validation_curves(
            [c.placed(c.trial, knobs)], p.images_of(c.cells[0]), [1, 4, 8], Silent(), lambda *_: False
        )
        for c, p in ((coordinate, plan), (more, other))
    ]
    assert curves[0][0].losses == pytest.approx(curves[1][0].losses, rel=1e-6)


@pytest.mark.parametrize(
    "knobs",
    [
        {"optimizer": "adam"},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd"},
        {"dropout": 0.2},
        {"target": "features", "loss": "huber"},
        {"target": "features", "optimizer": "sgd", "batch_size": 64},
        {"target": "pixels"},
        {"solver": "ridge", "loss": "mse"},
        {"image_scales": "1,2"} | FEW_IMAGES,
    ],
)
def test_trials_side_by_side_equal_cells_run_one_by_one(knobs: dict[str, object]):
    plan = plan_of("x", SMALL | {"seed": "0", "epochs": 2} | knobs)
    cell, images = plan.cells[0], plan.images_of(plan.cells[0])
    cells = [replace(cell, knobs=dict(cell.knobs) | {"lr": lr}) for lr in (0.0005, 0.005)]
    curves = validation_curves(cells, images, (), Silent(), lambda *_: False)
    for one, curve in zip(cells, curves, strict=True):
        outcome = build_recipe("probe", one.knobs).run(one, images, Silent())
        assert curve.losses[-1] == pytest.approx(outcome.losses.select("validation").loss.mean(), rel=1e-5)


def test_one_training_gives_the_losses_at_every_smaller_length():
    plan = plan_of("x", SMALL | {"seed": "0", "epochs": 6})
    images = plan.images_of(plan.cells[0])
    (whole,) = validation_curves([plan.cells[0]], images, [1, 3, 6], Silent(), lambda *_: False)
    for length, loss in zip(whole.lengths, whole.losses, strict=True):
        (cell,) = plan_of("x", SMALL | {"seed": "0", "epochs": length}).cells
        (short,) = validation_curves([cell], images, (), Silent(), lambda *_: False)
        assert short.losses[-1] == pytest.approx(loss, rel=1e-5)


def test_without_spare_images_a_trial_keeps_a_fifth_of_its_draw(tmp_path: Path, store: Store, capsys):
    plan = tuned_plan(tmp_path, validation_size=0, tune="lr=1e-4..1e-1", epochs="2", trials="3")
    (coordinate,) = coordinates(plan.cells, plan.tune)
    assert (coordinate.trial.dataset_size, coordinate.trial.validation_size) == (16, 4)
    results, _ = run(plan, store)
    assert {r.cell.dataset_size for r in results} == {20}
    assert results[0].cell.tuning["validation"] == "a fifth of the size"
    (study,) = studies(store)
    assert "four fifths" in study.data.tags["warning"]
    assert study.data.params["trial.dataset_size"] == "16"


def test_validation_images_come_from_what_no_size_needs():
    pool = plan_of("x", SMALL | {"seed": "0"}).images_of(plan_of("x", SMALL | {"seed": "0"}).cells[0])
    words = {"trials": "2", "validation_size": "auto"}
    small = plan_of("x", SMALL | words, tuned=True).cells[0]
    n_pool = pool.n_pool()
    assert small.validation_size == min(500, n_pool // 5)
    large = plan_of("x", SMALL | words | {"dataset_size": f"20,{n_pool}"}, tuned=True)
    assert {cell.validation_size for cell in large.cells} == {0}


def test_the_plans_own_knobs_are_tried_first(tmp_path: Path):
    plan = tuned_plan(tmp_path, lr="0.02")
    (coordinate,) = coordinates(plan.cells, plan.tune)
    assert coordinate.first == {"lr": 0.02}
    outside = tuned_plan(tmp_path, lr="0.5")
    assert coordinates(outside.cells, outside.tune)[0].first == {}


def test_a_best_value_at_the_edge_is_a_warning_that_names_the_bound(tmp_path: Path, store: Store):
    plan = tuned_plan(tmp_path, tune="lr=1e-7..1e-5,epochs=1..2", lr="1e-5", seed="0", trials="4")
    _, watcher = run(plan, store)
    (said,) = [w for w in watcher.trials.warnings if "best lr" in w]
    assert "lies at the high edge of its range (high = 1e-05); widen it, and widen=true keeps" in said
    wider = tuned_plan(
        tmp_path, tune="lr=1e-7..1e-1,epochs=1..2", lr="1e-5", seed="0", trials="20", widen="true"
    )
    _, watcher = run(wider, store)
    assert not [w for w in watcher.trials.warnings if "best lr" in w]
    assert {study.data.metrics["trials"] for study in studies(store)} == {4, 20}


def test_trials_that_all_diverge_fail_their_cells_and_say_why(tmp_path: Path, store: Store):
    knobs = {"optimizer": "sgd", "target": "features", "epochs": "20", "lr": "1e30"}
    plan = tuned_plan(tmp_path, tune="lr=1e30..1e32", trials="3", **knobs)
    results, _ = run(plan, store)
    assert {r.status for r in results} == {"failed"}
    assert "none of 3 trials has a validation loss (its validation loss is" in results[0].reason


def test_knobs_that_exclude_each_other_cost_a_trial_and_no_more(tmp_path: Path, store: Store):
    plan = tuned_plan(
        tmp_path, tune="solver=gradient|ridge,weight_decay=0.1..0.2", loss="mse", trials="12", seed="0"
    )
    results, _ = run(plan, store)
    assert results[0].cell.knobs["solver"] == "gradient"
    (study,) = studies(store)
    assert "weight_decay must be 0: ridge finds its own penalty" in artifact(
        store, study.info.run_id, "trials.csv"
    )


def test_every_trial_is_a_child_run_where_that_is_asked_for(tmp_path: Path, store: Store):
    run(tuned_plan(tmp_path, log_trials="true", seed="0"), store)
    (study,) = studies(store)
    trials = list(store.search(f"tags.kind = 'trial' and tags.`mlflow.parentRunId` = '{study.info.run_id}'"))
    assert sorted(int(t.data.params["index"]) for t in trials) == list(range(6))
    assert all("validation.loss" in t.data.metrics and t.info.status == "FINISHED" for t in trials)


def test_optimiser_batch_size_and_image_scales_are_tuned_together(tmp_path: Path, store: Store):
    plan = tuned_plan(
        tmp_path,
        tune="optimizer=adam|sgd,batch_size=4..16,image_scales=1|2,lr=1e-4..1e-1",
        epochs=2,
        **{"seed": "0"} | FEW_IMAGES,
    )
    results, _ = run(plan, store)
    assert results[0].cell.image_scales in ((1.0,), (2.0,))
    assert {r.status for r in results} == {"done"}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruner_ends_with_exactly_as_many_trials(tmp_path: Path, store: Store, pruner: str):
    run(tuned_plan(tmp_path, pruner=pruner, trials="24", seed="0"), store)
    metrics = studies(store)[0].data.metrics
    assert metrics["trials.complete"] + metrics["trials.pruned"] == 24
    assert metrics["trials.pruned"] > 0


def test_cells_tuned_alike_share_a_curve_and_never_meet_untuned_ones(tmp_path: Path, store: Store):
    sizes = {"dataset_size": "10,20,40", "seed": "0"}
    results, _ = run(tuned_plan(tmp_path, **sizes), store)
    assert len({r.cell.knobs["lr"] for r in results}) > 1
    run(plan_of("untuned", SMALL | sizes | {"epochs": 4}), store)
    study = with_two_laws(store.observations(), n_draws=50)
    tuned = {result.run_id for result in results}
    curves = [{run for point in curve.points for run in point.run_ids} for curve in study.along("images")]
    assert tuned in curves
    assert all(curve == tuned or not curve & tuned for curve in curves)
    assert len(curves) == 2
    assert b"tuned epochs,lr" in to_json(study_json(study))
    (exponents,) = (table for table in study_document(study).tables if table.name == "exponents")
    assert b"tuned epochs,lr" in to_csv(exponents)


def test_a_plan_says_how_it_is_tuned_and_its_words_can_be_replaced(tmp_path: Path):
    path = tmp_path / "p.toml"
    grid = '[[grid]]\nmodel = "resnet18"\nweights = "random"\ndataset_size = [50, 100]\nseed = [0, 1]\n'
    path.write_text(f"{grid}[tune]\ntrials = 9\n[tune.space]\nlr = {{ low = 1e-4, high = 1e-2 }}\n")
    plan = read_plan(path, {})
    assert plan.tune is not None
    assert (plan.tune.trials, list(plan.tune.space)) == (9, ["lr"])
    assert read_plan(path, {"trials": "33", "tune": "lr=1e-5..1"}).tune.trials == 33
    untuned = read_plan(path, {"trials": "0"})
    assert untuned.tune is None
    assert {cell.validation_size for cell in untuned.cells} == {0}
    path.write_text(grid)
    assert list(read_plan(path, {"trials": "5"}).tune.space) == ["epochs", "lr"]


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ("[tune]\ntrails = 3", "unknown key of [tune] 'trails'; did you mean trials or log_trials?"),
        ("[tune.space]\nlr = { low = -1.0, high = 1.0 }", "lr must be positive and finite, not -1.0"),
        (
            "[tune.space]\ndropout = { low = 0.0, high = 1.5 }",
            "dropout must be at least 0 and below 1, not 1.5",
        ),
        ("[tune.space]\noptimizer = ['adam', 'sgdd']", "unknown optimizer 'sgdd'"),
        ("[tune.space]\nleraning_rate = '1..2'", "unknown knob to tune 'leraning_rate'"),
        (
            "[tune.space]\nsolver = ['ridge', 'gradient']\nepochs = '1..5'\nsteps = '1..5'",
            "tune steps instead",
        ),
        ("tune = 3", "unknown"),
    ],
)
def test_a_plan_that_cannot_be_tuned_is_refused_in_one_line(tmp_path: Path, tune: str, said: str):
    path = tmp_path / "p.toml"
    path.write_text(f'[[grid]]\nmodel = "resnet18"\nweights = "random"\n{tune}\n')
    with pytest.raises(WrongUse) as refused:
        read_plan(path, {})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_tuned_knob_has_one_value_or_none(tmp_path: Path):
    path = tmp_path / "p.toml"
    grid = '[[grid]]\nmodel = "resnet18"\nweights = "random"\nknobs = { lr = [1e-3, 1e-2] }\n'
    path.write_text(f"{grid}[tune.space]\nlr = '1e-4..1e-1'\n")
    with pytest.raises(WrongUse, match="lr is tuned: give one value, which is tried first"):
        read_plan(path, {})


def test_a_storage_that_is_away_ends_the_sweep_with_its_status(tmp_path: Path, store: Store):
    with pytest.raises(StoreUnreachable, match="tuning storage /proc/none/log cannot be used"):
        run(tuned_plan(tmp_path, storage="/proc/none/log"), store)
