"""Lists for people and scripts: the cells of an experiment, one cell, next experiments."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mlproject.cli.console import out, print_rows
from mlproject.errors import BadInput, WrongUse, command, printable
from mlproject.losses import cell_loss

if TYPE_CHECKING:
    from pathlib import Path

    from mlproject.analysis import Aim
    from mlproject.features import TableInfo
    from mlproject.runs import Choice
    from mlproject.tracking import Store

MIB = 1 << 20
PUBLIC = ("cell", "coordinates", "status", "run_id", "digest")


def list_runs(store: Store, *, everything: bool = False) -> Iterator[dict[str, Any]]:
    """Cell runs of an experiment, newest first, or every attempt; they are read as they are asked for.

    A cell has one run: one that is done, else one whose losses are damaged.
    """
    if everything:
        yield from store.records()
        return
    seen = set()
    for record in store.records(where="attributes.status = 'FINISHED'"):
        key, status = record["cell"], record["status"]
        if key in seen or status not in ("done", "damaged"):
            continue
        if status == "done" or not store.done([key]):  # else one that is older is listed at its place
            seen.add(key)
            yield record


def print_json(rows: Iterable[dict[str, Any]]) -> None:
    """A JSON list of records for scripts: cell, coordinates, status, run_id, digest, loss, accuracy.

    A number that a run did not log, or that is not finite, is null.
    """
    before = "["
    for row in rows:
        numbers = {"loss": cell_loss(row["metrics"]), "accuracy": row["metrics"].get("accuracy")}
        finite = {k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()}
        text = json.dumps({name: row[name] for name in PUBLIC} | finite, indent=2, allow_nan=False)
        print(f"{before}\n{indent(text, '  ')}", end="")
        before = ","
    print("[]" if before == "[" else "\n]")


def print_table(rows: Iterable[dict[str, Any]]) -> None:
    """One line for each cell."""
    lines, n_damaged = [], 0
    for row in rows:
        numbers = map(_number, (cell_loss(row["metrics"]), row["metrics"].get("accuracy")))
        lines.append((row["cell"], row["label"], row["status"], *numbers, row["run_id"][:8]))
        n_damaged += row["status"] == "damaged"
    print_rows(("cell", "name", "status", "loss", "accuracy", "run"), lines)
    hint = f", {n_damaged} of them damaged: `mlproject show RUN` says how" if n_damaged else ""
    out.print(f"{len(lines)} cells{hint}")


def print_cache(tables: Iterable[TableInfo], manifests: Sequence[int]) -> None:
    """One line for each feature table, and one for the manifests of data sets, whose bytes are given."""
    table = Table("table", "model", "weights", "scale", "engine", "precision", "MiB", box=None)
    for row in tables:
        words = (row.name, row.model, row.weights, f"{row.image_scale:g}", row.engine, row.precision)
        table.add_row(*map(printable, words), f"{row.n_bytes / MIB:.1f}")
    out.print(table)
    if manifests:
        out.print(f"manifests of {len(manifests)} data sets: {sum(manifests) / MIB:.1f} MiB")


def print_one(store: Store, name: str, experiment: str) -> None:
    """Everything about the run whose id or cell's key begins with ``name``, or about a plan's newest fit.

    Raises: WrongUse where it is of several cells or of none.
    """
    from mlproject.tracking import beginning_with

    attempts = {r["run_id"]: r for clause in beginning_with(name) for r in store.records(where=clause)}
    rows = [r for r in attempts.values() if r["cell"].startswith(name) or r["run_id"].startswith(name)]
    cells = {row["cell"] for row in rows}
    if len(cells) > 1:
        raise WrongUse(f"{len(cells)} cells begin with {name!r}: give more of the key")
    if not rows:
        return _print_other(store, name, experiment)
    row = next((r for r in rows if r["status"] == "done"), rows[0])
    table = Table(box=None, show_header=False)
    table.add_column(style="cyan")
    for key, value in row["coordinates"].items():
        text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
        table.add_row(printable(key), printable(text))
    for key, value in sorted(row["metrics"].items()):
        table.add_row(key, _number(value))
    title = Text.assemble(
        (printable(row["label"]), "bold"), f"  {row['status']}  cell {row['cell']}  run {row['run_id']}"
    )
    out.print(title)
    if row["damage"]:
        out.print(f"damaged: {row['damage']}", markup=False, soft_wrap=True)
    out.print(table)
    out.print(f"Artifacts: {store.artifact_uri(row['run_id'])}", soft_wrap=True, markup=False)


def _print_other(store: Store, name: str, experiment: str) -> None:
    """A fit, a plan's newest fit, or a prediction. Raises: WrongUse where there is none of that name."""
    from mlproject.cli.predict import print_prediction
    from mlproject.runs import find_fit, find_prediction, find_runs

    if (fit := find_fit(store, name)) is not None:
        return _print_fit(store, fit)
    if (prediction := find_prediction(store, name)) is not None:
        return print_prediction(prediction, store)
    runs = find_runs(store, name)
    lists, fits = (command("mlproject", word, *_option(experiment)) for word in ("ls", "aggregate"))
    raise WrongUse(
        f"{name} has {len(runs.keys)} finished cells and no fit yet: `{fits}` fits what is finished, "
        f"`{lists}` lists the cells"
    )


def _print_fit(store: Store, fit: Any) -> None:
    """The exponents that a fit's run holds, as they were printed when it ended."""
    from mlproject.report import BRIEF

    info = fit.info
    out.print(
        Text.assemble((printable(info.run_name), "bold"), f"  {info.status.lower()}  run {info.run_id}")
    )
    try:
        text = store.artifact(info.run_id, BRIEF).read_text("utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise BadInput(
            f"fit run {info.run_id} has no readable {BRIEF}: `mlproject aggregate` fits anew"
        ) from error
    out.print(printable(text, keep="\n"), markup=False, highlight=False, soft_wrap=True)
    out.print(f"Artifacts: {store.artifact_uri(info.run_id)}", soft_wrap=True, markup=False)


def pairs(values: dict[str, Any]) -> str:
    """Names and values as people write knobs."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def _option(experiment: str) -> tuple[str, ...]:
    """The option that names the same experiment in a further command."""
    return ("--experiment", experiment) if experiment else ()


def print_next(choices: Sequence[Choice], aim: Aim, plan: Path, experiment: str) -> None:
    """One line for each group: what to run, what it costs, and how far it narrows the prediction."""
    table = Table(box=None)
    for heading in ("group", "sizes × seeds", aim.unit, f"95 % interval at {aim.words}", "expected after"):
        table.add_column(heading, overflow="fold")
    groups = [choice.design.cells[0].to_dict() | dict(choice.design.cells[0].knobs) for choice in choices]
    shown = (
        "model",
        "weights",
        "data",
        "region",
        "image_scales",
        "eval_size",
        *choices[0].design.cells[0].knobs,
    )
    differing = [name for name in shown if len({str(group.get(name)) for group in groups}) > 1]
    for choice, group in zip(choices, groups, strict=True):
        next_plan, joint = choice.plan, choice.design.joint
        names = [name for name in differing if not (joint and name in ("model", "weights"))]
        name = pairs({name: group.get(name) for name in names}) or choice.design.name
        runs = ", ".join(
            f"{f'{new.cell.model} ' if joint else ''}{new.size:,} × {len(new.seeds)}" for new in choice.runs
        )
        ends = (next_plan.width_before, next_plan.width_after)
        widths = [f"a factor of {math.exp(width):.3g}" for width in ends]
        table.add_row(Text(name), Text(runs or "nothing helps"), f"{next_plan.spent:.4g}", *widths)
    out.print(table)
    same = _option(experiment)
    hint = f"Run them: {command('mlproject', 'sweep', '--plan', str(plan), *same)}"
    hint += f"; then fit all: {command('mlproject', 'aggregate', *same)}"
    out.print(hint, markup=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
