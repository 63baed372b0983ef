"""Reconstruction: planted maps come back, information is what theory says, knobs are told apart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlproject.errors import DigestMismatch, MLProjectError, WrongUse
from mlproject.recipes import build_recipe
from tests.recipes.doubles import Images, Listener, Store, cell_of, install

WIDTH, NOISE = 12, 0.3


class Linear(Store):
    """The target is a linear map of the double's features and noise; a giant sees half of the noise."""

    def features(self, model, weights, images, indices, **how):
        draw = np.random.default_rng(0)
        source = draw.standard_normal((images.n, WIDTH))
        noise = NOISE * draw.standard_normal((images.n, WIDTH))
        target = source @ draw.standard_normal((WIDTH, WIDTH)) + noise
        matrix = {
            "double": source,
            "target": target,
            "giant": np.hstack([source, noise[:, :6]]),
            "flat": np.ones((images.n, WIDTH)),
            "noise": draw.standard_normal((images.n, 40)),
        }[model.name]
        self.calls.append((model.name, how["image_scales"]))
        return SimpleNamespace(
            matrix=matrix.astype(np.float32)[indices],
            n_params=1000,
            flops_per_image=50.0,
            provenance={"engine": "double"},
            crops_per_image=5,
        )


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Linear:
    store = Linear()
    install(monkeypatch, store)
    return store


def run(images=None, **changes):
    knobs = {"target_model": "target", "standardize": False} | changes
    cell = cell_of("reconstruct", size=knobs.pop("size", 1500), eval_size=500, **knobs)
    return build_recipe("reconstruct", cell.knobs).run(cell, images or Images(n=2000), Listener())


@pytest.mark.parametrize("how", [{"solver": "ridge"}, {"solver": "gradient", "lr": 0.01, "steps": 800}])
def test_a_planted_map_leaves_its_noise(store, how):
    outcome = run(**how)
    left = outcome.losses.select("eval").loss.mean()
    assert left == pytest.approx(NOISE**2, rel=0.06)
    constant = outcome.losses.select("eval").values["constant"].mean()
    assert outcome.facts["eval.bits"] == pytest.approx(np.log2(constant / left))
    assert outcome.facts["eval.bits_low"] < outcome.facts["eval.bits"] < outcome.facts["eval.bits_high"]
    assert outcome.facts["gmac_per_image"] == 50.0 / 2e9


def test_a_giant_gives_a_ratio_on_every_split(store):
    outcome = run(reference_model="giant")
    assert 0.5 < outcome.facts["eval.ratio"] < 1
    assert outcome.facts["train.ratio_low"] < outcome.facts["train.ratio"] < outcome.facts["train.ratio_high"]
    table = outcome.tables["information"]
    assert table["split"] == ["train", "train", "eval", "eval"]
    assert table["l0_of"] == ["train mean", "own mean"] * 2
    assert table["l0"][0] == pytest.approx(table["l0"][1])
    assert table["l0"][2] > table["l0"][3]  # the best constant of the held-out images themselves


def test_without_information_in_the_giant_the_table_says_so(store):
    outcome = run(reference_model="noise", size=60, solver="gradient", lr=0.01, steps=1000)
    assert outcome.facts["eval.bits_ceiling"] < 0
    assert "eval.ratio" not in outcome.facts
    assert "r is undefined" in outcome.tables["information"]["note"][2]


def test_an_untrained_map_is_the_best_constant(store):
    outcome = run(solver="gradient", lr=1e-12, steps=1)
    assert abs(outcome.facts["train.bits"]) < 1e-6


def test_target_and_giant_are_seen_at_scale_one(store):
    run(reference_model="giant")
    assert store.calls == [("double", (1.0,)), ("target", (1.0,)), ("giant", (1.0,))]


def test_a_target_that_does_not_vary_fails_the_cell(store):
    with pytest.raises(MLProjectError, match="the same for all training images"):
        run(target_model="flat")


def test_other_weights_than_planned_are_refused(store):
    with pytest.raises(DigestMismatch, match="changed after the cell was planned"):
        run(target_digest="other")


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"target_model": "efficientnet_lite9"}, "unknown model 'efficientnet_lite9'; did you mean"),
        ({"target_model": 3}, "target_model must be text, not 3"),
        ({"solver": "rigde"}, "unknown solver 'rigde'; did you mean ridge"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"lr": 0}, "lr must be positive and finite, not 0.0"),
        ({"weight_decay": -1}, "weight_decay must be 0 or more"),
    ],
)
def test_a_bad_knob_is_named_with_rule_and_value(knobs, message):
    with pytest.raises(WrongUse, match=message):
        build_recipe("reconstruct", knobs)


def test_digests_belong_to_the_identity_of_a_cell():
    one, two = (build_recipe("reconstruct", {"target_model": f"efficientnet_lite{i}"}) for i in (1, 2))
    assert one.target_digest.startswith("IMAGENET_LITE/")
    assert one.target_digest != two.target_digest
    random = {"reference_model": "vit_b_16", "reference_weights": "random"}
    assert build_recipe("reconstruct", random).reference_digest == "random:0"
