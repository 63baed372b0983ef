"""Finished runs by the names that people give them: a cell's key, a run's id, a plan, the latest fit."""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, WrongUse, command, near_names
from mlproject.plans import plan_file, read_plan
from mlproject.scaling import PriorChoice
from mlproject.tracking import Store, artifacts_of, beginning_with, reaching

LATEST = "latest"
FINISHED = "FINISHED"
NAME = re.compile(r"[^'\x00-\x1f]+")
"""Text that can be quoted in MLflow's filter language, which has no escapes; so are names of models."""

MIX_WEIGHTS = "fit.mix_weights"
"""Tag of a fit that held models together whose weights were trained differently."""
PRIOR = "fit.prior"
"""Tag of a fit with a library of known laws as a prior."""


@dataclass(frozen=True, kw_only=True)
class NamedRuns:
    """What a name stands for: the cells by their keys, and the fit that used them, where it is one.

    ``mix_weights``: that fit held models together whose weights were trained differently; ``prior``: the
    library of known laws that it used; ``until``: the condition until which its cells were chosen.
    ``n_unfinished`` counts the cells of a plan's file that are not finished, and so are not among the keys.
    """

    name: str
    keys: tuple[str, ...]
    fit: str = ""
    mix_weights: bool = False
    prior: PriorChoice | None = None
    until: str = ""
    n_unfinished: int = 0


def find_runs(
    store: Store, name: str, *, models: bool = False, within: Collection[str] | None = None
) -> NamedRuns:
    """The cells that a name stands for: the key of a cell, the id of a cell's run or of a fit's (or the
    beginning of one), a plan (its file or its name), or ``latest``, the newest fit.

    With ``models`` the name of a model stands for all of its cells (``within`` these keys, where given).
    Raises: WrongUse, BadInput.
    """
    if models and NAME.fullmatch(name):
        runs = store.observations(keys=within, where=f"params.`cell.model` = '{name}'")
        keys = {run.cell.key for run in runs if run.cell.model == name}
        if keys:
            return NamedRuns(name=name, keys=tuple(sorted(keys)))
    cells = dict(_cells(store, name))
    if len(cells) > 1:
        raise WrongUse(f"{len(cells)} cells begin with {name!r}: give more of the key")
    for key, label in cells.items():
        return NamedRuns(name=label, keys=(key,))
    fit = find_fit(store, name)
    if fit is not None and fit.info.status == FINISHED:
        mixed, prior = MIX_WEIGHTS in fit.data.tags, fit.data.tags.get(PRIOR)
        return NamedRuns(
            name=name, keys=_cells_of_fit(store, fit), fit=fit.info.run_id, mix_weights=mixed,
            prior=PriorChoice.of(prior) if prior else None, until=fit.data.params.get("until", ""),
        )  # fmt: skip
    keys, n_unfinished = _cells_of_plan(store, name)
    if not keys:
        raise WrongUse(_nothing_named(store, name, models))
    return NamedRuns(name=name, keys=tuple(sorted(keys)), n_unfinished=n_unfinished)


def _nothing_named(store: Store, name: str, models: bool) -> str:
    """The message on a name of nothing, with the names that come close."""
    if name == LATEST:
        fits, lists = (command("mlproject", word) for word in ("aggregate", "ls"))
        return f"there is no finished fit yet: `{fits}` fits what is finished, `{lists}` lists the cells"
    known = {LATEST}
    for run in store.search(f"tags.kind = 'cell' and attributes.status = '{FINISHED}'"):
        known.add(run.data.tags.get("sweep", ""))
        known.update([run.data.params.get("cell.model", "")] if models else [])
    near = near_names(name, sorted(known - {""}))
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    what = f"no finished cell, fit{', model' if models else ''} or plan is named {name!r}"
    return f"{what}{hint} `{command('mlproject', 'ls')}` lists the cells"


def find_fit(store: Store, name: str) -> Any | None:
    """The MLflow run of a fit by the beginning of its id, or the newest finished one of a plan or of all.

    Raises: WrongUse where several ids begin with the name.
    """
    fits = list(store.search("tags.kind = 'fit'"))
    by_id = [run for run in fits if name and run.info.run_id.startswith(name)]
    if len(by_id) > 1:
        raise WrongUse(f"{len(by_id)} fits begin with {name!r}: give more of the id")
    if by_id:
        return by_id[0]
    title = f"fit · {_plan_name(name)}"
    finished = (run for run in fits if run.info.status == FINISHED)
    return next((run for run in finished if name == LATEST or run.info.run_name == title), None)


def _cells(store: Store, name: str) -> Iterator[tuple[str, str]]:
    """Key and name of the finished cells whose key, or whose run's id, begins with a name."""
    for clause in beginning_with(name):
        for run in store.search(f"tags.kind = 'cell' and attributes.status = 'FINISHED' and {clause}"):
            key = run.data.tags.get("cell.key", "")
            if key.startswith(name) or run.info.run_id.startswith(name):
                yield key, run.info.run_name


def _keys(runs: Iterable[Any]) -> set[str]:
    done = (run for run in runs if run.info.status == FINISHED)
    return {run.data.tags["cell.key"] for run in done if "cell.key" in run.data.tags}


def _cells_of_fit(store: Store, fit: Any) -> tuple[str, ...]:
    """The cells that a fit used; version 0.2 kept their list without a folder."""
    artifacts = artifacts_of(fit, store.client)
    with reaching(store.uri):
        table = artifacts.table("data/runs") or artifacts.table("runs")
    if not table.get("cell"):
        raise BadInput(f"fit run {fit.info.run_id} has no list of its cells (data/runs.csv)")
    return tuple(table["cell"])


def _cells_of_plan(store: Store, name: str) -> tuple[set[str], int]:
    """The finished cells of a plan: of its file those that it describes, whichever plan ran them first.

    And how many of those that the file describes are not finished.

    A search decides the knobs of a tuned plan's cells, so that these are found as those of a name are, by
    the plan that ran them; so are those of a plan whose images are not on this machine.
    """
    with contextlib.suppress(BadInput):  # its images or weights may lie on another machine
        plan = read_plan(Path(name), {}) if name.endswith(".toml") else None
        if plan is not None and plan.tune is None:
            done = set(store.done([cell.key for cell in plan.cells]))
            return done, len(plan.cells) - len(done)
    return _keys(store.search(f"tags.kind = 'cell' and tags.sweep = {_quoted(_plan_name(name))}")), 0


def _plan_name(name: str) -> str:
    """The name of a plan: that in its file, where one is given. Raises: WrongUse for a file that is none."""
    if not name.endswith(".toml"):
        return name
    path = plan_file(Path(name))
    try:
        return str(tomllib.loads(path.read_text("utf-8")).get("name", path.stem))
    except (OSError, ValueError) as error:
        raise WrongUse(f"{name} cannot be read as a plan: {error}") from error


def _quoted(text: str) -> str:
    """A text in MLflow's filter language, which has no escapes."""
    if "'" in text and '"' in text:
        raise WrongUse(f"a name cannot hold both kinds of quotes: {text}")
    return f'"{text}"' if "'" in text else f"'{text}'"
