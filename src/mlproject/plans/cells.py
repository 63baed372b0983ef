"""One cell of a grid: names and numbers of a plan -> a cell that can be run, and the images it draws from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from mlproject.cell import Cell
from mlproject.data import ImageSet, full_name, load_images
from mlproject.errors import WrongUse
from mlproject.features import cache_folder
from mlproject.models import SCRATCH, find_model, find_weights
from mlproject.multiscale import layouts
from mlproject.recipes import Recipe, build_recipe, full_knobs
from mlproject.regions import masked, settings_of

AUTO_EVAL_SIZE = 1000
AUTO_VALIDATION_SIZE = 500
"""At most this many, and at most a tenth of the pool (tuned cells: a fifth); none where nothing is chosen."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels, below it a multiple of the model's input side."""


def cell_at(at: dict[str, Any], knobs: Mapping[str, Any], largest: int) -> tuple[Cell, ImageSet]:
    """A cell and its images; ``largest`` is the largest size that is tuned along with it, 0 for none."""
    recipe = build_recipe(str(at["recipe"]), knobs)
    data = full_name(str(at["data"]))
    max_bad = integer("max_bad", at["max_bad"])
    region, checkpoint = str(at["region"]), str(at["checkpoint"])
    images, settings = _images(data, max_bad), _settings(region, checkpoint)
    model = find_model(str(at["model"]))
    weights = find_weights(model, _weights(str(at["weights"]), str(at["recipe"]), recipe))
    size = integer("dataset_size", at["dataset_size"])
    eval_size = _eval_size(at["eval_size"], images, str(at["recipe"]), recipe)
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
        validation_size=_validation_size(at["validation_size"], recipe, n_pool, largest),
        draw=str(at["draw"]),
        region=region,
        region_digest=settings.digest if settings else "",
        checkpoint=str(settings.checkpoint.path) if settings and settings.checkpoint else "",
        image_scales=_image_scales(at["image_scales"], model.side),
        large_images=str(at["large_images"]),
        seed=integer("seed", at["seed"]),
        knobs=full_knobs(recipe),
    )
    if cell.large_images == "native" and recipe.from_scratch:
        raise WrongUse(f"large_images must be interpolated for recipe {cell.recipe}, not 'native'")
    _check_sizes(cell, images)
    return cell, _regions(data, max_bad, region, checkpoint)


def _weights(spec: str, name: str, recipe: Recipe) -> str:
    """The name of the weights: ``scratch`` for recipes that train all of a network, and for no others."""
    if recipe.from_scratch and spec == "auto":
        return SCRATCH
    if recipe.from_scratch != (spec == SCRATCH):
        rule = f"must be {SCRATCH}" if recipe.from_scratch else f"must not be {SCRATCH}"
        raise WrongUse(f"weights {rule} for recipe={name!r}, not {spec!r}")
    return spec


@cache
def _images(spec: str, max_bad: int) -> ImageSet:
    return load_images(spec, max_bad=max_bad)


_settings = cache(settings_of)


@cache
def _regions(spec: str, max_bad: int, region: str, checkpoint: str) -> ImageSet:
    return masked(_images(spec, max_bad), region, _settings(region, checkpoint), cache_folder())


def drawn_from(cell: Cell) -> tuple[str, ...]:
    """What decides the images of a cell: its data, and what is left of each image."""
    return cell.data_digest, cell.region, cell.region_digest


def _eval_size(value: Any, images: ImageSet, name: str, recipe: Recipe) -> int:
    if value == "auto":
        return 0 if recipe.only_in_sample else min(AUTO_EVAL_SIZE, images.n_held_out)
    size = 0 if value == "in-sample" else integer("eval_size", value)
    if size and recipe.only_in_sample:
        raise WrongUse(f"eval_size must be in-sample for recipe {name}: only what it saw has a class")
    return size


def _validation_size(value: Any, recipe: Recipe, n_pool: int, largest: int) -> int:
    """Images kept from all draws; a tuned cell takes what no size needs, or 0 for a fifth of its draw."""
    if value != "auto":
        return integer("validation_size", value)
    if largest and not recipe.validates:
        spare = min(AUTO_VALIDATION_SIZE, n_pool // 5, n_pool - largest)
        return spare if spare >= min(AUTO_VALIDATION_SIZE, n_pool // 10) else 0
    return min(AUTO_VALIDATION_SIZE, n_pool // 10) if recipe.validates else 0


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
    if not all(0 < n < math.inf for n in numbers):
        raise WrongUse(f"image_scales must be positive and finite, not {value!r}")
    multiples = tuple(n / side if n > LARGEST_MULTIPLE else n for n in numbers)
    if max(multiples, default=0) > LARGEST_MULTIPLE:
        raise WrongUse(f"image_scales must be at most {LARGEST_MULTIPLE} ({LARGEST_MULTIPLE * side} pixels)")
    layouts(side, side, multiples)  # says at once what cannot be cut
    return multiples


def integer(name: str, value: Any) -> int:
    """A whole number, or text that is one. Raises: WrongUse naming what it is of."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, int):
        raise WrongUse(f"{name} must be a whole number, not {value!r}")
    return number
