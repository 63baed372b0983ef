"""Plans: TOML (or the words of a command line) -> cells.

A plan is a list of grids; a grid gives every coordinate a value or a list of values, and stands for
the cells of their product. Nothing runs before every cell of the plan could be built; all faults of a
plan are told at once.
"""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.data import full_name, load_images
from mlproject.data.image_set import ImageSet
from mlproject.errors import Problem, WrongUse, unknown
from mlproject.features import cache_folder
from mlproject.models import SCRATCH, find_model, find_weights
from mlproject.multiscale import layouts
from mlproject.recipes import FROM_SCRATCH, IN_SAMPLE, RECIPES, Recipe, build_recipe, full_knobs
from mlproject.regions import masked, settings_of

LISTS = ("model", "dataset_size", "seed")
"""Coordinates for which a command line may give a comma list."""

DEFAULTS: dict[str, Any] = {
    "recipe": "probe",
    "weights": "auto",
    "data": "embedded",
    "dataset_size": 200,
    "eval_size": "auto",
    "validation_size": "auto",
    "draw": "balanced",
    "region": "full",
    "checkpoint": "",
    "image_scales": 1,
    "large_images": "interpolated",
    "seed": 0,
    "max_bad": 0,
}
AUTO_EVAL_SIZE = 1000
AUTO_VALIDATION_SIZE = 500
"""At most this many, and at most a tenth of the pool; none for a recipe that chooses nothing by them."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels, below it a multiple of the model's input side."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells in the order they run in, and the images they draw from (by what decides those)."""

    name: str
    cells: tuple[Cell, ...]
    images: Mapping[tuple[str, ...], ImageSet] = field(repr=False)

    def images_of(self, cell: Cell) -> ImageSet:
        """The images that a cell of this plan draws from."""
        return self.images[_drawn_from(cell)]


def read_plan(path: Path, overrides: Mapping[str, Any]) -> Plan:
    """The plan in a TOML file; ``overrides`` replace coordinates and knobs in each of its grids.

    Raises: WrongUse naming file, grid, key, rule and value (all faults, one a line).
    """
    if not os.path.isfile(path):
        raise WrongUse(f"no plan at {path}; plans are TOML files, see sweeps/")
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise WrongUse(f"{path} is not a TOML plan: {error}") from error
    for key in content:
        if key not in ("name", "description", "grid"):
            raise _located(path.name, unknown("key", key, ("name", "description", "grid")))
    grids = content.get("grid")
    if not isinstance(grids, list) or not grids or not all(isinstance(g, dict) for g in grids):
        raise WrongUse(f"{path.name}: a plan needs at least one [[grid]] table")
    return _build(str(content.get("name", path.stem)), grids, overrides, path.name)


def plan_of(name: str, coordinates: Mapping[str, Any]) -> Plan:
    """The plan of one grid, as a command line gives it (comma lists in model, dataset_size, seed)."""
    return _build(name, [dict(coordinates)], {}, "")


def _build(name: str, grids: Sequence[dict[str, Any]], overrides: Mapping[str, Any], where: str) -> Plan:
    images: dict[tuple[str, ...], ImageSet] = {}
    cells: dict[str, Cell] = {}
    faults: list[Problem] = []
    for number, grid in enumerate(grids, 1):
        label = f"{where}, grid {number}" if where else ""
        try:
            merged = _merge(grid, overrides, named_weights=bool(where))
            for cell, image_set in _cells(merged):
                images[_drawn_from(cell)] = image_set
                cells.setdefault(cell.key, cell)
        except Problem as fault:
            faults.append(_located(label, fault) if label else fault)
    if len(faults) > 1:
        raise type(faults[0])("\n".join(str(fault) for fault in faults))
    if faults:
        raise faults[0]
    return Plan(name=name, cells=tuple(cells.values()), images=images)


def _merge(grid: Mapping[str, Any], overrides: Mapping[str, Any], *, named_weights: bool) -> dict[str, Any]:
    """One flat dict of coordinates and knobs; what is neither is refused when the recipe is built."""
    flat = {k: v for k, v in grid.items() if k != "knobs"}
    knobs = grid.get("knobs", {})
    if not isinstance(knobs, dict):
        raise WrongUse(f"knobs must be a table, not {knobs!r}")
    for key in flat:
        if named_weights and key not in (*DEFAULTS, "model"):
            raise unknown("key", key, [*DEFAULTS, "model", "knobs"])
    merged: dict[str, Any] = {**DEFAULTS, **flat, **knobs, **overrides}
    if "model" not in merged:
        raise WrongUse("model is missing; name one, for example model=resnet50")
    if named_weights and ("weights" not in flat and "weights" not in overrides):
        raise WrongUse("weights is missing; a plan names its weights: imagenet, random or a path")
    if named_weights and "auto" in _values("weights", merged["weights"]):
        raise WrongUse("weights must be imagenet, random or a path in a plan, not 'auto'")
    return merged


def _check_names(merged: Mapping[str, Any]) -> None:
    """Refuse a word that is neither a coordinate nor a knob, with the near matches among both."""
    recipe = RECIPES.get(str(merged["recipe"]))
    if recipe is None:
        raise unknown("recipe", merged["recipe"], RECIPES)
    known = {*DEFAULTS, "model", *(knob.name for knob in fields(recipe))}
    for name in merged:
        if name not in known:
            raise unknown(f"coordinate or knob of {merged['recipe']}", name, known)


def _cells(merged: Mapping[str, Any]) -> Iterator[tuple[Cell, ImageSet]]:
    """Cells of the product: model slowest (its features are computed together), then size, then seed."""
    _check_names(merged)
    coordinates = {k: _values(k, v) for k, v in merged.items() if k in (*DEFAULTS, "model")}
    knobs = {k: _values(k, v) for k, v in merged.items() if k not in coordinates}
    order = sorted(coordinates, key=lambda k: {"data": 0, "model": 1, "dataset_size": 8, "seed": 9}.get(k, 5))
    for knob_values in itertools.product(*knobs.values()):
        recipe_knobs = dict(zip(knobs, knob_values, strict=True))
        for values in itertools.product(*(coordinates[k] for k in order)):
            yield _cell(dict(zip(order, values, strict=True)), recipe_knobs)


def _cell(at: dict[str, Any], knobs: Mapping[str, Any]) -> tuple[Cell, ImageSet]:
    recipe = build_recipe(str(at["recipe"]), knobs)
    data = full_name(str(at["data"]))
    max_bad = _integer("max_bad", at["max_bad"])
    region, checkpoint = str(at["region"]), str(at["checkpoint"])
    images, settings = _images(data, max_bad), _settings(region, checkpoint)
    model = find_model(str(at["model"]))
    weights = find_weights(model, _weights(str(at["weights"]), str(at["recipe"])))
    size = _integer("dataset_size", at["dataset_size"])
    eval_size = _eval_size(at["eval_size"], images, str(at["recipe"]))
    n_pool = images.n_pool(in_sample=eval_size == 0)
    cell = Cell(
        recipe=str(at["recipe"]),
        recipe_version=recipe.version,
        model=model.name,
        weights=weights.label,
        weights_digest=weights.digest,
        data=data,
        data_digest=images.digest,
        dataset_size=size,
        eval_size=eval_size,
        validation_size=_validation_size(at["validation_size"], recipe, n_pool),
        draw=str(at["draw"]),
        region=region,
        region_digest=settings.digest if settings else "",
        checkpoint=str(settings.checkpoint.path) if settings and settings.checkpoint else "",
        image_scales=_image_scales(at["image_scales"], model.side),
        large_images=str(at["large_images"]),
        seed=_integer("seed", at["seed"]),
        knobs=full_knobs(recipe),
    )
    if cell.large_images == "native" and cell.recipe in FROM_SCRATCH:
        raise WrongUse(f"large_images must be interpolated for recipe {cell.recipe}, not 'native'")
    _check_sizes(cell, images)
    return cell, _regions(data, max_bad, region, checkpoint)


def _weights(spec: str, recipe: str) -> str:
    """The name of the weights: ``scratch`` for recipes that train all of a network, and for no others."""
    from_scratch = recipe in FROM_SCRATCH
    if from_scratch and spec == "auto":
        return SCRATCH
    if from_scratch != (spec == SCRATCH):
        rule = f"must be {SCRATCH}" if from_scratch else f"must not be {SCRATCH}"
        raise WrongUse(f"weights {rule} for recipe={recipe!r}, not {spec!r}")
    return spec


@cache
def _images(spec: str, max_bad: int) -> ImageSet:
    return load_images(spec, max_bad=max_bad)


_settings = cache(settings_of)


@cache
def _regions(spec: str, max_bad: int, region: str, checkpoint: str) -> ImageSet:
    return masked(_images(spec, max_bad), region, _settings(region, checkpoint), cache_folder())


def _drawn_from(cell: Cell) -> tuple[str, ...]:
    return cell.data_digest, cell.region, cell.region_digest


def _eval_size(value: Any, images: ImageSet, recipe: str) -> int:
    if value == "auto":
        return 0 if recipe in IN_SAMPLE else min(AUTO_EVAL_SIZE, images.n_held_out)
    size = 0 if value == "in-sample" else _integer("eval_size", value)
    if size and recipe in IN_SAMPLE:
        raise WrongUse(f"eval_size must be in-sample for recipe {recipe}: only what it saw has a class")
    return size


def _validation_size(value: Any, recipe: Recipe, n_pool: int) -> int:
    if value == "auto":
        return min(AUTO_VALIDATION_SIZE, n_pool // 10) if recipe.validates else 0
    return _integer("validation_size", value)


def _check_sizes(cell: Cell, images: ImageSet) -> None:
    pool = images.n_pool(in_sample=cell.in_sample) - cell.validation_size
    if cell.dataset_size > pool:
        raise WrongUse(
            f"dataset_size must be at most {pool:,}, not {cell.dataset_size:,}: {images.name} has"
            f" {len(images):,} images, of which {images.n_held_out:,} are held out for evaluation"
            + (f" and {cell.validation_size:,} for validation" if cell.validation_size else "")
            + (" (eval_size=in-sample trains and judges on all)" if not cell.in_sample else "")
        )
    if cell.eval_size > images.n_held_out:
        raise WrongUse(
            f"eval_size must be at most {images.n_held_out:,}, not {cell.eval_size:,}: {images.name}"
            " holds out no more"
        )


def _image_scales(value: Any, side: int) -> tuple[float, ...]:
    """Multiples of the input side; sides in pixels are divided by it."""
    words = value.split(",") if isinstance(value, str) else value
    words = words if isinstance(words, (list, tuple)) else [words]
    try:
        numbers = [float(word) for word in words]
    except (TypeError, ValueError):
        raise WrongUse(f"image_scales must be numbers such as 1,2 or 224,448, not {value!r}") from None
    multiples = tuple(n / side if n > LARGEST_MULTIPLE else n for n in numbers)
    if max(multiples, default=0) > LARGEST_MULTIPLE:
        raise WrongUse(f"image_scales must be at most {LARGEST_MULTIPLE} ({LARGEST_MULTIPLE * side} pixels)")
    layouts(side, side, multiples)  # says at once what cannot be cut
    return multiples


def _values(name: str, value: Any) -> list[Any]:
    """The values a coordinate or knob takes: a TOML list, a comma list where allowed, or one value."""
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
    for one in values:
        if not isinstance(one, (str, int, float)):
            raise WrongUse(f"{name} must be text, a number or a truth value, not {one!r}")
    return values


def _integer(name: str, value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int):
        raise WrongUse(f"{name} must be a whole number, not {value!r}")
    return number


def _located(where: str, fault: Problem) -> Problem:
    return type(fault)(f"{where}: {fault}")
