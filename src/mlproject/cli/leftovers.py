"""What a crash, damage or an older version left behind: listed by ``doctor``, mended by ``doctor --repair``.

Nothing that is in use is listed or touched: a leftover is yielded while the lock of what it belongs to is
held, or the lock of the half-written file itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlproject.errors import MLProjectError

MIB = 1 << 20
N_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something to mend: what it is, what is wrong, and how it is mended, in words and as a call.

    ``mend`` returns a text where the result is not known before. Without ``mend`` nothing has to be done.
    ``works`` is None for what is no fault, or may be none.
    """

    what: str
    fault: str
    remedy: str
    mend: Callable[[], str | None] | None = None
    works: bool | None = False


def leftovers() -> Iterator[Leftover]:
    """All leftovers of the cache, the folder of weights, and the tracking store with all its experiments."""
    yield from _half_written()
    yield from _cached()
    yield from _trainings()
    yield from _store_files()
    yield from _runs()


def _deleted(path: Path, what: str, fault: str) -> Leftover:
    return Leftover(what=f"{what} {path}", fault=fault, remedy="deleted", mend=partial(_delete, path))


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _half_written() -> Iterator[Leftover]:
    from mlproject.features import unfinished_folder
    from mlproject.files import abandoned_stubs, cache_folder, delete_stub
    from mlproject.models import weights_folder
    from mlproject.tracking import lock_folder, tracking_uri

    folders = (cache_folder(), unfinished_folder(""), weights_folder(), lock_folder(tracking_uri()))
    for folder in dict.fromkeys(folders):
        for path in abandoned_stubs(folder):
            what = f"half-written file {path}"
            yield Leftover(
                what=what, fault="its process died", remedy="deleted", mend=partial(delete_stub, path)
            )


def _cached() -> Iterator[Leftover]:
    """Damaged files of the cache; those of a folder that a process is filling are left alone."""
    from mlproject.features import table_faults
    from mlproject.files import cache_folder, try_locked
    from mlproject.regions import is_region_folder, region_faults

    for folder in sorted(path for path in cache_folder().glob("*") if path.is_dir()):
        faults = region_faults if is_region_folder(folder) else table_faults
        with try_locked(folder.with_name(folder.name + ".lock")) as is_free:
            for path, fault in faults(folder) if is_free else ():
                yield _deleted(path, "cached file", fault)


def _trainings() -> Iterator[Leftover]:
    from mlproject.features import held_by_nobody
    from mlproject.training import CHECKPOINT, checkpoint_fault

    for folder in held_by_nobody():
        path = folder / CHECKPOINT
        if not path.exists():
            yield _deleted(folder, "unfinished training", "nothing of it was saved")
        elif fault := checkpoint_fault(path, folder.name):
            yield _deleted(folder, "unfinished training", f"its checkpoint cannot be used: {fault}")
        else:
            size = f"{path.stat().st_size / MIB:.1f} MiB"
            remedy = "kept: the next run of its cell resumes it, and `cache prune` deletes it after 7 days"
            what = f"unfinished training {folder}"
            yield Leftover(what=what, fault=f"{size}, intact", remedy=remedy, works=None)


def _store_files() -> Iterator[Leftover]:
    from mlproject.files import try_locked
    from mlproject.tracking import sqlite_path, store_lock, store_stubs, tracking_uri

    path = sqlite_path(tracking_uri())
    if path is None or not path.parent.is_dir() or not store_stubs(path):
        return
    with try_locked(store_lock(path)) as is_free:
        for stub in store_stubs(path) if is_free else ():
            yield _deleted(stub, "half-built store", "the process of its first start died")


def _runs() -> Iterator[Leftover]:
    """Runs that say RUNNING and finished cells without their losses, of every experiment."""
    from mlproject.tracking import Store, open_stores, remedy

    def reconcile(store: Store) -> str:
        return f"{len(store.reconcile().closed)} closed as KILLED"

    def mark(store: Store, run_id: str) -> None:
        store.mark_suspect(run_id)

    try:
        stores = open_stores()
    except MLProjectError:  # the examination of the store reports it
        return
    for store in stores:
        runs = store.owners()
        if runs.closed:
            more = f" and {len(runs.closed) - N_NAMED} more" if len(runs.closed) > N_NAMED else ""
            yield Leftover(
                what=f"runs {', '.join(runs.closed[:N_NAMED])}{more}",
                fault="RUNNING, but their process died",
                remedy="closed as KILLED",
                mend=partial(reconcile, store),
                works=None,
            )
        for run_id, reason in runs.unknown.items():
            yield Leftover(
                what=f"run {run_id}",
                fault=f"says RUNNING and cannot be checked from here: {reason}",
                remedy=remedy(run_id, runs.hosts),
                works=None,
            )
        for run_id, fault in store.faults().items():
            yield Leftover(
                what=f"finished cell of run {run_id}",
                fault=fault,
                remedy="marked: the next sweep of its plan runs the cell again",
                mend=partial(mark, store, run_id),
            )
