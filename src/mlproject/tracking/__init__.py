"""Tracking: open a store, log runs to it, read finished runs back. The only package that imports MLflow.

A cell is done when a run of its key is FINISHED, has the tag ``cell.complete`` (set last), and its losses
match their logged digest. An attempt is always a new run. The process that runs a cell holds its lock; a
RUNNING run whose lock is free has lost its owner and is closed as KILLED.
"""

from mlproject.tracking.location import (
    done_runs,
    keep_done_runs,
    open_store,
    sqlite_path,
    tracking_uri,
    ui_command,
)
from mlproject.tracking.store import LOSSES_DIGEST, Store
from mlproject.tracking.tracked_run import TrackedRun, deletion

__all__ = [
    "LOSSES_DIGEST",
    "Store",
    "TrackedRun",
    "deletion",
    "done_runs",
    "keep_done_runs",
    "open_store",
    "sqlite_path",
    "tracking_uri",
    "ui_command",
]
