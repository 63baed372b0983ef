"""Open the tracking store that MLflow's environment variables name."""

from __future__ import annotations

import logging
import os
import sqlite3
import uuid
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, StoreUnreachable, WrongUse, command, masked, unknown
from mlproject.files import locked
from mlproject.tracking.addresses import database_file, database_url, lock_folder
from mlproject.tracking.done import all_in_place, read_record
from mlproject.tracking.place import (
    check_place,
    check_sqlite,
    folder_of,
    store_lock,
    store_stubs,
    sweep,
)
from mlproject.tracking.reach import PatientClient, reaching
from mlproject.tracking.store import Store

DEFAULT_URI = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "Default"
"""MLflow's own, which has no other name."""
SETTINGS = {
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a bar for each file
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # of a server, two lines for each run that ends
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment of MLflow, unless set already."""
EXPERIMENT = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
"""Variables by which MLflow's environment names the experiment."""


def open_store(experiment: str | None = None, *, create: bool = True) -> Store:
    """The store that MLflow's environment names (default: ``mlflow.db`` here) and its experiment.

    Raises: StoreUnreachable when it cannot be reached, or does not exist and ``create`` is false; WrongUse
    for an experiment that does not exist and is not to be created, or that is named twice.
    """
    uri = tracking_uri()
    client = _connect(uri, create=create)
    with reaching(uri):
        launcher = os.environ.pop("MLFLOW_RUN_ID", None)
        experiment_id = client.get_run(launcher).info.experiment_id if launcher else None
        experiment_id = experiment_id or _experiment_id(client, experiment, create)
    return _store(uri, client, experiment_id, launcher)


def open_stores() -> list[Store]:
    """Every experiment of the store that MLflow's environment names. Raises: StoreUnreachable."""
    uri = tracking_uri()
    client = _connect(uri, create=False)
    with reaching(uri):
        experiments = client.search_experiments()
    return [_store(uri, client, str(experiment.experiment_id), None) for experiment in experiments]


def done_runs(
    experiment: str | None = None, keys: Collection[str] | None = None, *, close_dead: bool = False
) -> tuple[str, dict[str, str]]:
    """An experiment's id (empty where there is none yet) and the run ids of finished cells by key.

    Importing MLflow takes seconds. The answer is kept beside a SQLite store while no run is RUNNING, and used
    until its file changes, or the losses of one of these cells (of ``keys``, where given). With
    ``close_dead`` runs whose owner died are closed, if there can be any.
    """
    uri = tracking_uri()
    path = sqlite_path(uri)
    if path is not None and not os.path.exists(path):
        return "", {}
    record = read_record(path, lock_folder(path), names=_names(experiment)) if path is not None else None
    if record is not None:
        known = {k: run for k, run in record.runs.items() if keys is None or k in keys}
        if all_in_place(known.values()):
            return record.experiment_id, {key: run.run_id for key, run in known.items()}
    client = _connect(uri, create=False)
    with reaching(uri):
        experiment_of_runs = _find_experiment(client, experiment)
    if experiment_of_runs is None:
        return "", {}
    store = _store(uri, client, str(experiment_of_runs.experiment_id), None)
    if close_dead:
        store.reconcile()
    runs = keep_done_runs(store, experiment)
    return store.experiment_id, {k: run_id for k, run_id in runs.items() if keys is None or k in keys}


def keep_done_runs(store: Store, experiment: str | None = None) -> dict[str, str]:
    """The run ids of a store's finished cells by key, kept for the next ``done_runs``."""
    with reaching(store.uri):
        runs = store.done_cells.keep(_names(experiment))
    return {key: run.run_id for key, run in runs.items()}


def _names(experiment: str | None) -> list[str]:
    """By what an experiment is asked for: its name, and MLflow's variables."""
    return [experiment or "", *(os.environ.get(name, "") for name in EXPERIMENT)]


def tracking_uri() -> str:
    """The address that MLflow's environment gives, or MLflow's default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def ui_command(uri: str) -> str:
    """The command that shows the store at ``uri`` in MLflow's UI; a password is left in the environment."""
    if uri == DEFAULT_URI:
        return command("mlflow", "ui")  # MLflow's default, too
    if masked(uri) != uri:
        return command("mlflow", "ui", "--backend-store-uri") + ' "$MLFLOW_TRACKING_URI"'
    address = _address(uri)
    if "%" not in address:  # MLflow makes no stray folder of an address without escapes
        address = address.replace("sqlite+pysqlite:", "sqlite:", 1)
    return command("mlflow", "ui", "--backend-store-uri", address)


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address; None for any other. Raises: WrongUse for a database in memory."""
    return database_file(uri)


def _connect(uri: str, *, create: bool) -> Any:
    """A client of the store at ``uri``; a new SQLite store is built where ``create`` allows it."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    path = sqlite_path(uri)
    place = path or folder_of(uri)
    if place is not None:
        check_place(place, create=create)
    if path is not None and os.path.lexists(path):
        check_sqlite(path)
    import mlflow

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # prints errors that are raised too
    with reaching(uri):
        address = _address(uri)
        if path is not None:
            sweep(path)
            _build_sqlite(path)
        client = mlflow.MlflowClient(tracking_uri=address)
    mlflow.set_tracking_uri(uri)
    return client


def _address(uri: str) -> str:
    """The address as MLflow reads it rightly.

    MLflow makes the folders of an address that begins with ``sqlite:///``, from its text as it is, escapes
    and parameters included; with the driver's name it makes none. It keeps stores by their address, which
    is therefore absolute.
    """
    url = database_url(uri)
    if url is None or url.get_backend_name() != "sqlite":
        return uri
    if "uri" not in url.query:
        url = url.set(database=str(database_file(uri)))
    return url.set(drivername="sqlite+pysqlite").render_as_string(hide_password=False)


def _build_sqlite(path: Path) -> None:
    """Build a new store under a temporary name, then link it: killed midway it leaves no half-built store."""
    if path.exists():
        return
    with locked(store_lock(path)):
        if path.exists():
            return
        stub = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
        try:
            os.close(os.open(stub, os.O_CREAT | os.O_EXCL, 0o666))  # SQLite would ignore a wider umask
            _build(stub, _artifact_root())
            os.link(stub, path)
        finally:
            for leftover in store_stubs(path):
                leftover.unlink()


def _build(path: Path, root: str) -> None:
    """Build a store whose first experiment keeps its artifacts below ``root`` (empty: MLflow's choice).

    It is built in memory and then copied, as MLflow's migrations wait for the disk a thousand times.
    """
    name = f"file:{uuid.uuid4().hex}?mode=memory&cache=shared"
    with closing(sqlite3.connect(name, uri=True)) as memory, closing(sqlite3.connect(path)) as file:
        _migrate(f"sqlite+pysqlite:///{name}&uri=true", root)
        memory.backup(file)


def _migrate(address: str, root: str) -> None:
    if root:  # the client has no argument for it
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(address, root)  # type: ignore[no-untyped-call]
    else:
        from mlflow import MlflowClient

        MlflowClient(tracking_uri=address).search_experiments(max_results=1)


def _artifact_root() -> str:
    """The address of ``mlruns`` here where MLflow would misread its path (``%41`` as A), else empty."""
    root = Path.cwd() / "mlruns"
    return "" if root.as_uri() == f"file://{root}" else root.as_uri()


def _store(uri: str, client: Any, experiment_id: str, launcher: str | None) -> Store:
    return Store(
        uri=uri,
        experiment_id=experiment_id,
        client=PatientClient(client, uri),
        file=sqlite_path(uri),
        locks=lock_folder(uri),
        launcher_run=launcher,
    )


def _find_experiment(client: Any, name: str | None) -> Any:
    """The experiment that is asked for by name, or by MLflow's environment; None where it is to be created.

    Raises: WrongUse where the environment names an id that does not exist, or an id and another name.
    """
    from mlflow.exceptions import MlflowException

    env_name, env_id = (os.environ.get(variable) for variable in EXPERIMENT)
    if name or not env_id:
        return client.get_experiment_by_name(name or env_name or DEFAULT_EXPERIMENT)
    try:
        experiment = client.get_experiment(env_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = [f"{each.experiment_id} ({each.name})" for each in client.search_experiments()]
        raise unknown("MLFLOW_EXPERIMENT_ID", env_id, known) from error
    if env_name and env_name != experiment.name:
        raise WrongUse(
            f"MLFLOW_EXPERIMENT_ID={env_id} is experiment {experiment.name!r}, but MLFLOW_EXPERIMENT_NAME is"
            f" {env_name!r}; unset one of them, or name the experiment: --experiment NAME"
        )
    return experiment


def _experiment_id(client: Any, name: str | None, create: bool) -> str:
    experiment = _find_experiment(client, name)
    if experiment is None:
        name = name or os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT
        if not create:
            raise unknown("experiment", name, [known.name for known in client.search_experiments()])
        return _create_experiment(client, name)
    if not experiment.experiment_id:
        text = "answers, but not as a tracking server of MLflow does; set MLFLOW_TRACKING_URI"
        raise StoreUnreachable(f"{masked(client.tracking_uri)} {text}")
    if experiment.lifecycle_stage != "active":
        restore = command("mlflow", "experiments", "restore", "--experiment-id", experiment.experiment_id)
        raise BadInput(
            f"experiment {experiment.name!r} was deleted; `{restore}` restores it, or choose another name"
        )
    return str(experiment.experiment_id)


def _create_experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    root = "" if client.tracking_uri.startswith("http") else _artifact_root()
    try:
        return str(client.create_experiment(name, f"{root}/{uuid.uuid4().hex}" if root else None))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)  # another process may have created it
        if experiment is None:
            raise
        return str(experiment.experiment_id)
