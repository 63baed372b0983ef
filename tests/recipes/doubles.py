"""Tiny doubles: images that are only names, and a store whose features are drawn once."""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlproject.cell import Cell, Knob
from mlproject.losses import Outcome
from mlproject.models import find_model, find_weights
from mlproject.recipes import build_recipe, full_knobs

N_PIXELS = 512
DIGEST = find_weights(find_model("resblock_w2_d1"), "random:0").digest
NETWORKS = {"finetune": "resblock_w2_d1", "scratch": "resblock_w2_d1", "segment": "segmenter_w4_i1"}
"""Recipes that train whole networks need a real one, if a tiny one; all others get a double."""
REAL = [import_module(f"mlproject.recipes.{name}.run") for name in NETWORKS]
"""Imported here, so that they bind real models before ``install`` puts doubles in their place."""
QUICK: dict[str, dict[str, Knob]] = {name: {"side": 8, "epochs": 3} for name in NETWORKS}


@dataclass
class Images:
    """n images: every fourth is held out, labels go round."""

    n: int = 160
    n_classes: int = 4
    name: str = "doubles"

    def __post_init__(self) -> None:
        self.ids = tuple(f"{i}.png" for i in range(self.n))
        self.labels = np.arange(self.n) // 4 % self.n_classes
        self.classes = tuple(f"class {i}" for i in range(self.n_classes))
        self.held_out = np.arange(self.n) % 4 == 3

    def read(self, index: int) -> Any:
        """A picture of 8 x 8 pixels, one half of it brighter: which one is its label."""
        pixels = np.random.default_rng(index).integers(0, 120, (8, 8, 3), np.uint8)
        pixels[self.read_map(index) > 0] += 100
        return pixels

    def read_map(self, index: int) -> Any:
        """The brighter half of a picture: upper, lower, left, right are classes 0 to 3, all else is 0."""
        classes, label = np.zeros((8, 8), np.uint8), int(self.labels[index])
        half = slice(0, 4) if label % 2 else slice(4, 8)
        (classes if label < 2 else classes.T)[half] = max(1, label)
        return classes

    def draw(
        self, size: int, *, seed: int, how: str, in_sample: bool = False, validation_size: int = 0
    ) -> Any:
        pool = np.arange(self.n) if in_sample else np.flatnonzero(~self.held_out)
        return np.roll(pool[: len(pool) - validation_size], -seed)[:size]

    def validation(self, size: int, *, in_sample: bool = False) -> Any:
        pool = np.arange(self.n) if in_sample else np.flatnonzero(~self.held_out)
        return pool[len(pool) - size :]

    def evaluation(self, size: int) -> Any:
        return np.flatnonzero(self.held_out)[:size]


@dataclass
class Store:
    """Features that lean towards the label of an image; ``calls`` counts requests."""

    width: int = 20
    constant: bool = False
    calls: list[str] = field(default_factory=list)

    def features(self, model: Any, weights: Any, images: Images, indices: Any, **_: Any) -> Any:
        self.calls.append("features")
        name = getattr(model, "name", "double")
        draw = np.random.default_rng(0 if name == "double" else zlib.crc32(name.encode()))
        centres = draw.standard_normal((images.n_classes, self.width))
        matrix = draw.standard_normal((images.n, self.width)) + 2 * centres[images.labels]
        matrix = np.zeros_like(matrix) if self.constant else matrix
        return SimpleNamespace(
            matrix=matrix.astype(np.float32)[indices],
            n_params=1000,
            flops_per_image=50.0,
            provenance={"engine": "double"},
            crops_per_image=1,
        )

    def pixels(self, model: Any, images: Images, indices: Any, **_: Any) -> Any:
        self.calls.append("pixels")
        values = np.random.default_rng(1).standard_normal((images.n, N_PIXELS))
        return values.astype(np.float32)[indices]


@dataclass
class Listener:
    """A report that keeps what it was told."""

    stages: list[tuple[str, int]] = field(default_factory=list)
    done: int = 0
    points: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def stage(self, name: str, total: int) -> None:
        self.stages.append((name, total))
        self.done = 0

    def advance(self, count: int) -> None:
        self.done += count

    def metrics(self, step: int, values: Any) -> None:
        self.points.append((step, dict(values)))


def _find_model(name: str, weights: str = "") -> Any:
    """A double, but for the networks of recipes that train them."""
    known = name in NETWORKS.values()
    return find_model(name, weights) if known else SimpleNamespace(name=name, maps=False, digest="")


def install(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Put the double where recipes look for features, models and the device."""
    parts: dict[str, dict[str, Any]] = {
        "features": {"FeatureStore": lambda shared=False: store},
        "models": {
            "find_model": _find_model,
            "at_depth": lambda model, layer, pool: model,
            "find_weights": lambda *_, **_named: SimpleNamespace(label="imagenet", digest=DIGEST),
        },
        "device": {"find_device": lambda: "cpu"},
    }
    for name, values in parts.items():
        module = ModuleType(f"mlproject.{name}")
        module.__path__ = getattr(import_module(module.__name__), "__path__", [])  # its parts are real
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, module.__name__, module)


def cell_of(
    recipe: str = "probe",
    *,
    size: int = 96,
    eval_size: int = 32,
    validation_size: int = 0,
    seed: int = 0,
    **knobs: Knob,
) -> Cell:
    """A cell of the doubles with every knob resolved."""
    built = build_recipe(recipe, knobs)
    return Cell(
        recipe=recipe,
        model=NETWORKS.get(recipe, "double"),
        weights="random:0",
        weights_digest=DIGEST,
        data="doubles",
        data_digest="d",
        dataset_size=size,
        eval_size=eval_size,
        validation_size=validation_size,
        seed=seed,
        knobs=full_knobs(built),
        recipe_version=built.version,
    )


def network_outcome(
    recipe: str,
    *,
    images: Images | None = None,
    report: Listener | None = None,
    size: int = 96,
    validation_size: int = 16,
    **changes: Any,
) -> Outcome:
    """The outcome of a small cell of a recipe that trains a whole network."""
    knobs = QUICK[recipe] | {k: changes.pop(k) for k in list(changes) if k not in ("seed", "eval_size")}
    cell = cell_of(recipe, size=size, validation_size=validation_size, **changes, **knobs)
    return build_recipe(recipe, cell.knobs).run(cell, images or Images(200), report or Listener())


def without_maps(read_map: Any) -> Images:
    """Images of one colour each, with these label maps."""
    images = Images(200)
    images.read_map = read_map  # type: ignore[method-assign]
    images.read = lambda index: np.full((8, 8, 3), index, np.uint8)  # type: ignore[method-assign]
    return images
