"""Cell keys of version 0.2: the same knobs give the same cell in every later version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlproject.cell import Knob
from mlproject.plans import plan_of
from tests.recipes.doubles import cell_of

KEYS: list[tuple[str, dict[str, Knob], str]] = [
    ("probe", {}, "f1b39924d052c232"),
    (
        "probe",
        {"target": "labels", "lr": "1e-2", "epochs": "7", "dropout": 0, "shuffle": "False"},
        "17807cd2758b0282",
    ),
    (
        "probe",
        {"target": "pixels", "steps": 40, "epochs": 3, "optimizer": "sgd", "standardize": "true"},
        "025cdf3e6e0eaf68",
    ),
    (
        "probe",
        {"solver": "ridge", "loss": "auto", "standardize": False, "precision": "amp"},
        "6d0d1cd3077102fd",
    ),
    ("probe", {"target": "self", "allow_degenerate": True, "online_losses": "true"}, "7d3507f71620a90d"),
    ("finetune", {}, "31729cd07a1440c8"),
    (
        "finetune",
        {"side": 64, "trained_stages": 0, "norms": "frozen", "dropout": 0.7, "lr": "3e-5"},
        "b1bed789864eeb0b",
    ),
    (
        "finetune",
        {"contrast": "hinged", "margin": 0.2, "contrast_weight": 2, "batch_size": "64"},
        "42ed94660c9d59fb",
    ),
    (
        "finetune",
        {"contrast": "supcon", "temperature": 0.5, "encoding": "pixels", "frequencies": 5},
        "6948243b6b134d6d",
    ),
    (
        "finetune",
        {"augmentation": "modern", "mixup": 0.2, "cutmix": 1, "label_smoothing": 0.1},
        "5e394b8b77e047e6",
    ),
    ("reconstruct", {}, "100ac955bfb70225"),
    (
        "reconstruct",
        {"target_model": "efficientnet_lite1", "solver": "gradient", "steps": 10},
        "fccca37a2ac2820a",
    ),
    (
        "reconstruct",
        {"reference_model": "vit_b_16", "reference_weights": "random", "lr": 1},
        "935aaffc7b9b1c8f",
    ),
    ("memorise", {}, "49aa99b15cde5752"),
    (
        "memorise",
        {"form": "instance", "dimensions": 64, "temperature": 0.1, "momentum": 0.9},
        "2ecc61430c8b9112",
    ),
    ("scratch", {}, "1c9976b9ffc2569b"),
    (
        "scratch",
        {"steps": 50, "epochs": 7, "ema": 0.99, "accumulate": 4, "compile": "true"},
        "20593f75f48b1a78",
    ),
    (
        "scratch",
        {"side": "64", "lr": "0.01", "label_smoothing": 0.1, "schedule": "constant", "warmup": 0},
        "66a485488f9f083f",
    ),
    ("segment", {}, "d18922d87c50b29b"),
    (
        "segment",
        {"side": 64, "epochs": "1e1", "momentum": 0.5, "optimizer": "sgd", "deterministic": True},
        "36c2ca446cc11fa1",
    ),
]

ADAM = [
    ("finetune", "7a52bdf0e6a533f8"),
    ("scratch", "4386edf43213c321"),
    ("segment", "325441da844d8a95"),
]
"""Whole networks trained by Adam in version 0.2, whose default weight decay was 0.05."""

PLANNED: list[tuple[dict[str, object], list[str]]] = [
    (
        {"model": "efficientnet_lite0,resnet18", "weights": "random", "seed": "0,1", "lr": "0.01"},
        ["4cb0cb7d480a27e2", "5723f6ff9f170a43", "8d06ba55db51bb79", "ed0a8d06e8ebf3ff"],
    ),
    (
        {"model": "resblock_w4_d1", "recipe": "scratch", "dataset_size": "40,80", "eval_size": "20"},
        ["f997c3db973e7fc6", "f33357235f05c46c"],
    ),
    (
        {"model": "resnet18", "recipe": "memorise", "weights": "random", "image_scales": "1,2"},
        ["3b708dc7d966f27e"],
    ),
]
TUNED: list[tuple[dict[str, object], list[str]]] = [
    ({"trials": "6", "tune": "lr=1e-4..1e-1,epochs=1..8", "timeout": "9"}, ["116a17f343ad36f5"]),
    (
        {"trials": 12, "tune": "optimizer=adam|sgd,image_scales=1|2", "pruner": "median", "tune_seed": 3},
        ["a67bb6c42bfa813b"],
    ),
]


@pytest.mark.parametrize(("recipe", "knobs", "key"), KEYS)
def test_a_cell_has_the_key_of_version_0_2(recipe: str, knobs: dict[str, Knob], key: str) -> None:
    assert cell_of(recipe, **knobs).key == key


@pytest.mark.parametrize(("recipe", "key"), ADAM)
def test_cells_of_adam_with_the_weight_decay_of_version_0_2_keep_their_key(recipe: str, key: str) -> None:
    assert cell_of(recipe, optimizer="adam", weight_decay=0.05).key == key
    assert cell_of(recipe, optimizer="adam") == cell_of(recipe, optimizer="adam", weight_decay=0)


@pytest.mark.parametrize(("words", "keys"), PLANNED)
def test_a_plan_makes_the_cells_of_version_0_2(words: dict[str, object], keys: list[str]) -> None:
    assert [cell.key for cell in plan_of("x", words).cells] == keys


@pytest.mark.parametrize(("words", "keys"), TUNED)
def test_a_tuned_cell_has_the_key_of_version_0_2(words: dict[str, object], keys: list[str]) -> None:
    plan = plan_of("x", words | {"model": "resnet18", "weights": "random"}, tuned=True)
    assert plan.tune is not None
    tuned = [replace(cell, tuning=plan.tune.record("20 images")) for cell in plan.cells]
    assert [cell.key for cell in tuned] == keys
