"""Where runs are kept: open the store that MLflow's environment names, or peek into a SQLite one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, StoreUnreachable, unknown
from mlproject.files import locked, sha256
from mlproject.tracking.store import COMPLETE, Store
from mlproject.tracking.store_errors import reaching

DEFAULT_URI = "sqlite:///mlflow.db"
_SETTINGS = {
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def open_store(experiment: str | None = None, *, create: bool = True) -> Store:
    """The store that MLflow's environment names (default: ``mlflow.db`` here) and its experiment.

    Raises: StoreUnreachable when it cannot be reached, or is not there and ``create`` is false.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri()
    path = sqlite_path(uri)
    if path is not None and not path.exists() and not create:
        raise StoreUnreachable(f"no tracking store at {path}; run a cell first, or set MLFLOW_TRACKING_URI")
    import mlflow
    from mlflow import MlflowClient

    with reaching(uri):
        if path is not None:
            _build_sqlite(path)
        launcher = os.environ.pop("MLFLOW_RUN_ID", None)
        client = MlflowClient(tracking_uri=uri)
        found = client.get_run(launcher).info.experiment_id if launcher else None
        found = found or _experiment_id(client, experiment, create)
    mlflow.set_tracking_uri(uri)
    return Store(uri=uri, experiment_id=found, client=client, locks=_lock_folder(uri), launcher_run=launcher)


def peek_done(experiment: str | None = None) -> set[str] | None:
    """Keys of finished cells straight from a SQLite store, without importing MLflow (3 CPU-seconds).

    None when the store is not a SQLite file. For display only: ``Store.done`` decides.
    """
    path = sqlite_path(tracking_uri())
    if path is None:
        return None
    if not path.exists():
        return set()
    query = (
        "select k.value from runs r join experiments e on e.experiment_id = r.experiment_id"
        " join tags k on k.run_uuid = r.run_uuid and k.key = 'cell.key'"
        " join tags c on c.run_uuid = r.run_uuid and c.key = ? and c.value = 'true'"
        " where r.status = 'FINISHED' and r.lifecycle_stage = 'active' and e.name = ?"
    )
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return {row[0] for row in connection.execute(query, (COMPLETE, _name(experiment)))}
    except sqlite3.Error as error:
        raise StoreUnreachable(f"tracking store {path} cannot be read: {error}") from error


def _build_sqlite(path: Path) -> None:
    """Build a new store under another name and link it in: a start that is killed leaves no ruin."""
    if path.exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with locked(_lock_folder(f"sqlite:///{path}") / "store.lock"):
        if path.exists():
            return
        stub = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            make: Any = SqlAlchemyStore  # MLflow does not type its constructor
            new = make(f"sqlite:///{stub}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
            new.engine.dispose()
            os.link(stub, path)
        finally:
            for leftover in path.parent.glob(f"{stub.name}*"):
                leftover.unlink()


def _experiment_id(client: Any, experiment: str | None, create: bool) -> str:
    name = _name(experiment)
    found = client.get_experiment_by_name(name)
    if found is None and not create:
        raise unknown("experiment", name, [known.name for known in client.search_experiments()])
    if found is None:
        return _created(client, name)
    if found.lifecycle_stage != "active":
        raise BadInput(f"experiment {name!r} was deleted; restore it or choose another name")
    return str(found.experiment_id)


def _created(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name))
    except MlflowException:
        found = client.get_experiment_by_name(name)  # another process may have been first
        if found is None:
            raise
        return str(found.experiment_id)


def _name(experiment: str | None) -> str:
    return experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"


def tracking_uri() -> str:
    """The address MLflow's environment gives, or MLflow's own default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def _lock_folder(uri: str) -> Path:
    """Beside a SQLite store; for a server, a folder of this machine and user."""
    path = sqlite_path(uri)
    if path is not None:
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(uri.encode())[:16]
