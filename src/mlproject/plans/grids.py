"""Grids: coordinates and knobs of a table, each with a value or a list, and the cells of their product."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.errors import WrongUse, shown, unknown
from mlproject.plans.cells import PlannedCell, backbone_of, cells_at
from mlproject.plans.sizes import SizeRules, largest_sizes
from mlproject.plans.tables import DEFAULTS, WHOLE, Coordinates, GridSeeds, Size, read_size
from mlproject.recipes import RECIPES, validated
from mlproject.tuning import Tune, check_tunable

LISTS = ("model", "dataset_size", "seed")
"""Coordinates for which a command line may give several values, separated by commas."""
COUNTS = ("seed", "max_bad")
"""Coordinates that count: as text they are written in digits."""
SEEDS = "seeds"


@dataclass(frozen=True, kw_only=True)
class PlanGrid:
    """Values of coordinates and knobs; ``seeds`` counts those of each dataset size, where they differ."""

    values: Mapping[str, Any]
    seeds: tuple[int, ...] = ()

    @property
    def n_cells(self) -> int:
        """How many cells the grid describes. Raises: WrongUse for a value that is none."""
        counts = {name: len(_values(name, value)) for name, value in self.values.items()}
        if self.seeds:
            counts |= {"dataset_size": 1, "seed": sum(self.seeds)}
        return math.prod(counts.values())

    def cells(self, tune: Tune | None, *, limits: bool) -> Iterator[PlannedCell]:
        """Cells of the product: model varies slowest (its features are computed together), seed fastest."""
        merged = self.values
        _check_names(merged)
        for name in tune.space if tune else ():
            if isinstance(merged.get(name), list):
                raise WrongUse(f"{name} is tuned: give one value, which is tried first, or none, not a list")
        knobs = {k: _values(k, v) for k, v in merged.items() if k not in Coordinates.model_fields}
        points = list(self._points())
        rules = SizeRules(planned=largest_sizes(points), tuned=tune is not None, limits=limits)
        backbones = functools.cache(backbone_of)
        for knob_values in itertools.product(*knobs.values()):
            recipe_knobs = dict(zip(knobs, knob_values, strict=True))
            if tune:
                check_tunable(str(merged["recipe"]), recipe_knobs, tune)
            yield from cells_at(points, recipe_knobs, rules, backbones)

    def _points(self) -> Iterator[Coordinates]:
        values = {k: _values(k, v) for k, v in self.values.items() if k in Coordinates.model_fields}
        if self.seeds:
            values["seed"] = list(range(max(self.seeds)))
        last = {"data": 0, "model": 1, "dataset_size": 8, "seed": 9}
        order = sorted(values, key=lambda name: last.get(name, 5))
        n_seeds = dict(zip(map(str, values["dataset_size"]), self.seeds, strict=False))
        valid: dict[tuple[str, int], Any] = {}  # each value is validated once, whatever it is combined with
        names = set(order)
        for places in itertools.product(*(range(len(values[name])) for name in order)):
            chosen = list(zip(order, places, strict=True))
            point = {name: values[name][place] for name, place in chosen}
            if self.seeds and point["seed"] >= n_seeds[str(point["dataset_size"])]:
                continue
            if any(pair not in valid for pair in chosen):
                at = validated(Coordinates, point, kind="coordinate")
                valid |= {(name, place): getattr(at, name) for name, place in chosen}
            yield Coordinates.model_construct(names, **{pair[0]: valid[pair] for pair in chosen})


def read_grid(grid: Mapping[str, Any], overrides: Mapping[str, Any], *, named_weights: bool) -> PlanGrid:
    """Coordinates and knobs of a grid; other names are refused when the cells are built.

    Raises: WrongUse naming the key and the rule.
    """
    flat = {k: v for k, v in grid.items() if k not in ("knobs", SEEDS)}
    knobs = grid.get("knobs", {})
    if not isinstance(knobs, dict):
        raise WrongUse(f"knobs must be a table, not {shown(knobs)}")
    if named_weights:
        _require_coordinates(flat)
    if twice := sorted(flat.keys() & knobs.keys()):
        raise WrongUse(f"{twice[0]} is given twice: in the grid and in its knobs")
    merged: dict[str, Any] = {**DEFAULTS, **flat, **knobs, **overrides}
    seeds = _seeds(grid, merged) if SEEDS in grid and "seed" not in overrides else ()
    if "model" not in merged:
        raise WrongUse("model is missing; name one, for example model=resnet50")
    if named_weights and ("weights" not in flat and "weights" not in overrides):
        raise WrongUse("weights is missing; a plan names its weights: imagenet, pretrained, random or a path")
    if named_weights and "auto" in _values("weights", merged["weights"]):
        raise WrongUse("weights must be imagenet, pretrained, random or a path in a plan, not 'auto'")
    return PlanGrid(values=merged, seeds=seeds)


def _seeds(grid: Mapping[str, Any], merged: Mapping[str, Any]) -> tuple[int, ...]:
    """How many seeds each dataset size has. Raises: WrongUse."""
    if "seed" in grid:
        raise WrongUse("seed and seeds are both given: seeds counts those of each size, so leave one out")
    counts = tuple(validated(GridSeeds, {SEEDS: grid[SEEDS]}, kind="key").seeds)
    n_sizes = len(_values("dataset_size", merged["dataset_size"]))
    if len(counts) != n_sizes:
        raise WrongUse(
            f"seeds must give a number for each dataset_size, not {len(counts)} for {n_sizes}; with other "
            "sizes on the command line, give --seed too"
        )
    return counts


def _require_coordinates(names: Iterable[str]) -> None:
    """Refuse other names than coordinates beside the table of knobs."""
    for key in names:
        if key not in Coordinates.model_fields:
            if _recipes_with(key):
                raise WrongUse(f"{key} is a knob: write it below [grid.knobs]")
            raise unknown("key", key, [*Coordinates.model_fields, SEEDS, "knobs"])


def check_place(names: Iterable[str]) -> None:
    """Refuse coordinates and knobs above the grids of a plan. Raises: WrongUse with where they belong."""
    for name in names:
        table = "[[grid]]" if name in {*Coordinates.model_fields, SEEDS} else "[grid.knobs]"
        if table == "[[grid]]" or _recipes_with(name):
            raise WrongUse(f"{name} stands above the grids: write it below {table}")


def _recipes_with(knob: str) -> list[str]:
    """The recipes that have a knob of that name."""
    return sorted(name for name, recipe in RECIPES.items() if knob in recipe.model_fields)


def _check_names(merged: Mapping[str, Any]) -> None:
    """Refuse a name that is neither a coordinate nor a knob, with the near matches among both."""
    recipe = RECIPES.get(merged["recipe"]) if isinstance(merged["recipe"], str) else None
    if recipe is None:
        raise unknown("recipe", merged["recipe"], RECIPES)
    known = {*Coordinates.model_fields, *recipe.model_fields}
    for name in merged:
        if name not in known:
            if others := _recipes_with(name):
                fits = f"{name} is a knob of {', '.join(others)}, not of {merged['recipe']}"
                raise WrongUse(f"{fits}; name one of them (recipe={others[0]}), or leave {name} out")
            raise unknown(f"coordinate or knob of {merged['recipe']}", name, known)


def _values(name: str, value: Any) -> list[Any]:
    """The values of a coordinate or knob: a TOML list, a comma list where allowed, or a single value."""
    if name == "image_scales":
        nested = isinstance(value, list) and any(isinstance(v, (list, str)) for v in value)
        return value if nested else [value]
    if isinstance(value, str) and name in LISTS:
        value = [word.strip() for word in value.split(",")]
        if not all(value):
            raise WrongUse(f"{name} has an empty item in its list")
    values = value if isinstance(value, list) else [value]
    if not values:
        raise WrongUse(f"{name} must not be an empty list")
    for item in values:
        if not isinstance(item, (str, int, float)):
            raise WrongUse(f"{name} must be text, a number or a truth value, not {shown(item)}")
        if name in COUNTS and isinstance(item, str) and not WHOLE.fullmatch(item.strip()):
            raise WrongUse(f"{name} must be a whole number of at most 18 digits, not {shown(item)}")
    return [_read_size(item) for item in values] if name == "dataset_size" else values


def _read_size(item: Any) -> Size:
    try:
        return read_size(item)
    except ValueError as error:
        raise WrongUse(f"dataset_size {error}, not {shown(item)}") from None
