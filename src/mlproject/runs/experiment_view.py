"""What a person sees of cells on opening their experiment in MLflow's UI: two views and a note."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlproject.cell import PREFIX, Cell, Naming
from mlproject.tracking import Store, colour_runs, describe_experiment, run_link

if TYPE_CHECKING:
    from mlproject.report import Answer

FIRST, LAST = ("model", "dataset_size"), ("seed", "weights")
"""Fields of a cell that the view by loss shows, before and after those that differ."""
SHARED = ("recipe", "data_digest", "knobs.loss", "knobs.target")
"""What decides the unit of a loss: a view shows cells that have the same."""
MEASURED = {"segment": ("miou", "params")}
MEASURES = ("accuracy", "params")
"""Metrics beside the loss: of most recipes, and of those with others."""


def announce_cells(store: Store, cells: Sequence[Cell], name: str) -> None:
    """Write the views of a plan that starts, and where the experiment has no note, what is to come."""
    n = f"{len(cells):,} cells" if len(cells) > 1 else "One cell"
    note = f"{n} of {name}. Once they are fitted, the answer stands here."
    _describe(store, cells, note, replace=False)


def announce_fit(store: Store, cells: Sequence[Cell], name: str, answer: Answer, run_id: str) -> None:
    """Write the views of cells that were fitted, and their answer as the experiment's note."""
    from mlproject.report import PAGE, render_answer

    page = run_link(store.experiment_id, run_id, PAGE)
    fit = run_link(store.experiment_id, run_id)
    links = f"{len(cells):,} cells ({name}): [report]({page}) · [run of the fit]({fit})"
    _describe(store, cells, f"{render_answer(answer)}\n\n{links}", replace=True)
    colour_runs(store)


def _describe(store: Store, cells: Sequence[Cell], note: str, *, replace: bool) -> None:
    in_sample = all(cell.in_sample for cell in cells)
    recipes = {cell.recipe for cell in cells}
    measured = MEASURED.get(recipes.pop(), MEASURES) if len(recipes) == 1 else MEASURES
    describe_experiment(
        store,
        shared=_shared(cells),
        loss="train.loss_final" if in_sample else "eval.loss",
        columns=[*_parameters(cells), *(f"metrics.{name}" for name in measured)],
        note=note,
        replace=replace,
    )


def _shared(cells: Sequence[Cell]) -> dict[str, str]:
    """The parameters among ``SHARED`` that all cells have alike."""
    values = {(c.recipe, c.data_digest, c.knobs.get("loss"), c.knobs.get("target")) for c in cells}
    alike = {name: {row[i] for row in values} for i, name in enumerate(SHARED)}
    return {
        f"{PREFIX}{n}": str(text) for n, texts in alike.items() if len(texts) == 1 and (text := texts.pop())
    }


def _parameters(cells: Sequence[Cell]) -> list[str]:
    """Columns of the parameters that a reader compares cells by: the usual ones, and those that differ."""
    knobs = {name for cell in cells for name in cell.knobs}
    varied = [name for name in Naming.of_cells(cells).details if name in knobs or hasattr(cells[0], name)]
    names = dict.fromkeys([*FIRST, *varied, *LAST])
    return [f"params.{PREFIX}{'knobs.' if name in knobs else ''}{name}" for name in names]
