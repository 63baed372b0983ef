"""The ledger: parents and differences, equal budgets, gains with intervals, splits the wrong way round."""

import math

import numpy as np
import pytest

from mlproject.analysis import analyse
from mlproject.analysis.iterations import iteration_ledger
from mlproject.analysis.runs import read_runs
from mlproject.losses import Observation, PerImageLosses
from tests.studies import cell, observe

N = 200


def run(model="net1", size=400, seed=0, epochs=4, speed=1.0, right=150, **fields):
    provenance = fields.pop("provenance", {"device": "cpu"})
    fields = {"eval_size": N, "knobs": {"epochs": epochs, "lr": 0.01}} | fields
    this = cell(model, size, seed, recipe="scratch", weights="scratch", **fields)
    errors = np.arange(N) >= right
    ids = tuple(f"{i}.png" for i in range(N))
    losses = PerImageLosses(
        kind="cross_entropy",
        image_ids=ids,
        splits=("eval",) * N,
        values={"cross_entropy": 0.1 + errors, "error": errors.astype(float)},
    )
    steps = range(1, epochs + 1)
    accuracy = [right / N * e / epochs for e in steps]
    table = {
        "epoch": list(steps),
        "samples": [size * e for e in steps],
        "seconds": [e / speed for e in steps],
        "train_loss": [1 / e for e in steps],
        "train_accuracy": accuracy,
        "validation_accuracy": accuracy,
        "eval_loss": [1 / e for e in steps],
        "eval_accuracy": accuracy,
    }
    written = {name: [str(value) for value in column] for name, column in table.items()}
    metrics = {
        "params": 1000.0 * int(model[3:]),
        "flops_per_image": 2e6,
        "flops": 1e9 * size,
        "epochs": epochs,
        "samples": size * epochs,
        "seconds_trained": epochs / speed,
        "best_epoch": epochs,
        "n_correct": right,
        "n_total": N,
        "accuracy": right / N,
        "accuracy_final": right / N - 0.01,
        "eval.loss": float(losses.loss.mean()),
        "eval_loss_final": 0.5,
    }
    return Observation(
        cell=this,
        run_id=f"run-{this.key}",
        metrics=metrics,
        losses_digest=losses.digest,
        load_losses=lambda: losses,
        load_table=lambda name: written if name == "epochs" else {},
        provenance=provenance,
    )


def ledger_of(observations):
    return iteration_ledger(read_runs(observations)[0])


def arms(observations):
    ledger = ledger_of(observations)
    (family,) = ledger.families
    return family, {arm.label: arm for arm in family.arms}


def test_runs_without_a_history_are_not_in_the_ledger():
    assert ledger_of([observe(cell(), [1.0, 2.0])]) is None


def test_the_parent_is_the_models_own_where_nothing_else_differs_and_its_change_is_the_difference():
    grown = {"device": "cpu", "parent": "net1", "change": "a block more"}
    _, found = arms([run("net1"), run("net2"), run("net3", provenance=grown)])
    assert (found["net1 · 400 images"].parent, found["net1 · 400 images"].difference) == ("", "")
    assert found["net2 · 400 images"].difference == "model net1 → net2"
    assert found["net3 · 400 images"].parent == "net1 · 400 images"
    assert found["net3 · 400 images"].difference == "a block more"


def test_arms_that_share_model_and_size_are_told_apart_by_what_differs():
    _, found = arms([run(epochs=4), run(epochs=8)])
    assert set(found) == {"net1 · 400 images · epochs=4", "net1 · 400 images · epochs=8"}
    assert found["net1 · 400 images · epochs=8"].difference == "epochs 4 → 8"


def test_arms_are_compared_at_the_largest_amount_that_all_reached():
    family, found = arms([run("net1", epochs=4), run("net2", epochs=8, speed=4.0)])
    assert family.budgets[400, "epoch"] == 4
    assert family.budgets[400, "seconds"] == 2
    first, second = found.values()
    assert first.equal["epoch", "accuracy"] == pytest.approx(0.75)
    assert second.equal["epoch", "accuracy"] == pytest.approx(0.75 / 2)
    assert first.equal["seconds", "accuracy"] == pytest.approx(0.75 / 2)
    assert second.equal["seconds", "accuracy"] == pytest.approx(0.75)


def test_an_arm_too_slow_for_the_budget_has_no_value_there():
    _, found = arms([run("net1"), run("net2", speed=0.1)])
    assert math.isnan(found["net2 · 400 images"].equal["seconds", "accuracy"])


def test_gains_are_taken_over_shared_seeds_with_a_t_interval():
    first = [run("net1", seed=s, right=150 + s) for s in range(3)]
    second = [run("net2", seed=s, right=154 + 3 * s) for s in range(4)]
    _, found = arms(first + second)
    gain, low, high = found["net2 · 400 images"].gain
    assert gain == pytest.approx(6 / N)  # 4, 6, 8 images more
    assert high - gain == pytest.approx(4.303 * (2 / N) / math.sqrt(3), rel=1e-3)
    assert low < gain < high
    assert found["net1 · 400 images"].mean_sd("accuracy") == pytest.approx((151 / N, 1 / N))


def test_a_split_used_the_wrong_way_round_and_odd_scores_are_noted():
    odd = run("net2", size=400)
    odd.metrics["accuracy"] = 0.7512
    ledger = ledger_of([run("net1", size=100), run("net1", size=50), odd])
    assert not any("wrong way round" in note for note in ledger.notes)
    assert any("1 runs have an accuracy that is not" in note for note in ledger.notes)
    ledger = ledger_of([run("net1", size=100)])
    assert any("100 against 200" in note and "wrong way round" in note for note in ledger.notes)


def test_epochs_are_an_axis_where_they_differ():
    observations = [run(epochs=e, seed=s, right=100 + 10 * e + s) for e in (1, 2, 4, 8) for s in (0, 1)]
    (curve,) = analyse(observations, n_draws=50).along("epochs")
    assert curve.x.tolist() == [1, 2, 4, 8]
    assert [point.name for point in curve.points] == ["1", "2", "4", "8"]
    assert not analyse([run(), run("net2")], n_draws=50).along("epochs")
