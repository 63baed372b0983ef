"""Runs of other hosts: the cells that they are running, and what a host that is gone left RUNNING.

A host closes a run only where it sees that the owner died (``ownership``). What another host runs may live:
its cells are busy, and its runs are closed on request alone, by the name of the host. Where two hosts begin
one cell at the same moment, both may finish it. Then the run counts that began last (of equals the one whose
id sorts first), for every reader: all take the first intact run that ``Store.search`` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlproject.errors import WrongUse, printable, unknown
from mlproject.tracking.ownership import HOST, close_dead_runs, close_run, remedy, this_machine
from mlproject.tracking.reach import reaching
from mlproject.tracking.store import Store
from mlproject.tracking.tracked_run import ENGINE_TASK, close_attempts


@dataclass(kw_only=True)
class TakenOver:
    """How many runs of a host were closed, and the hosts of all runs that were in doubt."""

    n_closed: int = 0
    hosts: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class CellState:
    """What the store has of a cell: the run that finished it, or which other host runs it, in words."""

    done: str = ""
    elsewhere: str = ""


def look_up_cell(store: Store, key: str, task: str = "") -> CellState:
    """The state of a cell whose lock is held here, from one search: nothing can end between two of them.

    ``task`` is that of an engine, which may run it again: its runs that say RUNNING are closed.
    """
    runs = list(store.search(f"tags.`cell.key` = '{key}'"))
    with reaching(store.uri):
        done = store.done_cells.among(runs)
        if key in done:
            return CellState(done=done[key].run_id)
        running = [run for run in runs if run.info.status == "RUNNING"]
        closed = close_attempts(store.client, running, task) if task else []
    return CellState(elsewhere=_running_elsewhere(store, [r for r in running if r.info.run_id not in closed]))


def _running_elsewhere(store: Store, running: Sequence[Any]) -> str:
    """Which of these runs is of another host, and what to do if that host is gone; empty where none is.

    A SQLite file serves one machine, whose locks tell.
    """
    if store.file is not None:
        return ""
    with reaching(store.uri):
        owners = close_dead_runs(running, store.client, store.lock_path, None, close=False)
    if not owners.hosts:
        return ""
    run_id, host = next(iter(owners.hosts.items()))
    return f"run {run_id} of host {printable(host)} is running it; {remedy(run_id, owners.hosts)}"


def close_runs_of_driver(store: Store, driver: str) -> None:
    """Close as KILLED what the tasks of a driver left RUNNING, whose engine has ended all of its workers."""
    with reaching(store.uri):
        for run in store.running():
            if run.data.tags.get(ENGINE_TASK, "").startswith(f"{driver}-"):
                close_run(run, store.client, "its worker was ended")


def take_over(stores: Sequence[Store], host: str) -> TakenOver:
    """Close as KILLED the runs of a host that say RUNNING and of which the locks here tell nothing."""
    taken = TakenOver()
    for store in stores:
        with reaching(store.uri):
            running = store.running()
            owners = close_dead_runs(running, store.client, store.lock_path, store.file, close=False)
            taken.hosts.update(owners.hosts.values())
            for run in running:
                if owners.hosts.get(run.info.run_id) == host:
                    taken.n_closed += close_run(run, store.client, f"taken over from {host}")
    return taken


def nothing_of(host: str, hosts: Iterable[str]) -> WrongUse:
    """The error for a host of which nothing is to be taken over; ``hosts`` left something."""
    if host == this_machine().get(HOST):
        return WrongUse(
            f"{host} is this machine: its locks tell which of its runs are dead, and every start closes those"
        )
    if hosts := set(hosts):
        return unknown("host of runs or trials in doubt", host, hosts)
    return WrongUse(
        f"no run that says RUNNING and no running trial is of a host {host}: nothing to take over"
    )
