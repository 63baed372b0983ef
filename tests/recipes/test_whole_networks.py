"""Scratch and segment: what they refuse, what they tell, and numbers that can be checked by hand."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from mlproject.data.image_set import UNLABELLED, ImageSet
from mlproject.errors import BadInput, WrongUse
from mlproject.features import unfinished_folder
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.plans import plan_of
from mlproject.progress import Silent
from mlproject.recipes import build_recipe
from mlproject.recipes.segmenting import iou
from mlproject.runs import cell_run as running
from mlproject.training import Diverged, train
from tests.recipes.doubles import QUICK, Images, Listener, cell_of


def outcome(recipe, *, images=None, report=None, size=96, validation_size=16, **changes):
    knobs = QUICK[recipe] | {k: changes.pop(k) for k in list(changes) if k not in ("seed", "eval_size")}
    cell = cell_of(recipe, size=size, validation_size=validation_size, **changes, **knobs)
    return build_recipe(recipe, cell.knobs).run(cell, images or Images(200), report or Listener())


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


def test_sides_that_cannot_be_halved_twice_are_refused():
    with pytest.raises(WrongUse, match="side must be divisible by 4, not 30"):
        build_recipe("segment", {"side": 30})


@pytest.mark.parametrize(("recipe", "weights"), [("scratch", "imagenet"), ("probe", "scratch")])
def test_weights_from_scratch_belong_to_recipes_that_train_all_of_them(recipe, weights):
    with pytest.raises(WrongUse, match=f"weights must .*scratch for recipe='{recipe}'"):
        plan_of("x", {"recipe": recipe, "model": "resblock_w4_d1", "weights": weights})


def test_cells_from_scratch_say_so():
    (cell,) = plan_of("x", {"recipe": "scratch", "model": "resblock_w4_d1"}).cells
    assert (cell.weights, cell.weights_digest, cell.validation_size) == ("scratch", "scratch", 320)
    assert not cell.random_features


def test_a_small_network_learns_and_its_history_is_kept():
    report = Listener()
    found = outcome("scratch", report=report, epochs=30, lr=0.02)
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


def test_parameters_and_compute_are_those_of_the_whole_network():
    found = outcome("scratch")
    assert found.n_params == found.n_params_trained
    assert found.n_params == 29 * 2 + (18 * 4 + 8) + (54 * 4 + 16 + 8 + 8) + (54 * 16 + 32 + 32 + 16) + 9 * 4
    assert found.flops_total == 3 * found.flops_per_image * found.facts["samples"]
    doubled = outcome("scratch", epochs=6)
    assert doubled.flops_total == 2 * found.flops_total


def test_without_validation_images_the_last_epoch_is_the_best():
    found = outcome("scratch", validation_size=0, epochs=3)
    assert found.facts["best_epoch"] == 3
    np.testing.assert_array_equal(found.losses.loss, found.losses.values["final_cross_entropy"])


def test_several_scales_are_seen_while_learning():
    cell = cell_of("scratch", size=96, **QUICK["scratch"])
    two = dataclasses.replace(cell, image_scales=(1.0, 2.0))
    recipe = build_recipe("scratch", cell.knobs)
    plain, scaled = (recipe.run(c, Images(200), Silent()) for c in (cell, two))
    body = plain.flops_per_image - 2 * 4 * 8
    assert scaled.flops_per_image - 2 * 4 * 16 == 5 * body
    assert scaled.n_params == plain.n_params + 4 * 8


def test_scales_of_the_pictures_own_pixels_are_refused():
    cell = cell_of("scratch", **QUICK["scratch"])
    native = dataclasses.replace(cell, image_scales=(1.0, 2.0), large_images="native")
    with pytest.raises(WrongUse, match="large_images must be interpolated"):
        build_recipe("scratch", cell.knobs).run(native, Images(), Silent())


def test_one_class_is_nothing_to_tell_apart():
    with pytest.raises(WrongUse, match="needs at least 2 classes"):
        outcome("scratch", images=Images(200, n_classes=1))
    with pytest.raises(WrongUse, match="label maps of at least 2 classes"):
        outcome("segment", images=without_maps(lambda index: np.zeros((8, 8), np.uint8)))


def without_maps(read_map) -> Images:
    images = Images(200)
    images.read_map = read_map  # type: ignore[method-assign]
    images.read = lambda index: np.full((8, 8, 3), index, np.uint8)  # type: ignore[method-assign]
    return images


def test_what_does_not_fit_a_segmenter_is_said():
    with pytest.raises(WrongUse, match="data must have label maps"):
        outcome("segment", images=without_maps(None))
    cell = cell_of("segment", **QUICK["segment"])
    wrong = dataclasses.replace(cell, model="resblock_w2_d1")
    with pytest.raises(WrongUse, match="model must be a segmenter"):
        build_recipe("segment", cell.knobs).run(wrong, Images(), Silent())
    wrong = dataclasses.replace(cell, recipe="scratch")
    with pytest.raises(WrongUse, match="model must classify whole images"):
        build_recipe("scratch", QUICK["scratch"]).run(wrong, Images(), Silent())


def test_an_image_whose_pixels_all_lack_a_class_is_named():
    images = Images(200)
    maps = images.read_map
    images.read_map = lambda i: np.full((8, 8), UNLABELLED, np.uint8) if i == 2 else maps(i)  # type: ignore
    with pytest.raises(BadInput, match=r"2\.png: no pixel has a class at 8 x 8"):
        outcome("segment", images=images)


def test_a_segmenter_learns_and_is_shown_against_guessing():
    found = outcome("segment", epochs=30, lr=0.02)
    facts = found.facts
    assert facts["n_total"] == 32 * 64
    assert facts["accuracy"] > facts["majority_accuracy"] + 0.1
    matrix = np.array([found.tables["confusion"][f"class {i}"] for i in range(4)]).T
    assert matrix.sum() == facts["n_total"]
    assert np.trace(matrix) == facts["n_correct"]
    assert found.tables["classes"]["support"] == matrix.sum(1).tolist()
    assert facts["miou"] == pytest.approx(np.mean(found.tables["classes"]["iou"]))


def test_intersection_over_union_is_that_of_the_definition_and_absent_classes_have_none():
    matrix = np.array([[3.0, 1, 0], [2, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(iou(matrix), [3 / 6, 4 / 7, np.nan])


def test_unlabelled_pixels_count_for_nothing():
    images = Images(200)
    maps = images.read_map

    def mostly(index):
        classes = maps(index)
        classes[:, :2] = UNLABELLED
        return classes

    images.read_map = mostly  # type: ignore[method-assign]
    assert outcome("segment", images=images).facts["n_total"] == 32 * 48


def test_a_learning_rate_that_diverges_is_told_in_one_line():
    with pytest.raises(Diverged, match=r"loss is (nan|inf) at step .* lr=1e\+30"):
        outcome("scratch", lr=1e30, optimizer="sgd", schedule="constant", warmup=0.0)


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
    done = running.run_cell(cell, images, store, report=Watching())
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


def test_label_maps_are_cut_as_their_pictures_are():
    from mlproject.recipes.segmenting import maps_of
    from mlproject.recipes.whole_network import pixels_of, sized

    classes = np.zeros((10, 14), np.uint8)
    classes[:5] = 1
    images = ImageSet(
        name="one",
        ids=("a",),
        digests=("d",),
        labels=np.zeros(1, np.int64),
        classes=("dark", "bright"),
        held_out=np.zeros(1, np.bool_),
        read=lambda _: np.repeat(200 * classes[..., None], 3, axis=-1),
        read_map=lambda _: classes,
    )
    preprocess = sized(find_model("segmenter_w4_i1"), 20)
    pixels, maps = pixels_of(images, [0], preprocess), maps_of(images, [0], preprocess)
    assert maps.shape == (1, 20, 20)
    assert torch.equal(pixels[0, 0] > 100, maps[0] == 1)
