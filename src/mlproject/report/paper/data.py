"""Data of a paper: every per-image loss in one long table, the cells, and what every column means."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlproject.analysis import EvaluatedRun, Study, predictions
from mlproject.files import csv_bytes
from mlproject.report.columns import definitions
from mlproject.report.document import Table
from mlproject.report.methods.words import knob_text

if TYPE_CHECKING:
    import pyarrow

IMAGES = ("image", "label", "predicted", "split", "kind", "loss")
PLACE = ("model", "weights", "size", "scale", "region", "seed", "cell", "run")
METRICS = ("accuracy", "params", "flops", "gmac_per_image")
"""Metrics of runs among the columns of cells, empty where a run has none."""
CELLS = (
    "cell", "run", "losses_digest", "recipe", "model", "weights", "weights_digest", "data", "data_digest",
    "dataset_size", "eval_size", "validation_size", "draw", "region", "image_scales", "seed", "tuned",
    "split", "kind", "images", "loss", *METRICS,
)  # fmt: skip
RUNS_AT_ONCE = 200
"""Runs of one row group: a group for each would make the file's own tables larger than its losses."""
COLUMNS = ("table", "column", "unit", "definition")


def loss_kinds(study: Study) -> tuple[str, ...]:
    """Every kind of loss that a run has of its images, by name."""
    return tuple(sorted({name for run in study.runs for name in (run.kind, *run.columns)}))


def images_header(study: Study) -> tuple[str, ...]:
    """The columns of the long table; a kind of loss that is called ``loss`` is that column alone."""
    kinds = tuple(kind for kind in loss_kinds(study) if kind != "loss")
    return (*IMAGES, *kinds, *PLACE)


def images_parquet(study: Study) -> bytes:
    """A row for each run and evaluated image; the same runs give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    text, header = pyarrow.string(), images_header(study)
    types = dict.fromkeys(header, pyarrow.float64()) | dict.fromkeys((*IMAGES[:5], *PLACE), text)
    types |= dict.fromkeys(("size", "seed"), pyarrow.int64())
    schema = pyarrow.schema([(name, types[name]) for name in header])
    buffer = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(buffer, schema, compression="zstd") as writer:
        for i in range(0, len(study.runs), RUNS_AT_ONCE):
            tables = [_images_of(run, schema) for run in study.runs[i : i + RUNS_AT_ONCE]]
            writer.write_table(pyarrow.concat_tables(tables))
    return buffer.getvalue()


def _images_of(run: EvaluatedRun, schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    cell, n = run.cell, len(run.image_ids)
    seen = predictions(run)
    values: dict[str, Any] = {"image": run.image_ids, "kind": run.kind, "loss": run.losses}
    values |= {"label": None if seen is None else seen.labels.tolist()}
    values |= {"predicted": None if seen is None else seen.predicted.tolist()}
    values |= {"split": run.split, "model": cell.model, "weights": cell.weights, "size": cell.dataset_size}
    values |= {"scale": _scales(run), "region": cell.region, "seed": cell.seed, "cell": cell.key}
    values |= {"run": run.run_id} | {name: column.astype(float) for name, column in run.columns.items()}
    values |= {run.kind: run.losses}
    columns = []
    for field in schema:
        value = values.get(field.name)
        alike = value is None or isinstance(value, (str, int))
        columns.append(
            pyarrow.repeat(pyarrow.scalar(value, field.type), n)
            if alike
            else pyarrow.array(value, field.type)
        )
    return pyarrow.table(columns, schema=schema)


def _scales(run: EvaluatedRun) -> str:
    return ",".join(f"{scale:g}" for scale in run.cell.image_scales)


def cells_table(study: Study) -> Table:
    """A row for each cell: where it lies, its knobs, its loss, and the digests of what it used."""
    knobs = sorted({name for run in study.runs for name in run.cell.knobs})
    columns = (*CELLS, *(f"knob_{name}" for name in knobs))
    return Table(name="cells", rows=[_cell_row(run) for run in study.runs], columns=columns)


def _cell_row(run: EvaluatedRun) -> dict[str, Any]:
    cell, metrics = run.cell, run.observation.metrics
    row: dict[str, Any] = {name: getattr(cell, name, None) for name in CELLS}
    row |= {"cell": cell.key, "run": run.run_id, "losses_digest": run.observation.losses_digest}
    row |= {"image_scales": _scales(run), "tuned": ",".join(cell.tuned), "split": run.split, "kind": run.kind}
    row |= {"images": len(run.image_ids), "loss": float(run.losses.mean())}
    row |= {name: metrics.get(name) for name in METRICS}
    return row | {f"knob_{name}": knob_text(value) for name, value in cell.knobs.items()}


def columns_csv(study: Study, tables: Iterable[Table]) -> bytes:
    """Unit and definition of every column of every table of the study."""
    headers = [("images", images_header(study)), ("cells", cells_table(study).header)]
    rows = definitions([*headers, *_headers(tables)])
    return csv_bytes(COLUMNS, list(rows))


def _headers(tables: Iterable[Table]) -> Iterator[tuple[str, Sequence[str]]]:
    for table in tables:
        if table.rows:
            yield table.name, table.header
