"""What a recipe gives: progress, an outcome with per-image losses; the observation of a finished run; files.

Image ids are kept everywhere, so that intervals can be paired over the images that cells share. Losses are
stored as Parquet, and as CSV for people; further tables as Parquet where they have a row for each image (a
sixth of the size, read in a twentieth of the time), else as CSV.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Cell
from mlproject.errors import BadInput, MLProjectError
from mlproject.files import read_columns, write_rows

Split = Literal["train", "validation", "eval"]
Floats = NDArray[np.float64]
COLUMNS = ("image_name", "split", "loss")
"""Columns of every file of losses, before one for each kind."""
LOSS_KINDS = ("mse", "mae", "huber", "cross_entropy", "brier")
"""Losses that recipes train, and may log beside the one that is trained."""
PREDICTIONS = "predictions"
"""The table of a classifier: image_name, split, label, predicted label and confidence of every image."""


class NotFinite(MLProjectError):
    """A loss is NaN or infinite, so the cell failed."""


@dataclass(frozen=True, kw_only=True)
class PerImageLosses:
    """One row per image: id, split, and one float64 per kind of loss.

    ``kind`` names the loss that was minimised, which is the loss of the cell. Splits are disjoint; an
    in-sample cell has rows of ``train`` only. No kind has the name of another column of the files: ``loss``
    is the trained loss, so only that kind may be called so.

    Shapes: ``image_ids``, ``splits`` and every array of ``values`` have length n.
    Raises: NotFinite (how many images, and the first one), ValueError on shapes that differ and on names.
    """

    kind: str
    image_ids: tuple[str, ...]
    splits: tuple[Split, ...]
    values: Mapping[str, Floats]

    def __post_init__(self) -> None:
        n = len(self.image_ids)
        if len(self.splits) != n or any(len(v) != n for v in self.values.values()):
            raise ValueError("ids, splits and losses differ in length")
        if self.kind not in self.values:
            raise ValueError(f"no values of the trained loss {self.kind!r}")
        reserved = [name for name in COLUMNS if name in self.values and not name == self.kind == "loss"]
        if reserved:
            raise ValueError(
                f"a kind of loss cannot be named {reserved[0]!r}, as another column of the files"
            )
        if set(self.splits) - set(get_args(Split)):
            raise ValueError(f"splits must be among {get_args(Split)}")
        if len(set(self.image_ids)) != n:
            raise ValueError("an image occurs twice in the table: splits must be disjoint")
        bad = ~np.isfinite(self.values[self.kind])
        if bad.any():
            first = self.image_ids[int(np.argmax(bad))]
            raise NotFinite(f"{self.kind} is not finite for {bad.sum()} images (first: {first})")

    def select(self, split: Split) -> PerImageLosses:
        """The rows of one split, in order."""
        n_rows = self.splits.count(split)
        if n_rows == len(self.splits):
            return self
        keep = [i for i, s in enumerate(self.splits) if s == split] if n_rows else []
        return PerImageLosses(
            kind=self.kind,
            image_ids=tuple(self.image_ids[i] for i in keep),
            splits=tuple(self.splits[i] for i in keep),
            values={name: column[keep] for name, column in self.values.items()},
        )

    @property
    def loss(self) -> Floats:
        """The minimised loss, one value per image."""
        return self.values[self.kind]

    @property
    def evaluated_split(self) -> Split:
        """The split whose losses are analysed: ``eval``, or ``train`` for an in-sample cell."""
        return "eval" if "eval" in self.splits else "train"

    @property
    def digest(self) -> str:
        """SHA-256 of ids, splits and values, independent of the file format."""
        sha = hashlib.sha256(self.kind.encode())
        sha.update(_ids_bytes(self.image_ids) + b"\0" + "\n".join(self.splits).encode())
        for name in sorted(self.values):
            sha.update(name.encode() + np.ascontiguousarray(self.values[name], "<f8").tobytes())
        return sha.hexdigest()


def _ids_bytes(ids: Sequence[str]) -> bytes:
    """Ids as bytes that no other ids give.

    Ids are separated by line ends, which digests of released versions depend on. Where an id itself holds a
    line end or a NUL, all are JSON behind a mark that never occurs otherwise.
    """
    text = "\n".join(ids)
    if text.count("\n") >= max(1, len(ids)) or "\0" in text:
        return b"\0\0" + json.dumps(ids).encode()
    return text.encode()


@runtime_checkable
class Report(Protocol):
    """Callback through which a recipe reports its progress; the receiver takes the times."""

    def stage(self, name: str, total: int) -> None:
        """Begin a stage of ``total`` units: ``features`` (images), ``head`` or ``training`` (epochs)."""

    def advance(self, count: int) -> None:
        """Count ``count`` more finished units of the current stage."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Receive metrics at a training step, by the names that runs log (``train.loss``)."""


class Silent:
    """A callback that ignores everything."""

    def stage(self, name: str, total: int) -> None:
        """Ignore it."""

    def advance(self, count: int) -> None:
        """Ignore it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a recipe returns for a cell.

    ``flops_per_image`` counts one forward pass (multiply and add are two operations); ``flops_total`` is the
    compute of the cell: features of its training images once, and training. ``facts`` are metrics of this
    recipe only (accuracy, mIoU); ``provenance`` records weights file and digest, engine and precision;
    ``tensors`` are the trained parameters by name; ``tables`` are further tables by name, each of columns of
    equal length, logged as ``name.csv``, or as ``name.parquet`` with a column ``image_name``.
    """

    losses: PerImageLosses
    n_params: int
    n_params_trained: int
    flops_per_image: float
    flops_total: float
    facts: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Sequence[object]]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A finished run read back: its cell, its metrics, and its losses on demand.

    ``metrics`` are those that the run logged (``params``, ``flops``, ``eval.loss``). ``load_losses`` reads
    the losses artifact and raises DigestMismatch when it differs from what was logged; ``load_table`` reads
    a further table of the outcome by its name, as columns of text, empty where there is none. ``damage`` says
    why the losses cannot be used, as far as that is known before they are read.
    """

    cell: Cell
    run_id: str
    metrics: Mapping[str, float]
    losses_digest: str
    load_losses: Callable[[], PerImageLosses]
    load_table: Callable[[str], Mapping[str, Sequence[str]]] = lambda name: {}
    provenance: Mapping[str, str] = field(default_factory=dict)
    damage: str = ""

    @property
    def loss(self) -> float:
        """The cell's loss: the mean over its evaluated images. Raises: BadInput when the run logged none."""
        loss = cell_loss(self.metrics)
        if loss is None:
            raise BadInput(f"run {self.run_id} of cell {self.cell.key} has no loss among its metrics")
        return loss


def cell_loss(metrics: Mapping[str, float]) -> float | None:
    """A cell's loss among the metrics of its run: held-out, or that of the training images in-sample."""
    return metrics.get("eval.loss", metrics.get("train.loss_final"))


def write_losses(losses: PerImageLosses, folder: Path) -> None:
    """Write ``losses.parquet`` and ``losses.csv`` (image_name, split, loss, then every kind)."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {"image_name": losses.image_ids, "split": losses.splits}
    columns |= {"loss": losses.loss} | dict(losses.values)
    table = pyarrow.table(columns).replace_schema_metadata({"kind": losses.kind})
    pyarrow.parquet.write_table(table, folder / "losses.parquet")
    write_rows(folder / "losses.csv", list(columns), zip(*table.to_pydict().values(), strict=True))


def predictions_table(
    losses: PerImageLosses,
    labels: NDArray[Any],
    predicted: NDArray[Any],
    classes: Sequence[str],
    confidence: NDArray[Any] | None = None,
) -> dict[str, dict[str, Sequence[object]]]:
    """The table ``PREDICTIONS`` of a classifier, by its name, as ``Outcome.tables`` holds it.

    Shapes: ``labels`` and ``predicted`` [n] are places in ``classes``, in the order of the losses;
    ``confidence`` [n] is the probability of the predicted class, None where outputs are no probabilities.
    """
    names = np.array(classes, dtype=object)
    columns: dict[str, Sequence[object]] = {"image_name": losses.image_ids, "split": losses.splits}
    columns |= {"label": names[labels].tolist(), "predicted": names[np.asarray(predicted, int)].tolist()}
    columns |= {} if confidence is None else {"confidence": np.asarray(confidence, np.float64).tolist()}
    return {PREDICTIONS: columns}


def write_table(folder: Path, name: str, columns: Mapping[str, Sequence[object]]) -> None:
    """Write a table of an outcome: ``name.parquet`` where its rows are images, else ``name.csv``."""
    if "image_name" not in columns:
        write_rows(folder / f"{name}.csv", list(columns), zip(*columns.values(), strict=True))
        return
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({column: list(values) for column, values in columns.items()})
    pyarrow.parquet.write_table(table, folder / f"{name}.parquet", compression="zstd")


def read_table(path: Path) -> dict[str, list[str]]:
    """Read a table that ``write_table`` wrote, as columns of text.

    Raises: OSError; ValueError when the file is not such a table (BadInput for a CSV file).
    """
    if path.suffix == ".csv":
        return read_columns(path)
    import pyarrow.parquet

    rows = pyarrow.parquet.ParquetFile(path).read(use_threads=False)
    columns = {name: rows[name].to_numpy().tolist() for name in rows.column_names}
    return {
        name: values if set(map(type, values)) <= {str} else [*map(str, values)]
        for name, values in columns.items()
    }


def read_losses(path: Path) -> PerImageLosses:
    """Read ``losses.parquet`` without checking its digest.

    Raises: OSError or ValueError when the file is not such a table.
    """
    import pyarrow.parquet

    rows = pyarrow.parquet.ParquetFile(path).read(use_threads=False)
    kind = (rows.schema.metadata or {}).get(b"kind", b"").decode()
    names = [name for name in rows.column_names if name == kind or name not in COLUMNS]
    return PerImageLosses(
        kind=kind,
        image_ids=tuple(rows["image_name"].to_numpy().tolist()),
        splits=tuple(rows["split"].to_numpy().tolist()),
        values={name: np.asarray(rows[name].to_numpy(), np.float64) for name in names},
    )
