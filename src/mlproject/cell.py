"""Cell: a point on the scaling grid and the knobs it is run with.

A cell is a frozen value. Its ``key`` hashes everything that changes the result and nothing else, so that
two machines with the same images and weights give the same cell the same key.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, get_args

from mlproject.errors import WrongUse, shown, unknown

Knob = str | int | float | bool
Draw = Literal["balanced", "prefix"]
Region = Literal["full", "blobs", "sam", "background"]
LargeImages = Literal["interpolated", "native"]

NAMES = {"draw": get_args(Draw), "region": get_args(Region), "large_images": get_args(LargeImages)}
"""Fields with a closed set of values."""
PREFIX = "cell."
LABELS_ONLY = ("data", "weights", "checkpoint", "region_paths", "region_refine")
"""Fields that name something whose digest is another field: recorded for people, not part of the key."""
WHERE_SET = ("region_paths", "region_refine", "model_digest")
"""Fields that are recorded only where they are set, so that records of cells of 0.2 stay as they are."""
LATER: dict[str, Any] = {
    "model_digest": "",
    "validation_size": 0,
    "region_digest": "",
    "large_images": "interpolated",
    "tuning": {},
}
"""Fields added after the first release, with their defaults: in the key only where they differ."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A point on the scaling grid: what is trained, on which images, from which seed.

    ``model_digest`` identifies network and preprocessing where the name of the model leaves them open (tags
    of timm, networks of models.toml).
    ``dataset_size`` counts training images. ``eval_size`` counts held-out images; 0 means in-sample losses,
    those of the training images themselves. ``validation_size`` counts images of the training pool that
    are never trained on and by which knobs and epochs are chosen. ``draw`` is how training images are
    sampled from the pool: ``balanced`` (a seeded permutation per class, classes in turn) or ``prefix``
    (natural order). Both are nested: a larger size contains the smaller ones.
    ``region`` is the visible part of each image: ``full``, the object found by ``blobs`` or ``sam``, or the
    ``background`` (its complement). ``region_digest`` hashes everything that determines the mask;
    ``checkpoint`` is SAM's file; ``region_paths`` and ``region_refine`` say how blobs were found where it was
    not by the defaults.
    ``image_scales`` are multiples of the model's input side (S2, arXiv 2403.13043). ``large_images`` is the
    source of scales other than 1: ``interpolated`` from the image at scale 1, so that no scale has more
    information than another (the paper's fair protocol), or ``native`` pixels of the original image.
    ``tuning`` records how a search chose the knobs listed in its ``knobs`` entry (search space, number of
    trials, validation images); it is empty where no knob was tuned. Cells tuned alike are comparable
    although those knobs differ.

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
    region_paths: str = ""
    region_refine: str = ""
    image_scales: tuple[float, ...] = (1.0,)
    large_images: str = "interpolated"
    seed: int = 0
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    recipe_version: int = 1
    tuning: Mapping[str, Knob] = field(default_factory=dict)
    model_digest: str = ""

    def __post_init__(self) -> None:
        scales = tuple(float(scale) for scale in self.image_scales)
        object.__setattr__(self, "image_scales", scales)
        if scales == (1.0,) and self.large_images == "native":  # no image is enlarged: the same cell
            object.__setattr__(self, "large_images", "interpolated")
        for name in ("knobs", "tuning"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        for name in ("model", "weights", "data"):
            _require(getattr(self, name).isprintable(), name, "must be printable", getattr(self, name))
        _require(self.dataset_size >= 1, "dataset_size", "must be at least 1", self.dataset_size)
        _require(self.eval_size >= 0, "eval_size", "must be 0 (in-sample) or more", self.eval_size)
        _require(
            self.validation_size >= 0, "validation_size", "must be 0 (none) or more", self.validation_size
        )
        _require(self.seed >= 0, "seed", "must be 0 or more", self.seed)
        full, digest = self.region == "full", self.region_digest
        _require(full == (not digest), "region_digest", f"must suit region {self.region!r}", digest)
        _require(bool(scales), "image_scales", "must hold at least one scale", scales)
        _require(all(0 < s < math.inf for s in scales), "image_scales", "must be positive", scales)
        _require(len(set(scales)) == len(scales), "image_scales", "must not repeat a scale", scales)
        for name, known in NAMES.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, value in self.knobs.items():
            finite = not isinstance(value, float) or math.isfinite(value)
            _require(finite, name, "must be finite", value)

    def __reduce__(self) -> tuple[Any, ...]:
        return Cell.from_dict, (self.to_dict(),)  # views of mappings are not pickled

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of everything that changes the result."""
        named = {k: v for k, v in self.to_dict().items() if k not in LABELS_ONLY}
        content = {k: v for k, v in named.items() if k not in LATER or v != LATER[k]}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def coordinates(self) -> dict[str, Any]:
        """All fields but the knobs and their tuning: the cell's position on the grid."""
        return {k: v for k, v in self.to_dict().items() if k not in ("knobs", "tuning")}

    @property
    def in_sample(self) -> bool:
        """Whether losses are those of the training images, since none are held out."""
        return self.eval_size == 0

    @property
    def random_features(self) -> bool:
        """Whether the backbone has declared random weights."""
        return self.weights.partition(":")[0] == "random"

    @property
    def tuned(self) -> tuple[str, ...]:
        """Names of the knobs that a search chose."""
        return tuple(name for name in str(self.tuning.get("knobs", "")).split(",") if name)

    def common(self, free: Collection[str]) -> dict[str, Any]:
        """All fields and knobs except those in ``free`` and the tuned knobs: equal for comparable cells."""
        differ = {*free, *self.tuned}
        fixed = {name: value for name, value in self.to_dict().items() if name not in differ}
        return fixed | {"knobs": {name: value for name, value in self.knobs.items() if name not in differ}}

    @property
    def label(self) -> str:
        """A short readable name; ``Naming`` adds what tells the cells of a plan apart."""
        return self.label_with(())

    def label_with(self, details: Iterable[str]) -> str:
        """The label, with further details before the seed."""
        model = f"{self.model} (random)" if self.random_features else self.model
        data = self.data.rstrip("/").rpartition("/")[2]
        data = data if self.region == "full" else f"{data} ({self.region})"
        parts = [model, f"{self.dataset_size} images", data, *details, f"seed {self.seed}"]
        if self.image_scales != (1.0,):
            parts.insert(1, "scales " + ",".join(f"{s:g}" for s in self.image_scales))
        if self.large_images != "interpolated":
            parts[1] += f" ({self.large_images})"
        return " · ".join([*parts, *(["tuned"] if self.tuning else [])])

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; ``Cell.from_dict`` is the inverse."""
        named = {name: getattr(self, name) for name in FIELDS}
        shallow = {name: value for name, value in named.items() if value or name not in WHERE_SET}
        mappings = {"knobs": dict(self.knobs), "tuning": dict(self.tuning)}
        return shallow | mappings | {"image_scales": list(self.image_scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Rebuild a cell from ``to_dict``."""
        return cls(**{**values, "image_scales": tuple(values["image_scales"])})

    def to_params(self) -> dict[str, str]:
        """Run parameters, prefixed so that they cannot collide with those of the launcher."""
        values = self.to_dict()
        values["image_scales"] = ",".join(f"{s:g}" for s in self.image_scales)
        nested = {name: values.pop(name) for name in ("knobs", "tuning")}
        flat = values | {f"{field}.{n}": v for field, entries in nested.items() for n, v in entries.items()}
        return {PREFIX + name: _text(value) for name, value in flat.items()}


FIELDS = tuple(f.name for f in fields(Cell))
HIDDEN = ("recipe_version", "tuning", "knobs")
"""Fields that say nothing to a reader of names, as digests do, or whose entries are named one by one."""
IN_LABEL: dict[str, Collection[str]] = dict.fromkeys(
    ("model", "dataset_size", "region", "image_scales", "large_images", "seed"), ()
) | {"weights": ("imagenet", "random:0", "scratch")}
"""Fields of which the label says everything, or that it says where they have these values."""
DERIVED = ("weights", "data", "checkpoint", "eval_size", "validation_size")
"""Fields that follow from those of the label, as a rule: named where cells of one label differ in them."""
FEW_DETAILS = 3


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Names of the cells of a plan: the label, and the fields and knobs that tell the cells apart.

    Values in ``usual`` are left out: those of the baseline, where a plan has many arms.
    """

    details: tuple[str, ...] = ()
    usual: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_cells(cls, cells: Sequence[Cell], given: Collection[str] = ()) -> Naming:
        """The naming of these cells; fields and knobs in ``given`` are named although they may not differ."""
        labels = [f"{cell.label} {_value(cell, 'protocol')}" for cell in cells]
        groups = {"label": labels, "recipe": [cell.recipe for cell in cells], "": [""] * len(cells)}
        knobs = {name for cell in cells for name in cell.knobs}
        names = []
        for name in _names(cells):
            among = "label" if name in DERIVED else "recipe" if name in knobs else ""
            if (name in given and name not in ("data", "checkpoint")) or _differ(name, cells, groups[among]):
                names.append(name)
        differing = [name for name in names if name not in given]
        usual = {name: _majority(name, cells) for name in differing} if len(differing) > FEW_DETAILS else {}
        return cls(details=tuple(names), usual={n: v for n, v in usual.items() if v is not None})

    def name(self, cell: Cell) -> str:
        """A readable name of a cell, for its run and for messages."""
        values = {name: _value(cell, name) for name in self.details}
        shown = {n: v for n, v in values.items() if v is not None and v != self.usual.get(n)}
        if cell.in_sample and "eval_size" in shown:
            shown = {"protocol": "in-sample"} | {n: v for n, v in shown.items() if n != "eval_size"}
        if shown.get("weights") in IN_LABEL["weights"]:
            del shown["weights"]
        plain = ("recipe", "protocol")
        return cell.label_with(str(v) if n in plain else f"{n}={_shown(v)}" for n, v in shown.items())


def _names(cells: Sequence[Cell]) -> list[str]:
    """Recipe, protocol, and the fields and knobs that names may have to mention, as cells first have them."""
    kinds: dict[tuple[Any, ...], Cell] = {}
    for cell in cells:
        kinds.setdefault((*cell.knobs, *(bool(getattr(cell, name)) for name in WHERE_SET)), cell)
    first = dict.fromkeys(("recipe", "protocol"))
    names = first | dict.fromkeys(name for cell in kinds.values() for name in (*cell.to_dict(), *cell.knobs))
    hidden = {*HIDDEN, *(name for name, values in IN_LABEL.items() if not values)}
    return [name for name in names if name not in hidden and not name.endswith("_digest")]


def _value(cell: Cell, name: str) -> Any:
    """The value of a field or knob that names may mention; None where the cell has none."""
    if name in cell.knobs:
        return cell.knobs[name]
    if name == "protocol":
        return "in-sample" if cell.in_sample else "held-out"
    value = getattr(cell, name) if name in FIELDS else None
    return None if name in WHERE_SET and not value else value


def _differ(name: str, cells: Sequence[Cell], groups: Sequence[str]) -> bool:
    """Whether cells of one group differ in a field or knob, of which some may have none."""
    first: dict[str, str] = {}
    return any(
        first.setdefault(group, text) != text
        for cell, group in zip(cells, groups, strict=True)
        for text in [str(_value(cell, name))]
    )


def _majority(name: str, cells: Sequence[Cell]) -> Any:
    """The value of more than half of the cells that have one, if any."""
    counts = Counter(value for cell in cells if (value := _value(cell, name)) is not None)
    value, count = counts.most_common(1)[0]
    return value if 2 * count > counts.total() else None


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _frozen(values: Mapping[str, Knob]) -> Mapping[str, Knob]:
    """Values in the order of their names, read-only; those of another cell are shared with it."""
    is_frozen = isinstance(values, MappingProxyType) and list(values) == sorted(values)
    return values if is_frozen else MappingProxyType(dict(sorted(values.items())))


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, (bool, float)) else str(value)


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise WrongUse(f"{name} {rule}, not {shown(value)}")
