"""A point of a grid and its knobs as a cell that can be run: its images, and its sizes as whole numbers.

Sizes may be given as numbers, as a share of what can be trained on, as ``all`` or ``auto``; a cell holds the
numbers, so that its key does not depend on how they were written. The sizes of a plan are upper limits: where
a data set has fewer images, what it has is used, and a note says so. A size that a command line gives for
single cells is used as it is, or refused.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from mlproject.cell import Cell, Knob
from mlproject.data import DATASETS, Ignore, ImageSet, full_name, load_images
from mlproject.errors import BadInput, WrongUse
from mlproject.features import cache_folder
from mlproject.models import SCRATCH, find_model, find_weights
from mlproject.multiscale import layouts
from mlproject.plans.tables import DEFAULTS, Coordinates, Size
from mlproject.recipes import Recipe, build_recipe, full_knobs
from mlproject.regions import RegionSettings, masked, settings_of

AUTO_DATASET_SIZE = 200
"""Training images of a set that is known by name, where no size is given; of a folder, all of them."""
AUTO_EVAL_SIZE = 1000
AUTO_VALIDATION_SIZE = 500
"""At most this many, and at most a tenth of the pool (tuned cells: a fifth); none where nothing is chosen."""
READING = ("max_bad", "download", "ignore")
"""Coordinates that say how images are read; the cell has the digest of what was read."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels; up to it, a multiple of the model's input side."""


@dataclass(frozen=True, kw_only=True, order=True)
class Reduced:
    """A size of a plan that was larger than its data set allows, and the size that is used."""

    name: str
    in_sample: bool
    used: int
    asked: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Training, evaluation (0: in-sample) and validation images of a cell."""

    dataset: int
    evaluation: int
    validation: int
    reduced: tuple[Reduced, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SizeRules:
    """What the sizes of a cell depend on besides its coordinates.

    ``planned`` are the sizes of the same grid; ``tuned``: their knobs are searched for; ``limits``: sizes are
    upper limits, as in a plan file.
    """

    planned: Collection[Size]
    tuned: bool = False
    limits: bool = False


def sizes_of(at: Coordinates, images: ImageSet, recipe: Recipe, rules: SizeRules) -> Sizes:
    """The sizes of a cell at these coordinates.

    Raises: WrongUse for sizes that the images do not allow, BadInput where nothing is held out or left to
    train on.
    """
    evaluation = _evaluation(at, images, recipe, rules)
    n_pool = images.n_pool(in_sample=evaluation == 0)
    validation = _validation(at, recipe, n_pool, rules)
    pool = max(0, n_pool - validation)
    dataset = _size(at.dataset_size, pool, at.data, limit=rules.limits)
    if not pool and not isinstance(at.dataset_size, int):
        raise WrongUse(
            f"validation_size must be at most {n_pool - 1:,}, not {validation:,}: {_what_there_is(images)},"
            " and at least one image is trained on"
        )
    if dataset > pool:
        raise _too_many(dataset, pool, images, evaluation, validation)
    asked = {"dataset_size": at.dataset_size, "eval_size": at.eval_size}
    asked["validation_size"] = at.validation_size
    used = {"dataset_size": dataset, "eval_size": evaluation, "validation_size": validation}
    reduced = tuple(
        Reduced(name=name, in_sample=evaluation == 0, used=used[name], asked=size)
        for name, size in asked.items()
        if isinstance(size, int) and used[name] < size
    )
    return Sizes(dataset=dataset, evaluation=evaluation, validation=validation, reduced=reduced)


def reduced_note(images: ImageSet, reduced: Iterable[Reduced]) -> str:
    """One line on the sizes of a plan that a data set reduces."""
    groups: dict[tuple[str, bool, int], list[str]] = {}
    for item in sorted(set(reduced)):
        groups.setdefault((item.name, item.in_sample, item.used), []).append(f"{item.asked:,}")
    parts = [
        f"{name} {_listed(asked)} {'runs' if len(asked) == 1 else 'run'} as {used:,}"
        + ((" in-sample" if in_sample else " held-out") if name == "dataset_size" else "")
        for (name, in_sample, used), asked in groups.items()
    ]
    return f"{_what_there_is(images)}: {'; '.join(parts)}"


def _listed(words: Sequence[str]) -> str:
    """Words with commas and a last *and*."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


def _evaluation(at: Coordinates, images: ImageSet, recipe: Recipe, rules: SizeRules) -> int:
    size, held_out = at.eval_size, images.n_held_out
    if size == "auto":
        return 0 if recipe.only_in_sample else min(AUTO_EVAL_SIZE, held_out)
    if not isinstance(size, int) or size == 0:
        return 0
    if recipe.only_in_sample:
        raise WrongUse(
            f"eval_size must be in-sample for recipe {at.recipe}: only training images have a class"
        )
    if not held_out:
        raise BadInput(
            f"eval_size must be in-sample, not {size:,}: {_what_there_is(images)}; a fifth of each class of "
            "five images or more is held out, or the images in test/ beside train/"
        )
    if size > held_out and not rules.limits:
        raise WrongUse(
            f"eval_size must be at most {held_out:,}, not {size:,}: {images.name} holds out no more"
        )
    return min(size, held_out)


def _validation(at: Coordinates, recipe: Recipe, n_pool: int, rules: SizeRules) -> int:
    """Images kept from all draws.

    When tuning, images that no dataset size needs are reserved; 0 holds out 20 % of each draw.
    """
    size = at.validation_size
    largest = max(_size(planned, n_pool, at.data, limit=rules.limits) for planned in rules.planned)
    if isinstance(size, int):
        return min(size, n_pool // 2) if rules.limits and largest + size > n_pool else size
    if rules.tuned and not recipe.validates:
        spare = min(AUTO_VALIDATION_SIZE, n_pool // 5, n_pool - largest)
        return spare if spare >= min(AUTO_VALIDATION_SIZE, n_pool // 10) else 0
    return min(AUTO_VALIDATION_SIZE, n_pool // 10) if recipe.validates else 0


def _size(size: Size, pool: int, data: str, *, limit: bool) -> int:
    """A number of training images of a pool: a share of it is rounded, and at least one image."""
    if isinstance(size, float):
        return min(pool, max(1, round(size * pool)))
    if isinstance(size, int):
        return min(size, pool) if limit else size
    known = data.partition(":")[0] in DATASETS
    return min(AUTO_DATASET_SIZE, pool) if size == "auto" and known else pool


def _too_many(size: int, pool: int, images: ImageSet, evaluation: int, validation: int) -> WrongUse:
    remedies = ["eval_size=in-sample trains and evaluates on all"] if evaluation else []
    remedies += [f"dataset_size=all takes the {pool:,}"] if pool > 0 else []
    kept = [f"{images.n_held_out:,} are held out for evaluation"] if evaluation else []
    kept += [f"{validation:,} {'' if kept else 'are kept '}for validation"] if validation else []
    return WrongUse(
        f"dataset_size must be at most {pool:,}, not {size:,}: {images.name} has {len(images):,} images"
        + (f", of which {' and '.join(kept)}" if kept else "")
        + (f" ({'; '.join(remedies)})" if remedies else "")
    )


def _what_there_is(images: ImageSet) -> str:
    held_out = f"{images.n_held_out:,}" if images.n_held_out else "none"
    return f"{images.name} has {len(images):,} images, {held_out} of them held out for evaluation"


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell, the images that it draws from, and its sizes of the plan that these images reduce.

    ``reading`` holds the coordinates by which the images were read that no cell records.
    """

    cell: Cell
    images: ImageSet
    reduced: tuple[Reduced, ...]
    reading: Mapping[str, Knob]


def cell_at(at: Coordinates, knobs: Mapping[str, Knob], rules: SizeRules) -> PlannedCell:
    """The cell at these coordinates. Raises: WrongUse, BadInput for what cannot be run."""
    recipe = build_recipe(at.recipe, knobs)
    data = full_name(at.data)
    images, settings = _images(data, *_reading(at)), _region_settings(at)
    model = find_model(at.model)
    weights = find_weights(model, _weights(at.weights, at.recipe, recipe))
    _require_suitable(at.recipe, recipe, images)
    sizes = sizes_of(at, images, recipe, rules)
    cell = Cell(
        recipe=at.recipe,
        recipe_version=recipe.version,
        model=model.name,
        weights=weights.label,
        weights_digest=weights.digest,
        data=data,
        data_digest=images.digest,
        dataset_size=sizes.dataset,
        eval_size=sizes.evaluation,
        validation_size=sizes.validation,
        draw=at.draw,
        region=at.region,
        region_digest=settings.digest if settings else "",
        checkpoint=settings.checkpoint.spec if settings and settings.checkpoint else "",
        region_paths=settings.paths if settings and settings.paths != "grey-first" else "",
        region_refine=settings.refine if settings and settings.refine != "none" else "",
        image_scales=_image_scales(at.image_scales, model.side),
        large_images=at.large_images,
        seed=at.seed,
        knobs=full_knobs(recipe),
    )
    if cell.large_images == "native" and recipe.from_scratch:
        raise WrongUse(f"large_images must be interpolated for recipe {cell.recipe}, not 'native'")
    shown = _regions(data, *_reading(at), at.region, settings)
    reading = {name: getattr(at, name) for name in READING if getattr(at, name) != DEFAULTS[name]}
    return PlannedCell(cell=cell, images=shown, reduced=sizes.reduced, reading=reading)


def _require_suitable(name: str, recipe: Recipe, images: ImageSet) -> None:
    """Refuse images that a recipe cannot use, before anything is run. Raises: BadInput."""
    if recipe.needs == "classes" and len(images.classes) < 2:
        remedy = ", or target=features" if name == "probe" else ""
        raise BadInput(
            f"{name} needs at least 2 classes, {images.name} has {len(images.classes)}; use a folder per "
            f"class{remedy}"
        )
    if recipe.needs == "label maps" and images.read_map is None:
        raise BadInput(
            f"{name} needs label maps, {images.name} has none: put them into masks/ beside images/"
        )


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


def _region_settings(at: Coordinates) -> RegionSettings | None:
    return _settings(at.region, at.checkpoint, paths=at.region_paths, refine=at.region_refine)


@cache
def _regions(
    spec: str, max_bad: int, download: bool, ignore: Ignore, region: str, settings: RegionSettings | None
) -> ImageSet:
    return masked(_images(spec, max_bad, download, ignore), region, settings, cache_folder())


def drawn_from(cell: Cell) -> tuple[str, ...]:
    """The key of a cell's images: its data, and the region of each image."""
    return cell.data_digest, cell.region, cell.region_digest


def _image_scales(numbers: tuple[float, ...], side: int) -> tuple[float, ...]:
    """Multiples of the input side; sides in pixels are divided by it."""
    if not all(0 < n < math.inf for n in numbers):
        raise WrongUse(f"image_scales must be positive and finite, not {numbers}")
    multiples = tuple(n / side if n > LARGEST_MULTIPLE else n for n in numbers)
    if max(multiples, default=0) > LARGEST_MULTIPLE:
        raise WrongUse(f"image_scales must be at most {LARGEST_MULTIPLE} ({LARGEST_MULTIPLE * side} pixels)")
    layouts(side, side, multiples)  # refuses scales that cannot be cut into crops
    return multiples
