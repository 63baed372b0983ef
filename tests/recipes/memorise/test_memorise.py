"""Memorising: ln n before training, more bits with more width, and what has no class is not evaluated."""

from __future__ import annotations

import math

import pytest

from mlproject.errors import WrongUse
from mlproject.plans import plan_of
from mlproject.recipes import build_recipe
from tests.recipes.doubles import Images, Listener, Store, cell_of, install


def run(*, size=100, eval_size=0, report=None, **knobs):
    cell = cell_of("memorise", size=size, eval_size=eval_size, **knobs)
    return build_recipe("memorise", cell.knobs).run(cell, Images(n=400), report or Listener())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    install(monkeypatch, store)
    return store


@pytest.mark.parametrize("form", ["linear", "instance"])
@pytest.mark.parametrize(("n", "nats"), [(100, 4.60517), (200, 5.29832), (300, 5.70378)])
def test_the_loss_before_training_is_the_logarithm_of_the_images(store, form, n, nats):
    outcome = run(size=n, form=form, steps=1)
    assert outcome.facts["loss_before"] == pytest.approx(nats, abs=1e-5)


@pytest.mark.parametrize("form", ["linear", "instance"])
def test_images_are_remembered_and_counted_in_bits(store, form):
    outcome = run(form=form, steps=300, lr=0.01)
    mean = outcome.losses.loss.mean()
    assert mean < 1
    assert outcome.facts["memorised"] > 0.9
    bits = (math.log(100) - mean) / math.log(2)
    assert outcome.facts["bits_per_image"] == pytest.approx(bits)
    assert outcome.facts["capacity_bits"] == pytest.approx(100 * bits)
    assert outcome.facts["bits_per_parameter"] * outcome.n_params_trained == pytest.approx(100 * bits)


@pytest.mark.parametrize("form", ["linear", "instance"])
def test_wider_features_hold_more(monkeypatch, form):
    kept = []
    for width in (2, 8, 32):
        install(monkeypatch, Store(width=width))
        kept.append(run(form=form, steps=200, lr=0.01).facts["capacity_bits"])
    assert kept == sorted(kept)


def test_progress_and_seen_images_add_up(store):
    report = Listener()
    outcome = run(form="instance", steps=7, batch_size=40, report=report)
    assert report.stages == [("head", 3)]  # 3 batches an epoch
    assert report.done == 3
    n_params = 20 * 128 + 128 + 100 * 128
    assert outcome.n_params_trained == n_params
    assert outcome.flops_total == 100 * 50 + 3 * 2 * (20 * 128 + 100 * 128) * (100 + 100 + 40)


def test_held_out_images_have_no_class(store):
    with pytest.raises(WrongUse, match="no held-out images"):
        run(eval_size=10)
    with pytest.raises(WrongUse, match="at least 2 for recipe memorise"):
        run(size=1)


def test_a_plan_makes_its_cells_in_sample():
    given = {"recipe": "memorise", "model": "resnet18", "weights": "random"}
    assert plan_of("x", given).cells[0].in_sample
    with pytest.raises(WrongUse, match="eval_size must be in-sample for recipe memorise"):
        plan_of("x", given | {"eval_size": 10})


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"form": "lineal"}, "unknown form 'lineal'; did you mean linear"),
        ({"temperature": 0}, "temperature must be positive and finite, not 0.0"),
        ({"momentum": 1}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"dimensions": 0}, "dimensions must be 1 to 65536, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_a_bad_knob_is_named_with_rule_and_value(knobs, message):
    with pytest.raises(WrongUse, match=message):
        build_recipe("memorise", knobs)
