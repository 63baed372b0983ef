"""A choice as a plan that ``sweep`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlproject.cell import Cell
from mlproject.errors import WrongUse
from mlproject.files import write_atomic
from mlproject.next_experiments.aim import Aim
from mlproject.next_experiments.choice import Choice
from mlproject.plans import Plan
from mlproject.tuning.search import Tune
from mlproject.tuning.search.space import Choices, Dimension


def write_plan(path: Path, plan: Plan, aim: Aim, choices: Iterable[Choice]) -> None:
    """Write a grid for all sizes of a model that take the same seeds."""
    about = f"Chosen to narrow the loss at {aim.words} within {aim.budget:g} {aim.unit}."
    lines = [f"name = {_toml(f'{plan.name}-next')}", f"description = {_toml(about)}"]
    lines += _tune(plan.tune) if plan.tune is not None else []
    for choice in choices:
        grids: dict[tuple[str, tuple[int, ...]], tuple[Cell, list[int]]] = {}
        for new in choice.runs:
            grids.setdefault((new.cell.key, new.seeds), (new.cell, []))[1].append(new.size)
        for (_, seeds), (cell, sizes) in grids.items():
            lines += ["", "[[grid]]", *_grid(cell, sizes, seeds)]
    try:
        write_atomic(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror or error}") from error


def _grid(cell: Cell, sizes: Sequence[int], seeds: Sequence[int]) -> list[str]:
    values: Mapping[str, Any] = {
        "recipe": cell.recipe,
        "data": cell.data,
        "model": cell.model,
        "weights": cell.weights,
        "dataset_size": list(sizes),
        "seed": list(seeds),
        "eval_size": cell.eval_size or "in-sample",
        "validation_size": cell.validation_size,
        "draw": cell.draw,
        "region": cell.region,
        "checkpoint": cell.checkpoint,
        "image_scales": list(cell.image_scales),
        "large_images": cell.large_images,
    }
    knobs = [f"{key} = {_toml(value)}" for key, value in cell.knobs.items()]
    return [*(f"{key} = {_toml(value)}" for key, value in values.items()), "", "[grid.knobs]", *knobs]


def _tune(tune: Tune) -> list[str]:
    """The search of the plan before, so that new cells are tuned as the finished ones were."""
    default = Tune()
    said = {name: getattr(tune, name) for name in Tune.model_fields if name != "space"}
    values = [f"{k} = {_toml(v)}" for k, v in said.items() if v != getattr(default, k) or k == "trials"]
    return ["", "[tune]", *values, "", "[tune.space]", *map(_dimension, tune.space.values())]


def _dimension(dimension: Dimension) -> str:
    if isinstance(dimension, Choices):
        return f"{dimension.name} = {_toml(dimension.values)}"
    low, high = dimension.ends
    return f"{dimension.name} = {{ low = {low}, high = {high}, log = {_toml(dimension.log)} }}"


def _toml(value: Any) -> str:
    """A string, number, truth value or list as TOML, whose text is JSON's for all of these."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
