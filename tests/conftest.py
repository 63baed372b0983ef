"""A tracking store for the whole session; every test has an experiment of its own in it."""

from __future__ import annotations

import gc
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

os.environ.pop("COLUMNS", None)  # set in workers of parallel tests; consoles read it when they are imported
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch: workers share the cores

gc.set_threshold(100_000, 50, 50)  # as the command line does: what is imported stays

from tests.annotations import check_annotations
from tests.golden.kernels import choose_kernels

choose_kernels()  # before NumPy is imported
check_annotations()  # before the package is imported

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from mlproject.cell import Cell
from mlproject.files import locked
from mlproject.losses import PerImageLosses
from mlproject.tracking import Store, open_store

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")  # how long an example takes says how busy the machine is, nothing of the code


def pytest_collection_finish() -> None:
    """What was imported until now is looked through by no collection of garbage: a million objects."""
    gc.collect()
    gc.freeze()


NewStore = Callable[[Path], str]


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> NewStore:
    """Makes a folder hold a new SQLite store, as MLflow builds it, and gives the store's address.

    MLflow takes seconds for it, so one is built for all workers and copied.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    built = shared / "new_store" / "mlflow.db"
    with locked(shared / "new_store.lock"), pytest.MonkeyPatch.context() as patch:
        if not built.exists():
            built.parent.mkdir()
            patch.chdir(built.parent)
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{built}")
            open_store()

    def copy(folder: Path) -> str:
        path = folder / built.name
        with closing(sqlite3.connect(built)) as old, closing(sqlite3.connect(path)) as new:
            old.backup(new)
            move = "update experiments set artifact_location = replace(artifact_location, ?, ?)"
            new.execute(move, (str(built.parent), str(folder)))
            new.commit()
        return f"sqlite:///{path}"

    return copy


@pytest.fixture(scope="session", autouse=True)
def _workplace(tmp_path_factory: pytest.TempPathFactory, new_store: NewStore) -> Iterator[Path]:
    """Neither the developer's store nor their feature cache is touched by a test."""
    folder = tmp_path_factory.mktemp("work")
    kept = dict(os.environ)
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        os.environ.pop(name, None)
    os.environ["MLFLOW_TRACKING_URI"] = new_store(folder)
    os.environ["MLPROJECT_ENGINE"] = "serial"  # tests of engines name theirs
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.environ["MLPROJECT_CACHE"] = str(folder / "features")
    here = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(here)
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture
def store() -> Store:
    """An empty experiment."""
    return open_store(f"test-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="session")
def dots() -> dict[str, bytes]:
    """A picture of a dot in each format."""
    from matplotlib.figure import Figure

    from mlproject.report.figures import encode

    return {kind: encode(Figure(figsize=(0.1, 0.1)), kind) for kind in ("png", "pdf")}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch, dots: dict[str, bytes]) -> None:
    """Figures are written as dots, where a test is of what lies around them."""
    from matplotlib.figure import Figure

    monkeypatch.setattr("mlproject.report.figures._encoded", lambda figure, kind, about: dots[kind])
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: path.write_bytes(dots["png"]))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread of torch, as in a process with OMP_NUM_THREADS=1: several add in another order."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def make_cell(**changes: object) -> Cell:
    """A cell that needs no image and no network."""
    values = dict(
        recipe="probe", model="resnet18", weights="random", weights_digest="random:0", data="embedded",
        data_digest="d" * 64, dataset_size=100, eval_size=20, knobs={"lr": 1e-3, "target": "labels"},
    )  # fmt: skip
    return Cell(**(values | changes))  # type: ignore[arg-type]


def make_losses(n: int = 20, seed: int = 0) -> PerImageLosses:
    """Losses of n held-out images and of as many training images."""
    values = np.random.default_rng(seed).gamma(2.0, size=2 * n)
    return PerImageLosses(
        kind="mse",
        image_ids=tuple(f"{i}.png" for i in range(2 * n)),
        splits=("train",) * n + ("eval",) * n,
        values={"mse": values, "mae": np.sqrt(values)},
    )
