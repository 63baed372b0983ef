"""Plans: cells from a TOML file or from the options of a command line.

A plan is a list of grids; a grid gives every coordinate a value or a list of values, and describes the cells
of their product. Nothing runs before every cell of the plan was built; all faults of a plan are reported
together. Only a grid whose images or weights are not there is left out, and the others are run.
``plans.tables`` declares the keys.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlproject.cell import Cell, Naming
from mlproject.data import ImageSet
from mlproject.errors import N_SHOWN, BadInput, MLProjectError, WrongUse
from mlproject.plans.cells import PlannedCell, drawn_from, images_for
from mlproject.plans.grids import PlanGrid, check_place, read_grid
from mlproject.plans.sizes import Reduced, reduced_note
from mlproject.plans.tables import DEFAULTS, PlanTable
from mlproject.recipes import validated
from mlproject.tuning import Tune, split_words, tune_of

__all__ = ["MOST_CELLS", "Plan", "images_for", "plan_file", "plan_of", "read_plan"]

SHIPPED = Path(__file__).with_name("shipped")
"""The plans of ``sweeps/``, which an installed package carries."""
MOST_CELLS = 100_000
"""Cells of a plan, at most: planning that many takes half a minute and a quarter of a gigabyte."""
MOST_BYTES = 2 << 20
"""A plan file of more is no list of values that a person means."""
MOST_DOTS = 500
"""Dots in a key: reading it takes a time that grows with their square."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells in the order in which they run, and their images by ``drawn_from``.

    With ``tune`` the cells of each coordinate are run with the knobs that a search finds. ``notes`` say which
    sizes the images reduce; ``left_out`` are the faults of grids that cannot be run here; ``naming`` names
    cells by what differs within the plan and by what the command line says; ``reading`` are coordinates by
    which images were read and that no cell records (``max_bad``), by ``drawn_from``. ``mix_weights``: the fit
    may hold models together whose weights were trained differently. ``engine`` names what runs the cells
    (empty: what the environment names, or what suits the machine).
    """

    name: str
    cells: tuple[Cell, ...]
    images: Mapping[tuple[str, ...], ImageSet] = field(repr=False)
    tune: Tune | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    naming: Naming = field(default_factory=Naming)
    reading: Mapping[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict, repr=False)
    mix_weights: bool = False
    engine: str = ""

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
    path = plan_file(path)
    try:
        with path.open("rb") as file:
            content = tomllib.loads(_bounded(path, file.read(MOST_BYTES + 1)))
    except (OSError, ValueError, RecursionError) as error:  # of damaged text and of numbers too long to read
        raise WrongUse(f"{path} is not a TOML plan: {error}") from error
    try:
        check_place(content)
    except WrongUse as fault:
        raise _located(path.name, fault) from fault
    table = validated(PlanTable, content, kind="key", prefix=f"{path.name}: ")
    words, rest = split_words(overrides)
    try:
        tune = tune_of(table.tune, words, DEFAULTS | table.grid[0])
    except MLProjectError as fault:
        raise _located(path.name, fault) from fault
    plan = _build(table.name or path.stem, table.grid, rest, path.name, tune)
    return replace(plan, mix_weights=table.mix_weights, engine=table.engine)


def plan_file(path: Path) -> Path:
    """The file of a plan, or that of a shipped plan of its name. Raises: WrongUse with the near matches."""
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
    read: dict[str, PlanGrid] = {}
    for number, grid in enumerate(grids, 1):
        label = f"{where}, grid {number}" if where else ""
        with _collecting(faults, label):
            table = read_grid(grid, overrides, named_weights=bool(where))
            n_cells += table.n_cells
            read[label] = table
    with _collecting(faults, where):
        _require_few(n_cells)
    for label, table in read.items() if n_cells <= MOST_CELLS else ():
        with _collecting(faults, label):
            planned += list(table.cells(tune, limits=bool(where)))
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


def _require_few(n_cells: int) -> None:
    """Refuse too many cells, which are counted before any is built. Raises: WrongUse."""
    if n_cells > MOST_CELLS:
        number = f"{n_cells:,}" if n_cells < 10**15 else f"over {10**15:,}"
        remedy = "shorten its lists, or split it into several"
        raise WrongUse(f"the plan describes {number} cells, of {MOST_CELLS:,} at most: {remedy}")


def _located(where: str, fault: MLProjectError) -> MLProjectError:
    return type(fault)(f"{where}: {fault}")
