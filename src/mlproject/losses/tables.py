"""Read and write losses (Parquet, and CSV for people) and small CSV tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlproject.losses.per_image import PerImageLosses


def write_losses(losses: PerImageLosses, folder: Path) -> None:
    """Write ``losses.parquet`` and ``losses.csv`` (image_name, split, loss, then every kind)."""
    import pyarrow.csv
    import pyarrow.parquet

    columns: dict[str, Any] = {"image_name": losses.image_ids, "split": losses.splits}
    columns |= {"loss": losses.loss} | dict(losses.values)
    rows = pyarrow.table(columns).replace_schema_metadata({"kind": losses.kind})
    pyarrow.parquet.write_table(rows, folder / "losses.parquet")
    pyarrow.csv.write_csv(rows, folder / "losses.csv")


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def read_columns(path: Path) -> dict[str, list[str]]:
    """Read a CSV table as columns of text. Raises: OSError."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def read_losses(path: Path) -> PerImageLosses:
    """Read ``losses.parquet`` without checking its digest.

    Raises: OSError or ValueError when the file is not such a table.
    """
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(path)
    kind = (rows.schema.metadata or {}).get(b"kind", b"").decode()
    names = [name for name in rows.column_names if name not in ("image_name", "split", "loss")]
    return PerImageLosses(
        kind=kind,
        image_ids=tuple(rows["image_name"].to_pylist()),
        splits=tuple(rows["split"].to_pylist()),
        values={name: np.asarray(rows[name].to_numpy(), np.float64) for name in names},
    )
