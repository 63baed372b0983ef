"""Recipes that train whole networks: histories, the best epoch, weights that load, and what is refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlproject.errors import WrongUse
from mlproject.features import unfinished_folder
from mlproject.losses import Silent
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.plans import plan_of
from mlproject.recipes import build_recipe
from mlproject.runs import cell_run as running
from mlproject.training import Diverged, train
from tests.recipes.doubles import QUICK, Images, Listener, network_outcome, without_maps


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"lr": 0}, "lr must be positive"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"warmup": 1}, "warmup must be at least 0 and below 1"),
        ({"accumulate": 65}, "accumulate must be at most batch_size"),
        ({"optimizer": "sdg"}, "did you mean sgd"),
        ({"judged_epochs": 0}, "judged_epochs must be at least 1"),
    ],
)
@pytest.mark.parametrize("recipe", QUICK)
def test_knobs_that_break_a_rule_are_refused(recipe, knobs, message):
    with pytest.raises(WrongUse, match=message):
        build_recipe(recipe, knobs)


@pytest.mark.parametrize(("recipe", "weights"), [("scratch", "imagenet"), ("probe", "scratch")])
def test_weights_from_scratch_belong_to_recipes_that_train_all_of_them(recipe, weights):
    with pytest.raises(WrongUse, match=f"weights must .* for recipe='{recipe}'"):
        plan_of("x", {"recipe": recipe, "model": "resblock_w4_d1", "weights": weights})


def test_a_small_network_learns_and_its_history_is_kept():
    report = Listener()
    found = network_outcome("scratch", report=report, epochs=30, lr=0.02)
    assert found.facts["accuracy"] > 0.7
    assert report.stages == [("training", 30)]
    assert report.done == 30
    history = found.tables["epochs"]
    assert history["epoch"] == list(range(1, 31))
    assert history["samples"][-1] == found.facts["samples"] == 96 * 30
    best = history["validation_loss"].index(min(history["validation_loss"]))
    assert found.facts["best_epoch"] == best + 1
    assert found.losses.select("eval").loss.mean() == pytest.approx(history["eval_loss"][best], rel=1e-6)
    final = found.losses.select("eval").values["final_cross_entropy"].mean()
    assert final == pytest.approx(history["eval_loss"][-1], rel=1e-6)
    assert found.facts["n_correct"] + found.losses.select("eval").values["error"].sum() == 32
    assert {"train.loss", "validation.loss_epoch", "eval.loss_epoch"} <= set(report.points[0][1])


def test_without_validation_images_the_last_epoch_is_the_best():
    found = network_outcome("scratch", validation_size=0, epochs=3)
    assert found.facts["best_epoch"] == 3
    np.testing.assert_array_equal(found.losses.loss, found.losses.values["final_cross_entropy"])


def test_one_class_is_nothing_to_tell_apart():
    with pytest.raises(WrongUse, match=r"at least 2 classes .* class .*: use a folder for each class"):
        network_outcome("scratch", images=Images(200, n_classes=1))
    with pytest.raises(WrongUse, match=r"the one training image of .* is of class .*: raise dataset_size"):
        network_outcome("scratch", size=1)
    with pytest.raises(WrongUse, match="label maps of at least 2 classes"):
        network_outcome("segment", images=without_maps(lambda index: np.zeros((8, 8), np.uint8)))


def test_a_learning_rate_that_diverges_is_told_in_one_line():
    with pytest.raises(Diverged, match=r"loss is (nan|inf) at step .* lr=1e\+30"):
        network_outcome("scratch", lr=1e30, optimizer="sgd", schedule="constant", warmup=0.0)


@pytest.mark.slow
def test_a_done_cell_leaves_weights_that_load_and_no_state_of_its_training(store, monkeypatch):
    monkeypatch.setattr("mlproject.recipes.whole_network.train", partial(train, save_seconds=0.0))
    knobs = {"recipe": "scratch", "model": "resblock_w2_d1", "dataset_size": 40, "eval_size": 20}
    plan = plan_of("x", knobs | {"validation_size": 10, **QUICK["scratch"]})
    cell, seen = plan.cells[0], []
    folder = unfinished_folder(cell.key)

    class Watching(Silent):
        def metrics(self, step, values):
            seen.append((folder / "training.safetensors").exists())

    images = plan.images_of(cell)
    done = running.run_cell(cell, lambda: images, store, report=Watching())
    assert done.status == "done"
    assert seen == [True] * 3
    assert not folder.exists()
    (one,) = store.observations()
    assert one.provenance["weights"] == "scratch, drawn from seed 0"
    assert len(one.load_table("epochs")["epoch"]) == 3
    assert one.load_table("absent") == {}
    saved = load_file(store.artifact(one.run_id, "head.safetensors"))
    for name, value in build_recipe("scratch", cell.knobs).run(cell, images, Silent()).tensors.items():
        np.testing.assert_array_equal(saved[name], value, err_msg=name)
    model = find_model("resblock_w2_d1")
    weights = find_weights(model, str(store.artifact(one.run_id, "head.safetensors")))
    body = load_backbone(model, weights)
    np.testing.assert_array_equal(body.state_dict()["stem.0.0.weight"], saved["stem.0.0.weight"])
