"""A point of a grid and its knobs as a cell that can be run: its images, weights, scales and sizes."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from mlproject.cell import Cell, Knob
from mlproject.data import Ignore, ImageSet, Verify, full_name, load_images
from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.files import cache_folder
from mlproject.models import SCRATCH, Model, Weights, find_model, find_weights
from mlproject.multiscale import layouts
from mlproject.plans.sizes import Reduced, SizeRules, Sizes, sizes_of
from mlproject.plans.tables import DEFAULTS, Coordinates
from mlproject.recipes import LATER_KNOBS, Recipe, build_recipe, full_knobs
from mlproject.regions import RegionSettings, masked, settings_of
from mlproject.training import MOST_STEPS

READING = ("max_bad", "download", "ignore", "verify")
"""Coordinates that say how images are read; the cell has the digest of what was read."""
SHARED = tuple(name for name in Coordinates.model_fields if name not in ("dataset_size", "seed"))
"""Coordinates that decide everything of a cell but its sizes and its seed."""
LARGEST_MULTIPLE = 16
"""An image scale above this is a side in pixels; up to it, a multiple of the model's input side."""


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell, the images that it draws from, and its sizes of the plan that these images reduce.

    ``reading`` holds the coordinates by which the images were read that no cell records.
    """

    cell: Cell
    images: ImageSet
    reduced: tuple[Reduced, ...]
    reading: Mapping[str, Knob]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What cells share that differ in size and seed alone: recipe, images, model and weights."""

    recipe: Recipe
    data: str
    images: ImageSet
    region: RegionSettings | None
    model: Model
    weights: Weights


def backbone_of(name: str, weights: str) -> tuple[Model, Weights]:
    """A model by its name, and its weights. Raises: WrongUse, BadInput."""
    model = find_model(name, weights)
    return model, find_weights(model, weights)


def cells_at(
    points: Iterable[Coordinates],
    knobs: Mapping[str, Knob],
    rules: SizeRules,
    backbones: Callable[[str, str], tuple[Model, Weights]],
) -> Iterator[PlannedCell]:
    """The cells at these coordinates; what several share is looked up once.

    ``backbones`` is ``backbone_of``, or remembers its answers. Raises: WrongUse, BadInput for what cannot be
    run.
    """
    settings: dict[Hashable, Setting] = {}
    sizes: dict[Hashable, Sizes] = {}
    first: dict[Hashable, PlannedCell] = {}
    for at in points:
        shared = tuple(getattr(at, name) for name in SHARED)
        if shared not in settings:
            settings[shared] = _setting(at, knobs, backbones)
        setting = settings[shared]
        of_size = (shared, type(at.dataset_size), at.dataset_size)  # 1 is one image, and 1.0 are all
        if of_size not in sizes:
            sizes[of_size] = sizes_of(at, setting.images, setting.recipe, rules)
        if shared not in first:
            first[shared] = _planned(at, setting, sizes[of_size])
        yield _resized(first[shared], sizes[of_size], at.seed)


def _setting(
    at: Coordinates, knobs: Mapping[str, Knob], backbones: Callable[[str, str], tuple[Model, Weights]]
) -> Setting:
    recipe = build_recipe(at.recipe, knobs)
    data = full_name(at.data)
    images, settings = _images(data, *_reading(at)), _region_settings(at)
    model, weights = backbones(at.model, _weights(at.weights, at.recipe, recipe))
    _require_depth(model, full_knobs(recipe))
    _require_suitable(at.recipe, recipe, images)
    return Setting(recipe=recipe, data=data, images=images, region=settings, model=model, weights=weights)


def _planned(at: Coordinates, setting: Setting, sizes: Sizes) -> PlannedCell:
    """The cell at these coordinates."""
    model, weights, settings = setting.model, setting.weights, setting.region
    cell = Cell(
        recipe=at.recipe,
        recipe_version=setting.recipe.version,
        model=model.name,
        model_digest=model.digest,
        weights=weights.label,
        weights_digest=weights.digest,
        data=setting.data,
        data_digest=setting.images.digest,
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
        knobs=full_knobs(setting.recipe),
    )
    _require_end(cell)
    if cell.large_images == "native" and setting.recipe.from_scratch:
        raise WrongUse(f"large_images must be interpolated for recipe {cell.recipe}, not 'native'")
    shown = _regions(setting.data, *_reading(at), at.region, settings)
    reading = {name: getattr(at, name) for name in READING if getattr(at, name) != DEFAULTS[name]}
    return PlannedCell(cell=cell, images=shown, reduced=sizes.reduced, reading=reading)


def _resized(planned: PlannedCell, sizes: Sizes, seed: int) -> PlannedCell:
    """A planned cell with other sizes and another seed."""
    cell = replace(
        planned.cell,
        dataset_size=sizes.dataset,
        eval_size=sizes.evaluation,
        validation_size=sizes.validation,
        seed=seed,
    )
    _require_end(cell)
    return replace(planned, cell=cell, reduced=sizes.reduced)


def _require_depth(model: Model, knobs: Mapping[str, Knob]) -> None:
    """Refuse a layer or pool that the network does not offer. Raises: WrongUse."""
    if not LATER_KNOBS.keys() & knobs.keys():
        return
    from mlproject.models import at_depth

    layer, pool = (str(knobs.get(name, default)) for name, default in LATER_KNOBS.items())
    at_depth(model, layer, pool)


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


def _require_end(cell: Cell) -> None:
    """Refuse a training of more steps than will ever be taken. Raises: WrongUse."""
    epochs, batch = int(cell.knobs.get("epochs", 0)), int(cell.knobs.get("batch_size", 1))
    n_steps = epochs * math.ceil(cell.dataset_size / batch)
    if n_steps > MOST_STEPS:
        raise WrongUse(
            f"epochs={epochs:,} of {cell.dataset_size:,} images in batches of {batch:,} are {n_steps:,} "
            f"steps; at most {MOST_STEPS:,} are taken"
        )


def _weights(spec: str, name: str, recipe: Recipe) -> str:
    """The name of the weights: ``scratch`` for recipes that draw all weights from the seed, for no other."""
    if recipe.from_scratch and spec == "auto":
        return SCRATCH
    if recipe.from_scratch != (spec == SCRATCH):
        rule = (
            f"must be {SCRATCH}" if recipe.from_scratch else "must be imagenet, pretrained, random or a path"
        )
        raise WrongUse(f"weights {rule} for recipe={name!r}, not {spec!r}")
    return spec


def _reading(at: Coordinates) -> tuple[int, bool, Ignore, Verify]:
    """How data are read: bad images allowed, download, value of label maps ignored, files read again."""
    return at.max_bad, at.download, at.ignore, at.verify


@cache
def _images(spec: str, max_bad: int, download: bool, ignore: Ignore, verify: Verify) -> ImageSet:
    return load_images(spec, max_bad=max_bad, download=download, ignore=ignore, verify=verify)


_settings = cache(settings_of)


def _region_settings(at: Coordinates) -> RegionSettings | None:
    return _settings(at.region, at.checkpoint, paths=at.region_paths, refine=at.region_refine)


@cache
def _regions(
    spec: str,
    max_bad: int,
    download: bool,
    ignore: Ignore,
    verify: Verify,
    region: str,
    settings: RegionSettings | None,
) -> ImageSet:
    return masked(_images(spec, max_bad, download, ignore, verify), region, settings, cache_folder())


def images_for(cell: Cell, reading: Mapping[str, Knob]) -> ImageSet:
    """The images that a planned cell draws from, read again: for a process that did not plan it.

    ``reading`` are the coordinates that no cell records. A process reads them once. Raises: DigestMismatch
    where other images are there than were planned, and what reading raises.
    """
    how = [{**DEFAULTS, **reading}[name] for name in READING]
    paths, refine = cell.region_paths or "grey-first", cell.region_refine or "none"
    settings = _settings(cell.region, cell.checkpoint, paths=paths, refine=refine)
    digests = _images(cell.data, *how).digest, settings.digest if settings else ""
    if digests != (cell.data_digest, cell.region_digest):
        what = "images" if digests[0] != cell.data_digest else f"region {cell.region!r}"
        raise DigestMismatch(
            f"{what} of {cell.data} on {socket.gethostname()} differ from those that were planned: they "
            "changed meanwhile, or this machine has others; start again with the same data everywhere"
        )
    return _regions(cell.data, *how, cell.region, settings)


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
