"""What large stores cost: planning, resuming, listing and aggregating, each command in a process of its own.

    PYTHONPATH=src python -m benchmarks.stores --cells 10000 --losses 1000
    PYTHONPATH=src python -m benchmarks.stores --cells 100000 --losses 1 --only dry resume
    PYTHONPATH=src python -m benchmarks.stores --quick

With one loss all cells share one file of losses, and the store has the fit and the record of finished cells
that the last sweep leaves, so that a start finds nothing to do.

The store is made up: one cell is run as any other, and its rows in the database and its files are the
template of all others, each with its own key, parameters, losses and digests. The rows are written past
MLflow (its tables as of version 3.17), since MLflow takes 40 ms for a run. Losses follow a planted law. CPU
seconds are those of the whole process, its start and its imports included; beside them stands the time of
three million additions in a Python loop, by which machines compare. ``search`` is what MLflow itself takes
to give all finished runs, page by page, to a client that does nothing with them; ``dry`` stands in the order
of commands before and after there is a record of what is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

import mlproject
from mlproject.cell import Cell
from mlproject.cli.progress import Lines
from mlproject.files import sha256_file
from mlproject.losses import PerImageLosses, predictions_table, read_losses, write_table
from mlproject.plans import read_plan
from mlproject.report import BRIEF
from mlproject.runs import run_plan
from mlproject.runs.analysis_run import fit_key
from mlproject.tracking import LOSSES_DIGEST, Store, open_store
from mlproject.tracking.artifacts import SUMS_DIGEST
from mlproject.tracking.done import DoneRun, Listing, state_of, write_record

MODELS = ("resnet18", "resnet50", "resnet101", "efficientnet_lite0")
SIZES = (10, 14, 20, 28, 40, 56, 80, 113, 160, 200)
MOST_SEEDS = 250
"""Of more cells there are several learning rates, each with curves of its own."""
N_LOGGED = 20
PREDICTED, SUMS = "predictions.parquet", "SHA256SUMS"
OF_RUN = ("params", "tags", "metrics", "latest_metrics")
"""Tables with rows of a run, by its ``run_uuid``."""
SEARCH = """
import os, mlflow
client, token = mlflow.MlflowClient(), None
while True:
    page = client.search_runs(["0"], "tags.kind = 'cell' and attributes.status = 'FINISHED' and "
                              "tags.`cell.complete` = 'true'", max_results=1000, page_token=token)
    token = page.token
    if not token:
        break
"""
CLI = (sys.executable, "-m", "mlproject")
DRY = (*CLI, "sweep", "--plan", "plan.toml", "--dry-run")
COMMANDS = {
    "search": (sys.executable, "-c", SEARCH),
    "list": DRY,
    "dry": DRY,
    "ls": (*CLI, "ls"),
    "json": (*CLI, "ls", "--json"),
    "aggregate": (*CLI, "aggregate"),
    "relist": DRY,
    "resume": (*CLI, "sweep", "--plan", "plan.toml"),
}
"""Commands in the order in which they are measured. The first dry run after a change of the store lists what
is done; a resume after ``aggregate`` has its fit already."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """The rows of a real run by table with their columns, its artifacts, and the digest of its losses."""

    columns: Mapping[str, Sequence[str]]
    rows: Mapping[str, Sequence[Sequence[Any]]]
    root: Path
    digest: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument(
        "--losses", type=int, default=1000, help="evaluated images; 1: all cells share a file"
    )
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=COMMANDS)
    parser.add_argument("--folder", type=Path, help="keep the store here, or measure the one that is there")
    parser.add_argument("--quick", action="store_true", help="100 runs of 50 losses")
    given = parser.parse_args()
    n_cells, n_losses = (100, 50) if given.quick else (given.cells, given.losses)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="stores-"))
    try:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder.resolve()}/mlflow.db"
        if not (folder / "mlflow.db").exists():
            # In a process of its own, since Linux counts its peak as that of the commands it starts.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                n_runs = pool.submit(build, folder.resolve(), n_cells, n_losses).result()
            size = (folder / "mlflow.db").stat().st_size / n_runs
            print(f"store: {n_runs:,} runs of {n_losses:,} losses, {size:,.0f} bytes a run in the database")
        print(f"three million additions: {speed():.2f} s")
        print(f"{'command':12}{'CPU-s':>8}{'seconds':>9}{'peak MB':>9}")
        for name in given.only:
            measure(name, folder)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


def speed() -> float:
    """CPU seconds of three million additions in a Python loop."""
    start, total = time.process_time(), 0
    for i in range(3_000_000):
        total += i
    return time.process_time() - start


def measure(name: str, folder: Path) -> None:
    """Run a command in a process of its own, and print what it took."""
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(Path(mlproject.__file__).parents[1])}
    with (folder / f"{name}.txt").open("w") as output:
        process = subprocess.Popen(COMMANDS[name], cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu = time.perf_counter() - start, used.ru_utime + used.ru_stime
    failed = f"  exit status {process.returncode}" if process.returncode else ""
    print(f"{name:12}{cpu:8.1f}{seconds:9.1f}{used.ru_maxrss / 1024:9.0f}{failed}", flush=True)


def build(folder: Path, n_cells: int, n_losses: int) -> int:
    """A store of finished cells of a plan, which lies beside it as ``plan.toml``; their number."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    n_seeds = min(MOST_SEEDS, -(-n_cells // (len(MODELS) * len(SIZES))))
    n_rates = -(-n_cells // (len(MODELS) * len(SIZES) * n_seeds))
    rates = [round(1e-4 * 1.01**i, 12) for i in range(n_rates)]
    Path("plan.toml").write_text(
        f'[[grid]]\nmodel = {json.dumps(MODELS)}\ndata = "embedded"\nweights = "random"\n'
        f"dataset_size = {list(SIZES)}\neval_size = 20\nseed = {list(range(n_seeds))}\n"
        f'[grid.knobs]\ntarget = "labels"\nepochs = 5\nlr = {rates}\n'
    )
    plan = read_plan(Path("plan.toml"), {})
    store = open_store()
    first = replace(plan, cells=plan.cells[:1])
    (done,) = run_plan(first, store, Lines(1), summary=False)
    print(f"a run as it is logged: {costs_of(store, done.run_id)}")
    runs: dict[str, DoneRun] = {}
    with closing(sqlite3.connect("mlflow.db")) as base:
        base.execute("pragma synchronous = off")
        template = read_template(base, store, done.run_id)
        if n_losses > 1:
            write_predictions(template.root, n_losses)
        else:  # a start that finds nothing to do reads nothing of its runs but the record
            template = replace(template, rows={"runs": template.rows["runs"]})
        store.client.delete_run(done.run_id)
        for start in range(0, len(plan.cells), 1000):
            cells = [(cell, plan.naming.name(cell)) for cell in plan.cells[start : start + 1000]]
            runs |= write_runs(base, template, cells, n_losses)
            base.commit()
    if n_losses == 1:
        leave_fit(store, runs)
    return len(runs)


def costs_of(store: Store, run_id: str) -> str:
    """What a run costs: files, entries in the store, and CPU time to log it again (the mean of 20 times)."""
    logged = store.client.get_run(run_id).data
    root = store.artifact(run_id, "losses.parquet").parent
    files = [path for path in root.iterdir() if path.name != "SHA256SUMS"]
    tags = {f"copy.{name}": value for name, value in logged.tags.items()}
    history = [
        (point.step, {name: point.value})
        for name in logged.metrics
        for point in store.client.get_metric_history(run_id, name)
    ]
    start = time.process_time()
    for _ in range(N_LOGGED):
        with (
            store.run(kind="copy", name="copy", tags={}) as run,
            tempfile.TemporaryDirectory() as folder,
        ):
            for path in files:
                shutil.copy(path, folder)
            run.log(params=logged.params, tags=tags, history=history)
            run.log_dataset(name="images", digest="d", source="images", context="eval")
            run.log_files(Path(folder))
    seconds = (time.process_time() - start) / N_LOGGED
    n_bytes = sum(path.stat().st_size for path in files)
    n_entries = f"{len(logged.params)} parameters, {len(logged.tags)} tags, {len(history)} points of metrics"
    return f"{n_entries}; {len(files)} files of {n_bytes:,} bytes; {1000 * seconds:.0f} CPU-ms to log"


def leave_fit(store: Store, runs: Mapping[str, DoneRun]) -> None:
    """The fit and the record of finished cells that a sweep leaves at its end."""
    rows = sorted([key, run.digest, run.run_id] for key, run in runs.items())
    with (
        store.run(kind="fit", name="fit · plan", tags={"fit.key": fit_key(rows, False)}) as run,
        tempfile.TemporaryDirectory() as folder,
    ):
        (Path(folder) / BRIEF).write_text("no exponents\n")
        run.log_files(Path(folder))
    assert store.file is not None
    state = state_of(store.file)
    listing = Listing(experiment_id="0", state=state, asked=0, runs=runs, names=["", "", ""])
    write_record(store.locks, listing)


def read_template(base: sqlite3.Connection, store: Store, run_id: str) -> Template:
    columns, rows = {}, {}
    for table, key in [*((name, "run_uuid") for name in ("runs", *OF_RUN)), ("inputs", "destination_id")]:
        found = base.execute(f"select * from {table} where {key} = ?", [run_id])
        columns[table] = [column[0] for column in found.description]
        rows[table] = found.fetchall()
    (row,) = rows["inputs"]
    found = base.execute("select * from input_tags where input_uuid = ?", [row[0]])
    columns["input_tags"], rows["input_tags"] = [c[0] for c in found.description], found.fetchall()
    root = store.artifact(run_id, "losses.parquet").parent
    digest = read_losses(root / "losses.parquet").digest
    return Template(columns=columns, rows=rows, root=root, digest=digest)


def write_runs(
    base: sqlite3.Connection, template: Template, cells: Sequence[tuple[Cell, str]], n_losses: int
) -> dict[str, DoneRun]:
    """The rows and files of runs of these cells, named so."""
    tables: dict[str, list[Sequence[Any]]] = {name: [] for name in template.rows}
    runs = {}
    for cell, name in cells:
        run_id = uuid.uuid4().hex
        files = template.root.parents[1] / run_id / "artifacts"
        files.mkdir(parents=True)
        tags, loss = write_files(files, cell, template, n_losses)
        tags |= {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict()), "attempt": uuid.uuid4().hex}
        tags |= {"mlflow.runName": name}
        metrics = {"eval.loss": loss, "dataset_size": cell.dataset_size, "flops": 1e8 * cell.dataset_size}
        metrics |= {"params": 1e6 * (1 + MODELS.index(cell.model))}
        changed = {"params": cell.to_params(), "tags": tags, "metrics": metrics, "latest_metrics": metrics}
        ended = int(time.time() * 1000) + 1
        runs[cell.key] = DoneRun(run_id, str(files), ended, tags[LOSSES_DIGEST])
        for table, row in rows_of(template, run_id, changed):
            if table == "runs":
                row |= {"name": name, "artifact_uri": str(files), "end_time": ended}
            tables[table].append(list(row.values()))
    for table, rows in tables.items():
        base.executemany(f"insert into {table} values ({','.join('?' * len(rows[0]))})", rows)
    return runs


def rows_of(
    template: Template, run_id: str, changed: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the template for another run, with other values of some parameters, tags and metrics."""
    input_id = uuid.uuid4().hex
    for table, rows in template.rows.items():
        for values in rows:
            row = dict(zip(template.columns[table], values, strict=True))
            if "run_uuid" in row:
                row["run_uuid"] = run_id
            if "input_uuid" in row:
                row["input_uuid"] = input_id
            if table == "inputs":
                row["destination_id"] = run_id
            if row.get("key") in changed.get(table, {}):
                row["value"] = changed[table][row["key"]]
            yield table, row


def write_files(folder: Path, cell: Cell, template: Template, n_losses: int) -> tuple[dict[str, str], float]:
    """Losses of a cell and the predictions that all share, with digests; the tags of these, the mean loss."""
    os.link(template.root / PREDICTED, folder / PREDICTED)
    if n_losses == 1:
        for name in ("losses.parquet", SUMS):
            os.link(template.root / name, folder / name)
        return {LOSSES_DIGEST: template.digest}, 0.5
    losses = made_up_losses(cell, n_losses)
    columns: dict[str, Any] = {"image_name": losses.image_ids, "split": losses.splits, "loss": losses.loss}
    table = pyarrow.table(columns | dict(losses.values)).replace_schema_metadata({"kind": losses.kind})
    pyarrow.parquet.write_table(table, folder / "losses.parquet")
    sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in ("losses.parquet", PREDICTED))
    (folder / SUMS).write_text(sums)
    return {SUMS_DIGEST: sha256_file(folder / SUMS), LOSSES_DIGEST: losses.digest}, float(losses.loss.mean())


def write_predictions(folder: Path, n: int) -> None:
    """Predictions of a tenth of the classes each, of which every eleventh is wrong."""
    labels = np.arange(n) % 10
    predicted = np.where(np.arange(n) % 11, labels, (labels + 1) % 10)
    losses = PerImageLosses(
        kind="error", image_ids=ids_of(n), splits=("eval",) * n, values={"error": np.zeros(n)}
    )
    tables = predictions_table(losses, labels, predicted, list("abcdefghij"))
    (folder / PREDICTED).unlink()
    for name, columns in tables.items():
        write_table(folder, name, columns)


def ids_of(n: int) -> tuple[str, ...]:
    """Names of images."""
    return tuple(f"images/{i:06d}.png" for i in range(n))


def made_up_losses(cell: Cell, n: int) -> PerImageLosses:
    """Losses around 0.2 + k D^-0.4 of images that are hard in every cell, and the other kinds of a probe."""
    own = np.random.default_rng(int(cell.key, 16))
    mean = (0.2 + (2 + MODELS.index(cell.model)) * cell.dataset_size**-0.4) * np.exp(0.02 * own.normal())
    hard = np.exp(0.8 * np.random.default_rng(7).normal(size=n))
    loss = mean * hard / hard.mean() * np.exp(0.2 * own.normal(size=n))
    values = {"cross_entropy": loss, "brier": loss**0.8, "error": (loss > mean).astype(float)}
    return PerImageLosses(kind="cross_entropy", image_ids=ids_of(n), splits=("eval",) * n, values=values)


if __name__ == "__main__":
    main()
