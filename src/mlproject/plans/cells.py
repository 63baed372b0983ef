"""A point of a grid and its knobs as a cell that can be run, and the images that it draws from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

from mlproject.cell import Cell, Knob
from mlproject.data import Ignore, ImageSet, full_name, load_images
from mlproject.errors import WrongUse
from mlproject.features import cache_folder
from mlproject.models import SCRATCH, find_model, find_weights
from mlproject.multiscale import layouts
from mlproject.plans.tables import Coordinates
from mlproject.recipes import Recipe, build_recipe, full_knobs
from mlproject.regions import masked, settings_of

AUTO_EVAL_SIZE = 1000
AUTO_VALIDATION_SIZE = 500
"""At most this many, and at most a tenth of the pool (tuned cells: a fifth); none where nothing is chosen."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels; up to it, a multiple of the model's input side."""


def cell_at(at: Coordinates, knobs: Mapping[str, Knob], largest: int) -> tuple[Cell, ImageSet]:
    """A cell and its images; ``largest`` is the largest size that is tuned along with it, 0 for none."""
    recipe = build_recipe(at.recipe, knobs)
    data = full_name(at.data)
    images, settings = _images(data, *_reading(at)), _settings(at.region, at.checkpoint)
    model = find_model(at.model)
    weights = find_weights(model, _weights(at.weights, at.recipe, recipe))
    eval_size = _eval_size(at.eval_size, images, at.recipe, recipe)
    n_pool = images.n_pool(in_sample=eval_size == 0)
    cell = Cell(
        recipe=at.recipe,
        recipe_version=recipe.version,
        model=model.name,
        weights=weights.label,
        weights_digest=weights.digest,
        data=data,
        data_digest=images.digest,
        dataset_size=at.dataset_size,
        eval_size=eval_size,
        validation_size=_validation_size(at.validation_size, recipe, n_pool, largest),
        draw=at.draw,
        region=at.region,
        region_digest=settings.digest if settings else "",
        checkpoint=str(settings.checkpoint.path) if settings and settings.checkpoint else "",
        image_scales=_image_scales(at.image_scales, model.side),
        large_images=at.large_images,
        seed=at.seed,
        knobs=full_knobs(recipe),
    )
    if cell.large_images == "native" and recipe.from_scratch:
        raise WrongUse(f"large_images must be interpolated for recipe {cell.recipe}, not 'native'")
    _check_sizes(cell, images)
    return cell, _regions(data, *_reading(at), at.region, at.checkpoint)


def _weights(spec: str, name: str, recipe: Recipe) -> str:
    """The name of the weights: ``scratch`` for recipes that draw all weights from the seed, for no other."""
    if recipe.from_scratch and spec == "auto":
        return SCRATCH
    if recipe.from_scratch != (spec == SCRATCH):
        rule = f"must be {SCRATCH}" if recipe.from_scratch else f"must not be {SCRATCH}"
        raise WrongUse(f"weights {rule} for recipe={name!r}, not {spec!r}")
    return spec


def _reading(at: Coordinates) -> tuple[int, bool, Ignore]:
    """What decides how data are read: bad images allowed, download, value of label maps to be ignored."""
    return at.max_bad, at.download, at.ignore


@cache
def _images(spec: str, max_bad: int, download: bool, ignore: Ignore) -> ImageSet:
    return load_images(spec, max_bad=max_bad, download=download, ignore=ignore)


_settings = cache(settings_of)


@cache
def _regions(
    spec: str, max_bad: int, download: bool, ignore: Ignore, region: str, checkpoint: str
) -> ImageSet:
    images = _images(spec, max_bad, download, ignore)
    return masked(images, region, _settings(region, checkpoint), cache_folder())


def drawn_from(cell: Cell) -> tuple[str, ...]:
    """The key of a cell's images: its data, and the region of each image."""
    return cell.data_digest, cell.region, cell.region_digest


def _eval_size(value: int | str, images: ImageSet, name: str, recipe: Recipe) -> int:
    if value == "auto":
        return 0 if recipe.only_in_sample else min(AUTO_EVAL_SIZE, images.n_held_out)
    size = value if isinstance(value, int) else 0
    if size and recipe.only_in_sample:
        raise WrongUse(f"eval_size must be in-sample for recipe {name}: only training images have a class")
    return size


def _validation_size(value: int | str, recipe: Recipe, n_pool: int, largest: int) -> int:
    """Images kept from all draws.

    When tuning, images that no dataset size needs are reserved; 0 holds out 20 % of each draw.
    """
    if isinstance(value, int):
        return value
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
            + (" (eval_size=in-sample trains and evaluates on all)" if not cell.in_sample else "")
        )
    if cell.eval_size > images.n_held_out:
        raise WrongUse(
            f"eval_size must be at most {images.n_held_out:,}, not {cell.eval_size:,}: {images.name}"
            " holds out no more"
        )


def _image_scales(numbers: tuple[float, ...], side: int) -> tuple[float, ...]:
    """Multiples of the input side; sides in pixels are divided by it."""
    if not all(0 < n < math.inf for n in numbers):
        raise WrongUse(f"image_scales must be positive and finite, not {numbers}")
    multiples = tuple(n / side if n > LARGEST_MULTIPLE else n for n in numbers)
    if max(multiples, default=0) > LARGEST_MULTIPLE:
        raise WrongUse(f"image_scales must be at most {LARGEST_MULTIPLE} ({LARGEST_MULTIPLE * side} pixels)")
    layouts(side, side, multiples)  # refuses scales that cannot be cut into crops
    return multiples
