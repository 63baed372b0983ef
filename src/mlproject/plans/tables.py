"""The tables of a plan file as pydantic models: the plan, and the coordinates of a grid.

For a reference of plan keys, ``described(PlanTable)`` and ``described(Coordinates)`` of ``mlproject.recipes``
give a row for each; every coordinate of a grid may also be a list.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, Field

from mlproject.cell import Draw, LargeImages, Region
from mlproject.data import Ignore, Verify
from mlproject.recipes import STRICT
from mlproject.regions import Paths, Refine


def _numbers(value: Any) -> tuple[float, ...]:
    """Image scales from text (``1,2``), a number or a list of numbers."""
    words = value.split(",") if isinstance(value, str) else value
    words = words if isinstance(words, (list, tuple)) else [words]
    if len(words) > MOST_SCALES:
        raise ValueError(f"must be at most {MOST_SCALES} numbers")
    try:
        if any(isinstance(word, bool) for word in words):
            raise TypeError
        scales = tuple(float(word) for word in words)
    except (TypeError, ValueError):
        raise ValueError("must be numbers such as 1,2 or 224,448") from None
    except OverflowError:  # a whole number beyond all floats
        scales = (math.inf,)
    if not all(math.isfinite(scale) and scale > 0 for scale in scales):
        raise ValueError("must be positive and finite")
    return scales


MOST_SCALES = 64
WHOLE = re.compile(r"[+-]?\d{1,18}")
"""A whole number as text; one of more digits is no number of images."""
Size = int | float | Literal["auto", "all"]
"""A number of training images, a share of those that can be trained on, all of these, or the default."""
SIZE_RULE = "must be a whole number, a share such as 0.5, or all"


def read_size(value: Any) -> Size:
    """A dataset size from a number or text; 1 is one image, and 1.0 all that there are.

    Raises: ValueError with the rule.
    """
    if value in ("auto", "all"):
        return cast(Size, value)
    if isinstance(value, str):
        word = value.strip()
        value = int(word) if WHOLE.fullmatch(word) else _share(word)
    if isinstance(value, float) and value > 1 and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(SIZE_RULE)
    if isinstance(value, int) and value < 1:
        raise ValueError("must be at least 1")
    if isinstance(value, int) and value >= 10**18:
        raise ValueError(SIZE_RULE)
    if isinstance(value, float) and not 0 < value <= 1:
        raise ValueError(SIZE_RULE)
    return value


def _share(word: str) -> float:
    """Text as a share: a number above 0 and at most 1."""
    try:
        share = float(word)
    except ValueError:
        raise ValueError(SIZE_RULE) from None
    if not 0 < share <= 1:
        raise ValueError(SIZE_RULE)
    return share


class PlanTable(BaseModel):
    """A plan file: its grids, and how their cells are tuned."""

    model_config = STRICT

    name: Annotated[
        str, Field(max_length=250, description="Name of the plan; by default that of the file.")
    ] = ""
    description: Annotated[str, Field(description="What the plan is for.")] = ""
    mix_weights: Annotated[
        bool,
        Field(description="Fit models together whose weights were trained differently (V1 beside V2)."),
    ] = False
    engine: Annotated[
        str,
        Field(
            description="Where the cells run: serial, local or local:N (processes of this machine), or a "
            "cluster, such as dask:ADDRESS. `--engine` replaces it."
        ),
    ] = ""
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


class GridSeeds(BaseModel):
    """How many seeds each dataset size of a grid has, where losses of small sizes scatter more."""

    model_config = STRICT

    seeds: Annotated[
        list[Annotated[int, Field(ge=1)]],
        Field(
            min_length=1,
            description="In place of `seed`: the number of seeds (0, 1, …) of each of `dataset_size`, in its "
            "order.",
            json_schema_extra={"rule": "must be whole numbers of at least 1, one for each dataset_size"},
        ),
    ]


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
        Field(
            description="imagenet, pretrained (timm, models.toml), a set of torchvision by name, random, "
            "scratch or a path; auto on the command line only."
        ),
    ] = "auto"
    data: Annotated[
        str,
        Field(
            description="Data set by name, or a path: a folder of images, a table of their paths (CSV, "
            "Parquet), or shards (tar, Parquet, Arrow)."
        ),
    ] = "embedded"
    dataset_size: Annotated[
        Size,
        BeforeValidator(read_size),
        Field(
            description="Training images: a number, a share of those that can be trained on (0.5), or all; "
            "auto is all of a folder, and 200 of a set known by name. In a plan file an upper limit.",
            json_schema_extra={"rule": "must be at least 1, or a share above 0 and at most 1.0"},
        ),
    ] = "auto"
    eval_size: Annotated[
        int | Literal["auto", "in-sample"],
        Field(
            description="Held-out images for evaluation; in-sample (or 0) evaluates the training images; "
            "auto is at most 1,000. In a plan file an upper limit."
        ),
    ] = "auto"
    validation_size: Annotated[
        int | Literal["auto"],
        Field(
            description="Images of the training pool that no draw trains on, for choosing epochs and knobs; "
            "auto is at most 500, and none where nothing is chosen. In a plan file an upper limit."
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
    checkpoint: Annotated[
        str, Field(description="SAM's checkpoint, for region sam: a path, or NETWORK:PATH for your own.")
    ] = ""
    region_paths: Annotated[
        Paths, Field(description="How blobs are found: by grey, colour, both, or the best of them by score.")
    ] = "grey-first"
    region_refine: Annotated[Refine, Field(description="What refines the blobs' masks.")] = "none"
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

    verify: Annotated[
        Verify,
        Field(
            description="Files that are read at the start: those that changed since the last time (by size "
            "and time stamps), or full for all of them."
        ),
    ] = "changed"


DEFAULTS: dict[str, Any] = {
    name: field.default for name, field in Coordinates.model_fields.items() if not field.is_required()
}
"""Coordinates of a grid that does not give them."""
