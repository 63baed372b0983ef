"""Cell: one point of a scaling study and the knobs it is run with.

A cell is a value. Its ``key`` is a hash of all that changes its result and of nothing else, so two
machines that hold the same images and weights give the same cell the same name.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from mlproject.errors import WrongUse, unknown

Knob = str | int | float | bool
Draw = Literal["balanced", "prefix"]
Region = Literal["full", "blobs", "sam", "background"]
LargeImages = Literal["interpolated", "native"]

NAMES = {"draw": get_args(Draw), "region": get_args(Region), "large_images": get_args(LargeImages)}
"""Fields that take one of a few names."""
PREFIX = "cell."
LABELS_ONLY = ("data", "weights", "checkpoint")
"""Fields that name something whose digest is a field of its own: kept for people, not in the key."""
LATER: dict[str, Any] = {
    "validation_size": 0,
    "region_digest": "",
    "large_images": "interpolated",
    "tuning": {},
}
"""Fields that came after the first runs were kept: in the key only where they are used."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A point on the scaling grid: what is trained, on which images, from which seed.

    ``dataset_size`` counts training images; ``eval_size`` counts held-out images, and 0 declares the
    in-sample protocol (losses of the training images themselves). ``validation_size`` counts images of the
    training pool that no draw trains on, by which knobs and epochs are chosen. ``draw`` says how the training
    images are taken from the pool: ``balanced`` (a seeded permutation per class, taken in turn) or
    ``prefix`` (natural order). Both are nested: a larger size contains the smaller ones.
    ``region`` is what is left of each image: ``full``, the object that ``blobs`` or ``sam`` found, or the
    ``background`` (its complement); ``region_digest`` is of all that decides its mask, ``checkpoint`` is
    SAM's file.
    ``image_scales`` are multiples of the model's input side (S2, arXiv 2403.13043); ``large_images`` says
    what scales other than 1 are made of: ``interpolated`` from the image at scale 1, so that no scale sees
    more than another (the paper's fair protocol), or ``native`` pixels of the picture, where it has them.
    ``tuning`` says how the knobs named in its ``knobs`` were found (over which space, by how many trials, on
    which images), and is empty where a person chose them: cells tuned alike are comparable although those
    knobs differ.

    Raises: WrongUse, naming field, rule and value.
    """

    recipe: str
    model: str
    weights: str
    weights_digest: str
    data: str
    data_digest: str
    dataset_size: int
    eval_size: int
    validation_size: int = 0
    draw: str = "balanced"
    region: str = "full"
    region_digest: str = ""
    checkpoint: str = ""
    image_scales: tuple[float, ...] = (1.0,)
    large_images: str = "interpolated"
    seed: int = 0
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    recipe_version: int = 1
    tuning: Mapping[str, Knob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scales = tuple(float(scale) for scale in self.image_scales)
        object.__setattr__(self, "image_scales", scales)
        if scales == (1.0,) and self.large_images == "native":  # nothing is enlarged: one cell, one key
            object.__setattr__(self, "large_images", "interpolated")
        for name in ("knobs", "tuning"):
            frozen = MappingProxyType(dict(sorted(getattr(self, name).items())))
            object.__setattr__(self, name, frozen)
        for name in ("model", "weights", "data"):
            _require(getattr(self, name).isprintable(), name, "must be printable", getattr(self, name))
        _require(self.dataset_size >= 1, "dataset_size", "must be at least 1", self.dataset_size)
        _require(self.eval_size >= 0, "eval_size", "must be 0 (in-sample) or more", self.eval_size)
        held = self.validation_size
        _require(held >= 0, "validation_size", "must be 0 (none) or more", held)
        _require(self.seed >= 0, "seed", "must be 0 or more", self.seed)
        whole, digest = self.region == "full", self.region_digest
        _require(whole == (not digest), "region_digest", f"must suit region {self.region!r}", digest)
        _require(bool(scales), "image_scales", "must hold at least one scale", scales)
        _require(all(0 < s < math.inf for s in scales), "image_scales", "must be positive", scales)
        _require(len(set(scales)) == len(scales), "image_scales", "must not repeat a scale", scales)
        for name, known in NAMES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, value in self.knobs.items():
            finite = not isinstance(value, float) or math.isfinite(value)
            _require(finite, name, "must be finite", value)

    @property
    def key(self) -> str:
        """16 hexadecimal digits: SHA-256 of all that changes the result."""
        named = {k: v for k, v in self.to_dict().items() if k not in LABELS_ONLY}
        content = {k: v for k, v in named.items() if k not in LATER or v != LATER[k]}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def coordinates(self) -> dict[str, Any]:
        """Everything but the knobs and their tuning: where the cell lies on the grid."""
        return {k: v for k, v in self.to_dict().items() if k not in ("knobs", "tuning")}

    @property
    def in_sample(self) -> bool:
        """Whether losses are those of the training images, for want (or by choice) of held-out ones."""
        return self.eval_size == 0

    @property
    def random_features(self) -> bool:
        """Whether the backbone carries declared random weights."""
        return self.weights.partition(":")[0] == "random"

    @property
    def tuned(self) -> tuple[str, ...]:
        """The names of the knobs that a search chose."""
        return tuple(name for name in str(self.tuning.get("knobs", "")).split(",") if name)

    def common(self, free: Collection[str]) -> dict[str, Any]:
        """What cells have in common that may differ in ``free`` and in the knobs that a search chose."""
        differ = {*free, *self.tuned}
        own = {name: value for name, value in self.to_dict().items() if name not in differ}
        return own | {"knobs": {name: value for name, value in self.knobs.items() if name not in differ}}

    @property
    def label(self) -> str:
        """The run's name as a person would say it."""
        model = f"{self.model} (random)" if self.random_features else self.model
        data = self.data.rstrip("/").rpartition("/")[2]
        data = data if self.region == "full" else f"{data} ({self.region})"
        parts = [model, f"{self.dataset_size} images", data, f"seed {self.seed}"]
        if self.image_scales != (1.0,):
            parts.insert(1, "scales " + ",".join(f"{s:g}" for s in self.image_scales))
        if self.large_images != "interpolated":
            parts[1] += f" ({self.large_images})"
        return " · ".join([*parts, *(["tuned"] if self.tuning else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``Cell.from_dict`` gives the same cell back."""
        shallow = {f.name: getattr(self, f.name) for f in fields(self)}
        mappings = {"knobs": dict(self.knobs), "tuning": dict(self.tuning)}
        return shallow | mappings | {"image_scales": list(self.image_scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """The cell that ``to_dict`` was called on."""
        return cls(**{**values, "image_scales": tuple(values["image_scales"])})

    def to_params(self) -> dict[str, str]:
        """Run parameters, prefixed so that they never meet what the launcher logs."""
        values = self.to_dict()
        values["image_scales"] = ",".join(f"{s:g}" for s in self.image_scales)
        nested = {name: values.pop(name) for name in ("knobs", "tuning")}
        flat = values | {f"{field}.{n}": v for field, some in nested.items() for n, v in some.items()}
        return {PREFIX + name: _text(value) for name, value in flat.items()}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, (bool, float)) else str(value)


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise WrongUse(f"{name} {rule}, not {value!r}")
