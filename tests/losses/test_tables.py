"""Files of losses: every bit comes back, from Parquet and from the CSV that people open."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.losses import PerImageLosses, read_columns, read_losses, write_losses, write_rows

NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8)
ROWS = st.lists(
    st.tuples(
        NAMES,
        st.sampled_from(["train", "validation", "eval"]),
        st.floats(allow_nan=False, allow_infinity=False),
        st.floats(allow_nan=False),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0],
)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


def losses_of(rows: list[tuple[str, str, float, float]]) -> PerImageLosses:
    ids, splits, first, second = zip(*rows, strict=True)
    return PerImageLosses(
        kind="mse",
        image_ids=ids,
        splits=splits,
        values={"mse": np.array(first, np.float64), "mae": np.array(second, np.float64)},
    )


@settings(max_examples=40)
@given(rows=ROWS)
def test_losses_come_back_from_parquet_bit_for_bit(rows: list[tuple[str, str, float, float]]) -> None:
    losses = losses_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        write_losses(losses, Path(folder))
        again = read_losses(Path(folder) / "losses.parquet")
    assert (again.kind, again.image_ids, again.splits) == ("mse", losses.image_ids, losses.splits)
    assert {k: v.tobytes() for k, v in again.values.items()} == {
        k: v.tobytes() for k, v in losses.values.items()
    }
    assert again.digest == losses.digest


@settings(max_examples=40)
@given(rows=ROWS)
def test_the_csv_spells_every_loss_so_that_it_reads_back_exactly(
    rows: list[tuple[str, str, float, float]],
) -> None:
    losses = losses_of(rows)
    with tempfile.TemporaryDirectory() as folder:
        write_losses(losses, Path(folder))
        columns = read_columns(Path(folder) / "losses.csv")
    assert list(columns) == ["image_name", "split", "loss", "mse", "mae"]
    assert tuple(columns["image_name"]) == losses.image_ids
    for name, values in {**losses.values, "loss": losses.loss}.items():
        assert np.array(columns[name], np.float64).tobytes() == values.tobytes()


@settings(max_examples=40)
@given(
    header=st.lists(CELLS.filter(bool), min_size=2, max_size=3, unique=True),
    rows=st.lists(st.tuples(CELLS, CELLS), max_size=4),
)
def test_small_tables_hold_any_text(header: list[str], rows: list[tuple[str, str]]) -> None:
    header = header[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_rows(path, header, rows)
        assert read_columns(path) == {name: [row[i] for row in rows] for i, name in enumerate(header)}


def test_a_table_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "absent.csv")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"image_name,loss\na,1\n"])
def test_a_file_that_is_no_losses_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "losses.parquet").write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        read_losses(tmp_path / "losses.parquet")
