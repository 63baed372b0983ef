"""The tables of a plan file as pydantic models: the plan, and the coordinates of a grid.

For a reference of plan keys, ``described(PlanTable)`` and ``described(Coordinates)`` of ``mlproject.recipes``
give a row for each; every coordinate of a grid may also be a list.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from mlproject.cell import Draw, LargeImages, Region
from mlproject.data import Ignore
from mlproject.recipes import STRICT


def _numbers(value: Any) -> tuple[float, ...]:
    """Image scales from text (``1,2``), a number or a list of numbers."""
    words = value.split(",") if isinstance(value, str) else value
    words = words if isinstance(words, (list, tuple)) else [words]
    try:
        scales = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        raise ValueError("must be numbers such as 1,2 or 224,448") from None
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError("must be positive and finite")
    return scales


class PlanTable(BaseModel):
    """A plan file: its grids, and how their cells are tuned."""

    model_config = STRICT

    name: Annotated[str, Field(description="Name of the plan; by default that of the file.")] = ""
    description: Annotated[str, Field(description="What the plan is for.")] = ""
    grid: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1,
            description="Grids of cells: coordinates, and knobs in a table of their own.",
            json_schema_extra={"rule": "must be at least one [[grid]] table"},
        ),
    ]
    tune: Annotated[
        dict[str, Any] | None,
        Field(description="How knobs are tuned; without this table they are run as given."),
    ] = None


class Coordinates(BaseModel):
    """A point of a grid: everything of its cell but the knobs."""

    model_config = STRICT

    recipe: Annotated[str, Field(description="Recipe that turns the cell into losses.")] = "probe"
    model: Annotated[
        str,
        Field(
            description="Model by name.",
            json_schema_extra={"rule": "must name a model, for example model=resnet50"},
        ),
    ]
    weights: Annotated[
        str,
        Field(description="imagenet, random, scratch or a path; auto on the command line only."),
    ] = "auto"
    data: Annotated[str, Field(description="Data set by name, or a folder of images.")] = "embedded"
    dataset_size: Annotated[int, Field(ge=1, description="Training images.")] = 200
    eval_size: Annotated[
        int | Literal["auto", "in-sample"],
        Field(
            description="Held-out images for evaluation; in-sample (or 0) evaluates the training images; "
            "auto is at most 1,000."
        ),
    ] = "auto"
    validation_size: Annotated[
        int | Literal["auto"],
        Field(
            description="Images of the training pool that no draw trains on, for choosing epochs and knobs; "
            "auto is at most 500, and none where nothing is chosen."
        ),
    ] = "auto"
    draw: Annotated[
        Draw,
        Field(
            description="Training images from the pool: a seeded permutation per class, taken in turn, or in "
            "natural order."
        ),
    ] = "balanced"
    region: Annotated[
        Region, Field(description="Part of each image: all of it, the object, or the background.")
    ] = "full"
    checkpoint: Annotated[str, Field(description="File of SAM's weights, for region sam.")] = ""
    image_scales: Annotated[
        tuple[float, ...],
        BeforeValidator(_numbers),
        Field(description="Image scales (S2): multiples of the input side, or sides in pixels above 16."),
    ] = (1.0,)
    large_images: Annotated[
        LargeImages,
        Field(description="Images at scales above 1: interpolated from scale 1, or the picture's pixels."),
    ] = "interpolated"
    seed: Annotated[int, Field(ge=0, description="Seed of draws, weights and batches.")] = 0
    max_bad: Annotated[
        int, Field(ge=0, description="Unreadable images of a folder to leave out, at most.")
    ] = 0
    download: Annotated[
        bool, Field(description="Fetch a published data set that is not below `MLPROJECT_DATA`.")
    ] = False
    ignore: Annotated[
        Ignore,
        BeforeValidator(str),
        Field(
            description="Value of label maps that counts for nothing; none reads 255 as the class after all "
            "others, as in masks of 0 and 255."
        ),
    ] = "255"
