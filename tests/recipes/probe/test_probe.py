"""The probe: its knobs, its targets, its guards and its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlproject.errors import MLProjectError, WrongUse
from mlproject.losses import Outcome
from mlproject.recipes import Probe, build_recipe, full_knobs
from mlproject.training import LinearHead
from tests.recipes.doubles import N_PIXELS, Images, Listener, Store, cell_of, install


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    install(monkeypatch, store)
    return store


def run(*, images: Images | None = None, report: Listener | None = None, **changes) -> Outcome:
    cell = cell_of(**changes)
    return build_recipe("probe", cell.knobs).run(cell, images or Images(), report or Listener())


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"target": "label"}, "unknown target 'label'; did you mean labels?"),
        ({"loss": "l2"}, "unknown loss 'l2'; known: auto, cross_entropy, huber, mae, mse"),
        ({"optimizer": "adma"}, "unknown optimizer 'adma'; did you mean adam"),
        ({"solver": "newton"}, "unknown solver 'newton'"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"learning_rate": 1}, "unknown knob of probe 'learning_rate'"),
        ({"lrr": 1}, "unknown knob of probe 'lrr'; did you mean lr?"),
        ({"lr": "fast"}, "lr must be a number, not 'fast'"),
        ({"lr": 0}, "lr must be positive and finite, not 0.0"),
        ({"lr": "nan"}, "lr must be positive and finite, not nan"),
        ({"lr": True}, "lr must be a number, not True"),
        ({"epochs": "2.5"}, "epochs must be a whole number, not '2.5'"),
        ({"epochs": "inf"}, "epochs must be a whole number, not 'inf'"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"steps": -1}, "steps must be 0 (use epochs) or more, not -1"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"weight_decay": -0.1}, "weight_decay must be 0 or more and finite, not -0.1"),
        ({"dropout": 1}, "dropout must be at least 0 and below 1, not 1.0"),
        ({"shuffle": "maybe"}, "shuffle must be true or false, not 'maybe'"),
        ({"shuffle": 1}, "shuffle must be true or false, not 1"),
        ({"standardize": "yes"}, "standardize must be auto, true or false, not 'yes'"),
        ({"online_losses": "x"}, "online_losses must be true or false, not 'x'"),
        ({"allow_degenerate": 2}, "allow_degenerate must be true or false, not 2"),
        ({"loss": "cross_entropy"}, "target must be labels for loss='cross_entropy', not 'features'"),
        ({"target": "labels", "loss": "mae"}, "loss must be cross_entropy or mse for target='labels'"),
        ({"solver": "ridge", "loss": "huber"}, "loss must be mse for solver='ridge', not 'huber'"),
        ({"solver": "ridge", "weight_decay": 0.1}, "weight_decay must be 0: ridge finds its own penalty"),
        ({"solver": "ridge", "dropout": 0.1}, "dropout must be 0 for solver='ridge', not 0.1"),
        ({"solver": "ridge", "online_losses": True}, "online_losses must be false: ridge takes no steps"),
        ({"solver": "ridge", "target": "self", "allow_degenerate": True}, "target must not be self"),
        ({"target": "self"}, "its loss and gradient are exactly zero for every model"),
    ],
)
def test_a_bad_knob_is_named_with_rule_and_value(knobs, message: str):
    with pytest.raises(WrongUse) as caught:
        build_recipe("probe", knobs)
    assert message in str(caught.value)


def test_an_unknown_recipe_names_its_neighbours():
    with pytest.raises(WrongUse, match="unknown recipe 'prob'; did you mean probe"):
        build_recipe("prob", {})


def test_text_is_read_as_the_type_of_the_knob():
    texts = {"lr": "1e-3", "epochs": "7", "shuffle": "False", "standardize": "true", "dropout": "0"}
    knobs = full_knobs(build_recipe("probe", texts))
    assert knobs["lr"] == 1e-3
    assert knobs["epochs"] == 7
    assert knobs["shuffle"] is False
    assert knobs["standardize"] is True
    assert type(knobs["dropout"]) is float


def test_auto_resolves_by_target():
    for target, loss, standardize in (("labels", "cross_entropy", True), ("pixels", "mse", False)):
        probe = build_recipe("probe", {"target": target})
        assert (full_knobs(probe)["loss"], full_knobs(probe)["standardize"]) == (loss, standardize)


def test_a_whole_number_and_its_float_are_one_knob():
    assert full_knobs(build_recipe("probe", {"lr": 1})) == full_knobs(build_recipe("probe", {"lr": "1.0"}))
    assert full_knobs(Probe(steps=40, epochs=3)) == full_knobs(Probe(steps=40, epochs=5))


def test_the_seeds_listing_gives_exactly_zero_when_allowed(store: Store):
    outcome = run(target="self", allow_degenerate=True)
    assert not any(column.any() for column in outcome.losses.values.values())
    assert outcome.facts["grad_norm_first"] == outcome.facts["update_norm"] == 0


def test_decay_alone_moves_a_head_that_has_no_gradient(store: Store):
    outcome = run(target="self", allow_degenerate=True, optimizer="adamw", weight_decay=0.1)
    assert not outcome.losses.loss.any()
    assert outcome.facts["update_norm"] > 0


def test_an_identity_goes_to_zero_with_enough_steps(store: Store):
    few, many = (run(steps=steps, lr=0.003).losses.select("eval").loss.max() for steps in (100, 4000))
    assert few > 0.1
    assert many < 1e-4


def test_ridge_solves_the_identity_at_once(store: Store):
    outcome = run(solver="ridge")
    assert outcome.losses.select("eval").loss.max() < 1e-6
    assert outcome.facts["ridge_lambda"] > 0


def test_pixels_ask_for_the_first_values_of_the_input(store: Store):
    outcome = run(target="pixels", optimizer="sgd")
    assert store.calls == ["features", "pixels"]
    assert outcome.tensors["head.weight"].shape == (N_PIXELS, store.width)
    assert set(outcome.losses.values) == {"mse", "mae", "huber", "nmse"}


def test_labels_are_learned_and_counted(store: Store):
    outcome = run(target="labels", epochs=30, lr=0.01)
    assert set(outcome.losses.values) == {"cross_entropy", "brier", "error"}
    facts = outcome.facts
    assert facts["accuracy"] == facts["n_correct"] / facts["n_total"] > 0.9
    assert facts["n_total"] == 32
    assert facts["n_correct"] == 32 - outcome.losses.select("eval").values["error"].sum()


@pytest.mark.parametrize("solver", ["gradient", "ridge"])
def test_labels_can_be_regressed(store: Store, solver: str):
    outcome = run(target="labels", loss="mse", solver=solver, epochs=40, lr=0.01)
    assert set(outcome.losses.values) == {"mse", "mae", "huber", "nmse", "error"}
    assert outcome.facts["accuracy"] > 0.9


def test_nmse_is_one_for_the_mean_of_the_training_targets(store: Store):
    losses = run(target="features").losses
    ratio = losses.values["mse"] / losses.values["nmse"]
    matrix = store.features(None, None, Images(), np.flatnonzero(~Images().held_out)[:96]).matrix
    assert ratio == pytest.approx(matrix.astype(float).var(0).mean(), rel=1e-6)


def test_labels_need_two_classes(store: Store):
    with pytest.raises(WrongUse, match="at least 2 classes"):
        run(target="labels", images=Images(n_classes=1))
    assert not store.calls


def test_nothing_to_learn_fails_the_cell(monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, Store(constant=True))
    nought = LinearHead(weight=torch.zeros(20, 20), bias=torch.zeros(20))
    monkeypatch.setattr("mlproject.recipes.probe.run.initial_head", lambda *_: nought)
    with pytest.raises(
        MLProjectError, match=r"the loss is exactly zero at the first step .*target='features'"
    ):
        run(target="features")


def test_a_learning_rate_that_blows_up_fails_the_cell(store: Store):
    with pytest.raises(MLProjectError, match="diverged in epoch"):
        run(optimizer="sgd", lr=1e12, epochs=20)


def test_equal_steps_are_taken_at_every_size(store: Store):
    assert {run(steps=10, size=size).facts["steps"] for size in (8, 40, 96)} == {10.0}


def test_online_losses_of_one_pass_over_nested_prefixes_share_their_rows(store: Store):
    images = Images(n=400)
    knobs = {"target": "pixels", "optimizer": "sgd", "shuffle": False, "online_losses": True}
    outcomes = [
        run(images=images, size=size, eval_size=0, epochs=1, batch_size=1, **knobs)
        for size in (100, 200, 300)
    ]
    small, middle, large = (o.losses.values["online_mse"] for o in outcomes)
    assert np.array_equal(small, middle[:100])
    assert np.array_equal(middle, large[:200])
    fresh = [o.losses.loss[:100] for o in outcomes]
    assert not np.array_equal(fresh[0], fresh[1])


def test_images_that_took_no_step_have_no_online_loss(store: Store):
    column = run(online_losses=True).losses.values["online_mse"]
    assert np.isfinite(column[:96]).all()
    assert np.isnan(column[96:]).all()


def test_compute_is_counted_as_stated(store: Store):
    outcome = run(epochs=3)
    head = 2 * store.width**2
    assert outcome.n_params == 1000 + store.width * (store.width + 1)
    assert outcome.flops_per_image == 50 + head
    assert outcome.flops_total == 96 * 50 + 3 * head * 96 * 3


@pytest.mark.parametrize(("epochs", "points"), [(3, 3), (50, 50), (170, 43)])
def test_few_points_are_reported_and_progress_adds_up(store: Store, epochs: int, points: int):
    report = Listener()
    run(epochs=epochs, report=report)
    assert len(report.points) == points
    assert report.points[-1][0] == epochs
    assert report.stages == [("head", epochs)]
    assert report.done == epochs


def test_standardizing_floors_the_deviation_of_dead_features(store: Store):
    outcome = run(target="labels")
    assert outcome.tensors["standardize.std"].min() > 0
    assert outcome.tensors["head.weight"].dtype == np.float32
