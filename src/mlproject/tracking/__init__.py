"""Tracking: open a store, log runs to it, read finished runs back. The only package that imports MLflow.

A cell is done when a run of its key is FINISHED, has the tag ``cell.complete`` (set last), and its losses
match their logged digest. An attempt is always a new run. A run names its host, its process and a lock of
its own, which that process holds; where the lock shows on the same machine that the owner died, the run is
closed as KILLED.
"""

from mlproject.tracking.addresses import beside_store, database_url, lock_folder
from mlproject.tracking.artifacts import LOSSES_DIGEST, Artifacts, artifacts_of, deletion
from mlproject.tracking.copies import Copy, artifact_names, copy_artifacts, place_of
from mlproject.tracking.done import beginning_with
from mlproject.tracking.experiment_page import (
    LOGGED_TABLES,
    RUN_COLOUR,
    colour_runs,
    describe_experiment,
    experiment_link,
    model_colour,
    run_link,
    server_page,
)
from mlproject.tracking.imports import Imported, import_cells
from mlproject.tracking.location import (
    DEFAULT_EXPERIMENT,
    done_runs,
    keep_done_runs,
    open_store,
    open_stores,
    sqlite_path,
    tracking_uri,
    ui_command,
)
from mlproject.tracking.other_hosts import (
    CellState,
    TakenOver,
    close_runs_of_driver,
    look_up_cell,
    nothing_of,
    take_over,
)
from mlproject.tracking.ownership import HOST, claim_launched_run, remedy, this_machine
from mlproject.tracking.place import store_lock, store_stubs
from mlproject.tracking.predictions import (
    CellAttempt,
    LoggedPrediction,
    LoggedPredictions,
    Named,
    attempts_at_size,
    prediction_head,
    read_predictions,
    seal_prediction,
)
from mlproject.tracking.reach import reaching, store_problem
from mlproject.tracking.store import Store
from mlproject.tracking.tracked_run import ENGINE_TASK, PREDICTION_HEAD, TrackedRun, code_version

__all__ = [
    "DEFAULT_EXPERIMENT",
    "ENGINE_TASK",
    "HOST",
    "LOGGED_TABLES",
    "LOSSES_DIGEST",
    "PREDICTION_HEAD",
    "RUN_COLOUR",
    "Artifacts",
    "CellAttempt",
    "CellState",
    "Copy",
    "Imported",
    "LoggedPrediction",
    "LoggedPredictions",
    "Named",
    "Store",
    "TakenOver",
    "TrackedRun",
    "artifact_names",
    "artifacts_of",
    "attempts_at_size",
    "beginning_with",
    "beside_store",
    "claim_launched_run",
    "close_runs_of_driver",
    "code_version",
    "colour_runs",
    "copy_artifacts",
    "database_url",
    "deletion",
    "describe_experiment",
    "done_runs",
    "experiment_link",
    "import_cells",
    "keep_done_runs",
    "lock_folder",
    "look_up_cell",
    "model_colour",
    "nothing_of",
    "open_store",
    "open_stores",
    "place_of",
    "prediction_head",
    "reaching",
    "read_predictions",
    "remedy",
    "run_link",
    "seal_prediction",
    "server_page",
    "sqlite_path",
    "store_lock",
    "store_problem",
    "store_stubs",
    "take_over",
    "this_machine",
    "tracking_uri",
    "ui_command",
]
