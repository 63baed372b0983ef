"""Plans: cells from a TOML file or from the words of a command line.

A plan is a list of grids; a grid gives every coordinate a value or a list of values, and describes the cells
of their product. Nothing runs before every cell of the plan was built; all faults of a plan are reported
together. Only a grid whose images or weights are not there is left out, and the others are run.
``plans.tables`` declares the keys.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import math
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlproject.cell import Cell, Naming
from mlproject.data import ImageSet
from mlproject.errors import N_SHOWN, BadInput, MLProjectError, WrongUse, shown, unknown
from mlproject.plans.cells import PlannedCell, cell_at, drawn_from
from mlproject.plans.sizes import Reduced, SizeRules, largest_sizes, reduced_note
from mlproject.plans.tables import DEFAULTS, WHOLE, Coordinates, PlanTable, Size, read_size
from mlproject.recipes import RECIPES, validated
from mlproject.tuning import Tune, check_tunable, split_words, tune_of

LISTS = ("model", "dataset_size", "seed")
"""Coordinates for which a command line may give several values, separated by commas."""
SHIPPED = Path(__file__).with_name("shipped")
"""The plans of ``sweeps/``, which an installed package carries."""
MOST_CELLS = 100_000
"""Cells of a plan, at most: planning that many takes a minute or two and half a gigabyte."""
MOST_BYTES = 2 << 20
"""A plan file of more is no list of values that a person means."""
MOST_DOTS = 500
"""Dots in a key: reading it takes a time that grows with their square."""
COUNTS = ("seed", "max_bad")
"""Coordinates that count: as text they are written in digits."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells in the order in which they run, and their images by ``drawn_from``.

    With ``tune`` the cells of each coordinate are run with the knobs that a search finds. ``notes`` say which
    sizes the images reduce; ``left_out`` are the faults of grids that cannot be run here; ``naming`` names
    cells by what differs within the plan and by what the command line says; ``reading`` are coordinates by
    which images were read and that no cell records (``max_bad``), by ``drawn_from``.
    """

    name: str
    cells: tuple[Cell, ...]
    images: Mapping[tuple[str, ...], ImageSet] = field(repr=False)
    tune: Tune | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    naming: Naming = field(default_factory=Naming)
    reading: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def images_of(self, cell: Cell) -> ImageSet:
        """The images that a cell of this plan draws from."""
        return self.images[drawn_from(cell)]

    def reading_of(self, cell: Cell) -> Mapping[str, Any]:
        """The coordinates by which the images of a cell were read, where they are not the defaults."""
        return self.reading.get(drawn_from(cell), {})


def read_plan(path: Path, overrides: Mapping[str, Any]) -> Plan:
    """The plan in a TOML file; ``overrides`` replace coordinates and knobs in every grid.

    Where no file is at ``path``, ``sweeps/NAME.toml`` is the plan of that name shipped with the package.

    Raises: WrongUse naming file, grid, key, rule and value (all faults, one a line).
    """
    path = _file_of(path)
    try:
        with path.open("rb") as file:
            content = tomllib.loads(_bounded(path, file.read(MOST_BYTES + 1)))
    except (OSError, ValueError, RecursionError) as error:  # of damaged text and of numbers too long to read
        raise WrongUse(f"{path} is not a TOML plan: {error}") from error
    table = validated(PlanTable, content, kind="key", prefix=f"{path.name}: ")
    words, rest = split_words(overrides)
    try:
        tune = tune_of(table.tune, words, DEFAULTS | table.grid[0])
    except MLProjectError as fault:
        raise _located(path.name, fault) from fault
    return _build(table.name or path.stem, table.grid, rest, path.name, tune)


def _file_of(path: Path) -> Path:
    if os.path.isfile(path):
        return path
    shipped = SHIPPED / path.name
    if path.parent == Path("sweeps") and os.path.isfile(shipped):
        return shipped
    names = sorted(file.name for file in SHIPPED.glob("*.toml"))
    if near := difflib.get_close_matches(path.name, names, n=3, cutoff=0.8):
        raise WrongUse(f"no plan at {path}; did you mean {' or '.join(f'sweeps/{name}' for name in near)}?")
    known = ", ".join(f"sweeps/{name}" for name in names)
    raise WrongUse(f"no plan at {path}; give a TOML file, or a plan shipped with mlproject: {known}")


def _bounded(path: Path, content: bytes) -> str:
    """The text of a plan, without a byte order mark; refused where it would take minutes to read."""
    if len(content) > MOST_BYTES:
        raise WrongUse(f"{path} is larger than {MOST_BYTES >> 20} MiB, as no plan is")
    text = content.decode("utf-8-sig")
    if any(part.count(".") > MOST_DOTS for part in re.split(r"[=,{\n]", text)):
        raise WrongUse(f"{path} has a key of more than {MOST_DOTS} parts, as no plan has")
    return text


def plan_of(name: str, coordinates: Mapping[str, Any], *, tuned: bool = False) -> Plan:
    """The plan of a single grid, as a command line gives it (comma lists in model, dataset_size, seed)."""
    words, grid = split_words(coordinates) if tuned else ({}, dict(coordinates))
    tune = tune_of({}, words, DEFAULTS | grid) if tuned else None
    return _build(name, [grid], {}, "", tune)


def _build(
    name: str,
    grids: Sequence[dict[str, Any]],
    overrides: Mapping[str, Any],
    where: str,
    tune: Tune | None,
) -> Plan:
    planned: list[PlannedCell] = []
    faults: list[MLProjectError] = []
    n_cells = 0
    merged: dict[str, dict[str, Any]] = {}
    for number, grid in enumerate(grids, 1):
        label = f"{where}, grid {number}" if where else ""
        with _collecting(faults, label):
            table = _merge(grid, overrides, named_weights=bool(where))
            n_cells += math.prod(len(_values(name, value)) for name, value in table.items())
            merged[label] = table
    with _collecting(faults, where):
        _require_few(n_cells)
    for label, values in merged.items() if n_cells <= MOST_CELLS else ():
        with _collecting(faults, label):
            planned += list(_cells(values, tune, limits=bool(where)))
    _raise(faults, n_grids=len(grids))
    cells: dict[str, Cell] = {}
    for item in planned:
        cells.setdefault(item.cell.key, item.cell)
    given = [name for name, value in (overrides if where else grids[0]).items() if value != "auto"]
    return Plan(
        name=name,
        cells=tuple(cells.values()),
        images={drawn_from(item.cell): item.images for item in planned},
        tune=tune,
        notes=_notes(planned),
        left_out=tuple(str(fault) for fault in faults),
        naming=Naming.of_cells(tuple(cells.values()), given),
        reading={drawn_from(item.cell): item.reading for item in planned},
    )


@contextlib.contextmanager
def _collecting(faults: list[MLProjectError], label: str) -> Iterator[None]:
    """Keep a fault, with the label of its grid, so that all faults are reported together."""
    try:
        yield
    except MLProjectError as fault:
        faults.append(_located(label, fault) if label else fault)


def _raise(faults: Sequence[MLProjectError], *, n_grids: int) -> None:
    """Raise all faults together, unless they are missing inputs and a grid remains that can be run."""
    if not faults or (len(faults) < n_grids and all(isinstance(fault, BadInput) for fault in faults)):
        return
    if len(faults) == 1:
        raise faults[0]
    more = [f"… and {len(faults) - N_SHOWN} more"] if len(faults) > N_SHOWN else []
    raise type(faults[0])("\n".join([*map(str, faults[:N_SHOWN]), *more]))


def _notes(planned: Iterable[PlannedCell]) -> tuple[str, ...]:
    """A line for each data set that reduces sizes of the plan."""
    reduced: dict[str, tuple[ImageSet, list[Reduced]]] = {}
    for item in planned:
        reduced.setdefault(item.cell.data_digest, (item.images, []))[1].extend(item.reduced)
    return tuple(reduced_note(images, items) for images, items in reduced.values() if items)


def _merge(grid: Mapping[str, Any], overrides: Mapping[str, Any], *, named_weights: bool) -> dict[str, Any]:
    """Coordinates and knobs in one dict; other names are refused when the cells are built."""
    flat = {k: v for k, v in grid.items() if k != "knobs"}
    knobs = grid.get("knobs", {})
    if not isinstance(knobs, dict):
        raise WrongUse(f"knobs must be a table, not {shown(knobs)}")
    if named_weights:
        _require_coordinates(flat)
    if twice := sorted(flat.keys() & knobs.keys()):
        raise WrongUse(f"{twice[0]} is given twice: in the grid and in its knobs")
    merged: dict[str, Any] = {**DEFAULTS, **flat, **knobs, **overrides}
    if "model" not in merged:
        raise WrongUse("model is missing; name one, for example model=resnet50")
    if named_weights and ("weights" not in flat and "weights" not in overrides):
        raise WrongUse("weights is missing; a plan names its weights: imagenet, random or a path")
    if named_weights and "auto" in _values("weights", merged["weights"]):
        raise WrongUse("weights must be imagenet, random or a path in a plan, not 'auto'")
    return merged


def _require_few(n_cells: int) -> None:
    """Refuse too many cells, which are counted before any is built. Raises: WrongUse."""
    if n_cells > MOST_CELLS:
        number = f"{n_cells:,}" if n_cells < 10**15 else f"over {10**15:,}"
        remedy = "shorten its lists, or split it into several"
        raise WrongUse(f"the plan describes {number} cells, of {MOST_CELLS:,} at most: {remedy}")


def _require_coordinates(names: Iterable[str]) -> None:
    """Refuse other names than coordinates beside the table of knobs."""
    for key in names:
        if key not in Coordinates.model_fields:
            if _recipes_with(key):
                raise WrongUse(f"{key} is a knob: write it below [grid.knobs]")
            raise unknown("key", key, [*Coordinates.model_fields, "knobs"])


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


def _cells(merged: Mapping[str, Any], tune: Tune | None, *, limits: bool) -> Iterator[PlannedCell]:
    """Cells of the product: model varies slowest (its features are computed together), seed fastest."""
    _check_names(merged)
    for name in tune.space if tune else ():
        if isinstance(merged.get(name), list):
            raise WrongUse(f"{name} is tuned: give one value, which is tried first, or none, not a list")
    coordinates = {k: _values(k, v) for k, v in merged.items() if k in Coordinates.model_fields}
    knobs = {k: _values(k, v) for k, v in merged.items() if k not in coordinates}
    order = sorted(coordinates, key=lambda k: {"data": 0, "model": 1, "dataset_size": 8, "seed": 9}.get(k, 5))
    points = [
        validated(Coordinates, dict(zip(order, values, strict=True)), kind="coordinate")
        for values in itertools.product(*(coordinates[k] for k in order))
    ]
    rules = SizeRules(planned=largest_sizes(points), tuned=tune is not None, limits=limits)
    for knob_values in itertools.product(*knobs.values()):
        recipe_knobs = dict(zip(knobs, knob_values, strict=True))
        if tune:
            check_tunable(str(merged["recipe"]), recipe_knobs, tune)
        for point in points:
            yield cell_at(point, recipe_knobs, rules)


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


def _located(where: str, fault: MLProjectError) -> MLProjectError:
    return type(fault)(f"{where}: {fault}")
