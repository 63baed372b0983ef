"""A tuned plan by four processes through PostgreSQL, MLflow's server and an S3-compatible store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mlproject.analysis.runs import read_runs
from mlproject.losses import Silent
from mlproject.tracking import Store, import_cells, open_store
from tests import processes
from tests.conftest import NewStore
from tests.services import TrackingServer, missing, tracking_server

PASSWORD, ACCOUNT = "s3cret/of:the@services", "hunter2"
SWEEP = (
    "sweep", "--model=efficientnet_lite0", "--weights=imagenet", "--dataset-size=20", "--eval-size=20",
    "--validation-size=20", "--seed=0,1,2,3", "--target=labels", "--epochs=3", "--trials=4",
    "--tune=lr=1e-4..1e-1",
)  # fmt: skip
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]


@dataclass
class Finished:
    """The plan on the services and on a local store: exit statuses, what was printed, both stores."""

    server: TrackingServer
    shared: Store
    local: Store
    folder: Path
    statuses: list[int | None] = field(default_factory=list)
    printed: str = ""


@pytest.fixture(scope="module")
def finished(new_store: NewStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("services")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", local_uri := new_store(folder))
        reference = processes.started(processes.command, *SWEEP)
        server = stack.enter_context(tracking_server(PASSWORD))
        assert processes.ended(reference) == 0
        # MLflow's server has no accounts here, and takes any.
        patch.setenv("MLFLOW_TRACKING_URI", uri := server.uri.replace("//", f"//ada:{ACCOUNT}@"))
        storage = f"--storage={server.database.url('optuna', password=True)}"
        output = folder / "output.txt"
        workers = [processes.started(processes.command, *SWEEP, storage, output=output) for _ in range(4)]
        statuses = [processes.ended(worker) for worker in workers]
        shared = open_store()
        patch.setenv("MLFLOW_TRACKING_URI", local_uri)
        local = open_store()
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        yield Finished(server, shared, local, folder, statuses, output.read_text())


def losses(store: Store) -> dict[str, str]:
    return {seen.cell.key: seen.load_losses().digest for seen in store.observations()}


def kinds(store: Store) -> list[tuple[str, str]]:
    return sorted((run.data.tags["kind"], run.info.status) for run in store.search(""))


def test_every_cell_runs_once_with_the_losses_of_a_local_store_and_is_read_back(
    finished: Finished,
) -> None:
    assert finished.statuses == [0] * 4, finished.printed
    cells = [kind for kind in kinds(finished.shared) if kind[0] == "cell"]
    assert cells == [("cell", "FINISHED")] * 4
    assert {status for _, status in kinds(finished.shared)} == {"FINISHED"}
    assert losses(finished.shared) == losses(finished.local)
    runs, n_repeated = read_runs(finished.shared.observations())
    assert (len(runs), n_repeated) == (4, 0), "what an aggregation reads"


def test_artifacts_lie_in_the_bucket_and_clients_need_no_key_of_it(finished: Finished) -> None:
    names = finished.server.bucket.objects()
    for artifacts in finished.shared.done_artifacts().values():
        assert artifacts.uri.startswith("mlflow-artifacts:/")
        below = artifacts.uri.partition(":/")[2]
        assert {f"{below}/losses.parquet", f"{below}/SHA256SUMS"} <= set(names)


def test_no_credential_is_written_anywhere(finished: Finished) -> None:
    """In neither database, no artifact, no message; nor by a command that fails."""
    places: dict[str, Any] = {
        name: finished.server.database.call("pg_dump", name) for name in ("mlflow", "optuna")
    }
    places |= {name: content.decode("latin-1") for name, content in finished.server.bucket.objects().items()}
    places |= {"printed": finished.printed}
    places |= {str(path): path.read_bytes().decode("latin-1") for path in finished.shared.locks.glob("*")}
    for secret in (PASSWORD, quote(PASSWORD, safe=""), ACCOUNT):
        assert [name for name, text in places.items() if secret in text] == []


def test_cells_of_a_local_store_are_imported_once_into_the_server(finished: Finished) -> None:
    store = open_store("imported")
    counts = []
    for _ in range(2):
        result = import_cells(store, str(finished.folder), report=Silent(), experiment="Default")
        counts.append((result.n_copied, result.n_present, result.left_out))
    assert counts == [(4, 0, {}), (0, 4, {})]
    assert losses(store) == losses(finished.local)
    back = import_cells(finished.local, store.uri, report=Silent(), experiment="imported")
    assert (back.n_copied, back.n_present, back.left_out) == (0, 4, {})
