"""What large stores cost: planning, resuming, listing and aggregating, each command in a process of its own.

    PYTHONPATH=src python -m benchmarks.stores --cells 10000 --losses 1000
    PYTHONPATH=src python -m benchmarks.stores --cells 100000 --losses 1 --only dry resume
    PYTHONPATH=src python -m benchmarks.stores --quick

One cell is run as any other, and its rows in the database (of MLflow 3.17) and its files are the template of
all others, whose losses follow a planted law. With one loss a store has what a start asks for that finds
nothing to do. CPU seconds are those of whole processes; the time of three million additions in a Python loop
compares machines. ``search`` is what MLflow takes to give all finished runs to a client.
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
from mlproject.losses import PREDICTIONS, PerImageLosses, write_table
from mlproject.plans import Plan, read_plan
from mlproject.report import BRIEF
from mlproject.runs import run_plan
from mlproject.runs.analysis_run import fit_key
from mlproject.tracking import LOSSES_DIGEST, Store, open_store
from mlproject.tracking.artifacts import SUMS_DIGEST
from mlproject.tracking.done import DoneRun, Listing, state_of, write_record

MODELS = ("resnet18", "resnet50", "resnet101", "efficientnet_lite0")
SIZES = (10, 14, 20, 28, 40, 56, 80, 113, 160, 200)
MOST_SEEDS = 250
"""Of more cells there are several learning rates, with curves of their own."""
N_LOGGED = 20
IDS = tuple(f"images/{i:06d}.png" for i in range(100_000))
PREDICTED, SUMS = "predictions.parquet", "SHA256SUMS"
SEARCH = """
import os, mlflow
client, token = mlflow.MlflowClient(), ""
clause = "tags.kind = 'cell' and attributes.status = 'FINISHED' and tags.`cell.complete` = 'true'"
while token is not None:
    token = client.search_runs(["0"], clause, max_results=1000, page_token=token or None).token or None
"""
CLI = (sys.executable, "-m", "mlproject")
DRY = (*CLI, "sweep", "--plan", "plan.toml", "--dry-run")
COMMANDS = {
    "search": (sys.executable, "-c", SEARCH),
    "list": DRY,
    "dry": DRY,
    "ls": (*CLI, "ls"),
    "aggregate": (*CLI, "aggregate"),
    "resume": (*CLI, "sweep", "--plan", "plan.toml"),
}
"""The first dry run after a change lists what is done; a resume has its fit after ``aggregate``."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """The rows of a real run by table with their columns, and its artifacts."""

    columns: Mapping[str, Sequence[str]]
    rows: Mapping[str, Sequence[Sequence[Any]]]
    root: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--losses", type=int, default=1000, help="evaluated images; 1: as left by a sweep")
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
    if n_losses == 1:
        leave_done(folder, plan, store)
        return len(plan.cells)
    first = replace(plan, cells=plan.cells[:1])
    (done,) = run_plan(first, store, Lines(1), summary=False)
    print(f"a run as it is logged: {costs_of(store, done.run_id)}")
    with closing(sqlite3.connect("mlflow.db")) as base:
        base.execute("pragma synchronous = off")
        template = read_template(base, store, done.run_id)
        write_predictions(template.root, n_losses)
        store.client.delete_run(done.run_id)
        for start in range(0, len(plan.cells), 1000):
            cells = [(cell, plan.naming.name(cell)) for cell in plan.cells[start : start + 1000]]
            write_runs(base, template, cells, n_losses)
            base.commit()
    return len(plan.cells)


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
        with store.run(kind="copy", name="copy", tags={}) as run, tempfile.TemporaryDirectory() as folder:
            for path in files:
                shutil.copy(path, folder)
            run.log(params=logged.params, tags=tags, history=history)
            run.log_dataset(name="images", digest="d", source="images", context="eval")
            run.log_files(Path(folder))
    seconds = (time.process_time() - start) / N_LOGGED
    n_bytes = sum(path.stat().st_size for path in files)
    entries = f"{len(logged.params)} parameters, {len(logged.tags)} tags, {len(history)} points of metrics"
    return f"{entries}; {len(files)} files of {n_bytes:,} bytes; {1000 * seconds:.0f} CPU-ms to log"


def leave_done(folder: Path, plan: Plan, store: Store) -> None:
    """What the last sweep of a plan leaves, as far as the next start looks at it."""
    (folder / "losses").write_bytes(b"losses")
    runs: dict[str, DoneRun] = {}
    for cell in plan.cells:
        files = folder / "mlruns" / "0" / uuid.uuid4().hex / "artifacts"
        files.mkdir(parents=True)
        (files / "losses.parquet").symlink_to(folder / "losses")
        runs[cell.key] = DoneRun(files.parent.name, str(files), int(time.time() * 1000) + 1, "digest")
    rows = sorted([key, run.digest, run.run_id] for key, run in runs.items())
    with (
        store.run(kind="fit", name="fit · plan", tags={"fit.key": fit_key(rows)}) as fit,
        tempfile.TemporaryDirectory() as out,
    ):
        (Path(out) / BRIEF).write_text("no exponents\n")
        fit.log_files(Path(out))
    with closing(sqlite3.connect("mlflow.db")) as base:
        (row,) = base.execute("select * from runs where run_uuid = ?", [fit.run_id])
        marks = ",".join("?" * len(row))
        copies = ([run.run_id if value == fit.run_id else value for value in row] for run in runs.values())
        base.executemany(f"insert into runs values ({marks})", copies)
        base.commit()
    state = state_of(folder / "mlflow.db")
    listing = Listing(experiment_id="0", state=state, asked=0, runs=runs, names=["", "", ""])
    write_record(store.locks, listing)


def read_template(base: sqlite3.Connection, store: Store, run_id: str) -> Template:
    columns, rows = {}, {}
    keys = dict.fromkeys(("runs", "params", "tags", "metrics", "latest_metrics"), "run_uuid")
    for table, key in (keys | {"inputs": "destination_id"}).items():
        found = base.execute(f"select * from {table} where {key} = ?", [run_id])
        columns[table] = [column[0] for column in found.description]
        rows[table] = found.fetchall()
    (row,) = rows["inputs"]
    found = base.execute("select * from input_tags where input_uuid = ?", [row[0]])
    columns["input_tags"], rows["input_tags"] = [c[0] for c in found.description], found.fetchall()
    root = store.artifact(run_id, "losses.parquet").parent
    return Template(columns=columns, rows=rows, root=root)


def write_runs(
    base: sqlite3.Connection, template: Template, cells: Sequence[tuple[Cell, str]], n_losses: int
) -> None:
    """The rows and files of runs of these cells, named so."""
    tables: dict[str, list[Sequence[Any]]] = {name: [] for name in template.rows}
    for cell, name in cells:
        run_id = uuid.uuid4().hex
        files = template.root.parents[1] / run_id / "artifacts"
        files.mkdir(parents=True)
        tags, loss = write_files(files, cell, template, n_losses)
        tags |= {"cell.key": cell.key, "cell.json": json.dumps(cell.to_dict()), "mlflow.runName": name}
        metrics = {"eval.loss": loss, "dataset_size": cell.dataset_size, "flops": 1e8 * cell.dataset_size}
        metrics |= {"params": 1e6 * (1 + MODELS.index(cell.model))}
        changed = {"params": cell.to_params(), "tags": tags, "metrics": metrics, "latest_metrics": metrics}
        ended = int(time.time() * 1000) + 1
        for table, row in rows_of(template, run_id, changed):
            if table == "runs":
                row |= {"name": name, "artifact_uri": str(files), "end_time": ended}
            tables[table].append(list(row.values()))
    for table, rows in tables.items():
        base.executemany(f"insert into {table} values ({','.join('?' * len(rows[0]))})", rows)


def rows_of(
    template: Template, run_id: str, changed: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the template for another run, with other values of some parameters, tags and metrics."""
    ids = {"run_uuid": run_id, "destination_id": run_id, "input_uuid": uuid.uuid4().hex}
    for table, rows in template.rows.items():
        for values in rows:
            row = dict(zip(template.columns[table], values, strict=True))
            row |= {name: value for name, value in ids.items() if name in row}
            if row.get("key") in changed.get(table, {}):
                row["value"] = changed[table][row["key"]]
            yield table, row


def write_files(folder: Path, cell: Cell, template: Template, n_losses: int) -> tuple[dict[str, str], float]:
    """Losses of a cell and the predictions that all share, with digests; the tags of these, the mean loss."""
    os.link(template.root / PREDICTED, folder / PREDICTED)
    losses = made_up_losses(cell, n_losses)
    columns: dict[str, Any] = {"image_name": losses.image_ids, "split": losses.splits, "loss": losses.loss}
    table = pyarrow.table(columns | dict(losses.values)).replace_schema_metadata({"kind": losses.kind})
    pyarrow.parquet.write_table(table, folder / "losses.parquet")
    sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in ("losses.parquet", PREDICTED))
    (folder / SUMS).write_text(sums)
    return {SUMS_DIGEST: sha256_file(folder / SUMS), LOSSES_DIGEST: losses.digest}, float(losses.loss.mean())


def write_predictions(folder: Path, n: int) -> None:
    """Predictions of ten classes, of which every eleventh is wrong."""
    labels = [f"class {i % 10}" for i in range(n)]
    predicted = [labels[i - 1] if i % 11 == 0 else labels[i] for i in range(n)]
    (folder / PREDICTED).unlink()
    columns = {"image_name": IDS[:n], "split": ["eval"] * n, "label": labels, "predicted": predicted}
    write_table(folder, PREDICTIONS, columns)


def made_up_losses(cell: Cell, n: int) -> PerImageLosses:
    """Losses around 0.2 + k D^-0.4 of images that are hard in every cell, and the other kinds of a probe."""
    own = np.random.default_rng(int(cell.key, 16))
    mean = (0.2 + (2 + MODELS.index(cell.model)) * cell.dataset_size**-0.4) * np.exp(0.02 * own.normal())
    hard = np.exp(0.8 * np.random.default_rng(7).normal(size=n))
    loss = mean * hard / hard.mean() * np.exp(0.2 * own.normal(size=n))
    values = {"cross_entropy": loss, "brier": loss**0.8, "error": (loss > mean).astype(float)}
    return PerImageLosses(kind="cross_entropy", image_ids=IDS[:n], splits=("eval",) * n, values=values)


if __name__ == "__main__":
    main()
