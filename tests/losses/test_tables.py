"""Files of losses: every bit comes back, from Parquet and from the CSV that people open."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.errors import BadInput
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
CELLS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["=1+1", "'=1", "''-2", "+a", "@x", "\t", "\r", "\n=1", "'", "-0.5", "a\rb", '"', "#", "\ufeff"]
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


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
def test_tables_hold_any_text_and_no_cell_begins_a_formula(
    header: list[str], rows: list[tuple[str, str]]
) -> None:
    header = header[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_rows(path, header, rows)
        assert read_columns(path) == {name: [row[i] for row in rows] for i, name in enumerate(header)}
        cells = [cell for row in csv.reader(io.StringIO(path.read_text("utf-8"), newline="")) for cell in row]
    assert not any(cell.startswith(FORMULAS) for cell in cells)


def test_numbers_are_written_as_they_are_and_nothing_is_an_empty_cell(tmp_path: Path) -> None:
    write_rows(tmp_path / "table.csv", ["a", "b", "c"], [[-0.5, np.float64(-1e-9), None], [-1, True, "-1"]])
    assert (tmp_path / "table.csv").read_text() == "a,b,c\n-0.5,-1e-09,\n-1,True,'-1\n"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "its first row must name every column once"),
        (b"a,a\n1,2\n", "its first row must name every column once"),
        (b"a,b\n1,2\n3\n", "row 3 has 1 of 2 cells"),
        (b"a,b\n1,2,3\n", "row 2 has 3 of 2 cells"),
        (b'a,b\n1,"2', "unexpected end of data"),
        (b"a,\xff\n", "can't decode byte 0xff"),
    ],
)
def test_a_damaged_table_is_refused_by_file_and_row(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput, match=r"t\.csv is damaged: ") as caught:
        read_columns(tmp_path / "t.csv")
    assert fault in str(caught.value)


def test_names_of_images_that_look_like_formulas_are_escaped_in_the_csv(tmp_path: Path) -> None:
    losses = losses_of([("=cmd()|x!A1", "eval", 1.0, 2.0), ("@a\rb", "eval", -1.0, 2.0)])
    write_losses(losses, tmp_path)
    text = (tmp_path / "losses.csv").read_bytes()
    assert (
        text
        == b"image_name,split,loss,mse,mae\n'=cmd()|x!A1,eval,1.0,1.0,2.0\n\"'@a\rb\",eval,-1.0,-1.0,2.0\n"
    )
    assert read_losses(tmp_path / "losses.parquet").image_ids == losses.image_ids


def test_a_trained_loss_named_loss_reads_back_and_names_of_other_columns_are_refused(tmp_path: Path) -> None:
    values = np.array([1.0, 2.0])
    common = {"image_ids": ("a", "b"), "splits": ("eval", "eval")}
    losses = PerImageLosses(kind="loss", values={"loss": values, "mae": values}, **common)
    write_losses(losses, tmp_path)
    assert read_losses(tmp_path / "losses.parquet").digest == losses.digest
    for kind, others in (("mse", "loss"), ("split", "mae"), ("image_name", "mae")):
        with pytest.raises(ValueError, match="cannot be named"):
            PerImageLosses(kind=kind, values={kind: values, others: values}, **common)


def test_ids_that_hold_line_ends_have_digests_of_their_own() -> None:
    values = np.array([1.0, 2.0])
    splits = ("eval", "eval")
    digests = [
        PerImageLosses(kind="mse", image_ids=ids, splits=splits, values={"mse": values}).digest
        for ids in (("a\nb", "c"), ("a", "b\nc"), ("a\0", "b"), ("a", "\0b"), ('["a\\nb", "c"]', ""))
    ]
    assert len(set(digests)) == len(digests)


def test_a_table_that_is_not_there_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_columns(tmp_path / "absent.csv")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"image_name,loss\na,1\n"])
def test_a_file_that_is_no_losses_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "losses.parquet").write_bytes(content)
    with pytest.raises((OSError, ValueError)):
        read_losses(tmp_path / "losses.parquet")
