"""Choose what to run next: the cells whose losses narrow the prediction at a stated target the most.

Where a plan's finished cells carry a joint law of model size and images, cells are chosen along both axes;
elsewhere each model is a curve over images. Sizes that may be run next lie between the smallest finished
one and the target, as far as the images go; models are those of the plan. The budget is shared equally
between designs. The choice is linear Bayes design (``scaling.plan_next``); it is written as a TOML plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.analysis import (
    GRID_AXES,
    Aim,
    Candidate,
    Design,
    comparison_key,
    finished_run,
    key_of_curve,
    shared_by_cells,
)
from mlproject.cell import Cell
from mlproject.errors import BadInput, WrongUse
from mlproject.files import write_atomic
from mlproject.losses import Observation
from mlproject.plans import Plan
from mlproject.scaling import NextPlan, grid_shortage
from mlproject.tuning import Choices, Range, Tune, coordinates

FEWEST_SIZES = 3


@dataclass(frozen=True, kw_only=True)
class NewCells:
    """A model at a size, and the seeds to run it with."""

    cell: Cell
    size: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to run of one design and what the choice expects of it; ``runs`` by model, sizes ascending."""

    design: Design
    plan: NextPlan
    runs: tuple[NewCells, ...]


def choose(plan: Plan, observations: Iterable[Observation], aim: Aim) -> tuple[Choice, ...]:
    """The cells to run next of every design of a plan.

    Raises: BadInput where nothing has three sizes, the budget buys no cell, or no cell that it buys narrows
    the prediction; WrongUse for a target model size where no design has model size as an axis.
    """
    planned = designs(plan, observations)
    if not planned:
        raise BadInput(f"no group of {plan.name} has {FEWEST_SIZES} finished sizes; run the plan first")
    if aim.params and not any(design.joint for design in planned):
        raise WrongUse("a target in parameters needs three finished models by three sizes that compare")
    share = replace(aim, budget=aim.budget / len(planned))
    choices = tuple(_choice(design, share) for design in planned)
    if not any(choice.plan.cells for choice in choices):
        raise BadInput(f"no cell within {aim.budget:g} {aim.unit} narrows the loss at {aim.words}")
    return choices


def _choice(design: Design, aim: Aim) -> Choice:
    plan, chosen = design.plan(aim)
    return Choice(design=design, plan=plan, runs=_new_cells(design, chosen))


def _new_cells(design: Design, chosen: list[Candidate]) -> tuple[NewCells, ...]:
    return tuple(
        NewCells(
            cell=design.cells[candidate[0]],
            size=candidate[1],
            seeds=design.fresh_seeds(candidate, chosen.count(candidate)),
        )
        for candidate in sorted(set(chosen))
    )


def designs(plan: Plan, observations: Iterable[Observation], *, joint: bool = True) -> list[Design]:
    """Grids that carry a joint law, and curves of three sizes of models that are in none; in plan order.

    Without ``joint`` each model is a curve.
    """
    unique = {observation.cell.key: observation for observation in reversed(list(observations))}
    curves: dict[str, tuple[Cell, list[Observation]]] = {}
    for cell, run_as in cells_as_run(plan):
        curves.setdefault(key_of_curve(run_as), (cell, []))
    for observation in unique.values():
        curve = curves.get(key_of_curve(observation.cell))
        if curve is not None:
            curve[1].append(observation)
    grids: dict[str, list[Design]] = {}
    for cell, finished in curves.values():
        if finished:
            key = comparison_key(shared_by_cells(cell, GRID_AXES.varies)) if joint else key_of_curve(cell)
            grids.setdefault(key, []).append(_design(plan, cell, finished))
    return [design for group in grids.values() for design in _joined(group)]


def cells_as_run(plan: Plan) -> list[tuple[Cell, Cell]]:
    """Every cell of a plan beside the one that is run, which a tuned plan gives the record of its search."""
    if plan.tune is None:
        return [(cell, cell) for cell in plan.cells]
    tuned = [(coordinate.cells, coordinate.tuned({})) for coordinate in coordinates(plan.cells, plan.tune)]
    return [pair for cells, run_as in tuned for pair in zip(cells, run_as, strict=True)]


def _design(plan: Plan, cell: Cell, finished: Iterable[Observation]) -> Design:
    ordered = sorted(finished, key=lambda run: (run.cell.dataset_size, run.cell.seed))
    n_pool = plan.images_of(cell).n_pool(in_sample=cell.in_sample) - cell.validation_size
    return Design(cells=(cell,), n_pool=n_pool, runs=tuple(finished_run(run) for run in ordered))


def _joined(curves: list[Design]) -> list[Design]:
    """One grid where the models carry a joint law, else those curves that have enough sizes."""
    ordered = sorted(curves, key=lambda curve: curve.runs[0].params)
    runs = [replace(run, model=model) for model, curve in enumerate(ordered) for run in curve.runs]
    cells = tuple(curve.cells[0] for curve in ordered)
    grid = Design(cells=cells, n_pool=curves[0].n_pool, runs=tuple(runs))
    if grid.joint and np.isfinite(grid.params).all() and not grid_shortage(grid.x):
        return [grid]
    return [curve for curve in curves if len(curve.sizes) >= FEWEST_SIZES]


def write_plan(path: Path, plan: Plan, aim: Aim, choices: Iterable[Choice]) -> None:
    """Write the chosen cells as a TOML plan: a grid for all sizes of a model that have the same seeds."""
    about = f"Chosen to narrow the loss at {aim.words} within {aim.budget:g} {aim.unit}."
    lines = [f"name = {_toml(f'{plan.name}-next')}", f"description = {_toml(about)}"]
    lines += ["mix_weights = true"] if plan.mix_weights else []
    lines += _tune(plan.tune) if plan.tune is not None else []
    for choice in choices:
        grids: dict[tuple[str, tuple[int, ...]], tuple[Cell, list[int]]] = {}
        for new in choice.runs:
            grids.setdefault((new.cell.key, new.seeds), (new.cell, []))[1].append(new.size)
        for (_, seeds), (cell, sizes) in grids.items():
            lines += ["", "[[grid]]", *_grid(cell, sizes, seeds, plan.reading_of(cell))]
    try:
        write_atomic(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror or error}") from error


def _grid(cell: Cell, sizes: Sequence[int], seeds: Sequence[int], reading: Mapping[str, Any]) -> list[str]:
    values: Mapping[str, Any] = {
        "recipe": cell.recipe,
        "data": cell.data,
        **reading,
        "model": cell.model,
        "weights": cell.weights,
        "dataset_size": list(sizes),
        "seed": list(seeds),
        "eval_size": cell.eval_size or "in-sample",
        "validation_size": cell.validation_size,
        "draw": cell.draw,
        "region": cell.region,
        "checkpoint": cell.checkpoint,
        **({"region_paths": cell.region_paths} if cell.region_paths else {}),
        **({"region_refine": cell.region_refine} if cell.region_refine else {}),
        "image_scales": list(cell.image_scales),
        "large_images": cell.large_images,
    }
    knobs = [f"{key} = {_toml(value)}" for key, value in cell.knobs.items()]
    return [*(f"{key} = {_toml(value)}" for key, value in values.items()), "", "[grid.knobs]", *knobs]


def _tune(tune: Tune) -> list[str]:
    """The search of the earlier plan, so that new cells are tuned as the finished ones were."""
    default = Tune(space={})
    settings = {name: getattr(tune, name) for name in Tune.model_fields if name != "space"}
    changed = {k: v for k, v in settings.items() if v != getattr(default, k) or k == "trials"}
    values = [f"{k} = {_toml(v)}" for k, v in changed.items()]
    return ["", "[tune]", *values, "", "[tune.space]", *map(_dimension, tune.space.values())]


def _dimension(dimension: Choices | Range) -> str:
    if isinstance(dimension, Choices):
        return f"{dimension.name} = {_toml(dimension.values)}"
    low, high = dimension.ends
    return f"{dimension.name} = {{ low = {low}, high = {high}, log = {_toml(dimension.log)} }}"


def _toml(value: Any) -> str:
    """A string, number, truth value or list as TOML, whose text is JSON's for all of these."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
