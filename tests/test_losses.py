"""Per-image losses: what a table refuses, a digest that changes with every bit, files that read back."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.errors import BadInput
from mlproject.files import read_columns, write_rows
from mlproject.losses import (
    PREDICTIONS,
    NotFinite,
    Observation,
    Outcome,
    PerImageLosses,
    cell_loss,
    predictions_table,
    read_losses,
    read_table,
    write_losses,
    write_table,
)
from tests.conftest import make_cell, make_losses


def test_selecting_a_split_keeps_ids_beside_their_losses() -> None:
    losses = make_losses(5)
    assert losses.select("eval").image_ids == tuple(f"{i}.png" for i in range(5, 10))
    np.testing.assert_array_equal(losses.select("eval").loss, losses.loss[5:])


def test_a_loss_that_is_not_finite_names_the_first_image() -> None:
    values = make_losses(3).loss.copy()
    values[[1, 4]] = np.nan, np.inf
    with pytest.raises(NotFinite, match=r"2 images \(first: 1.png\)"):
        replace(make_losses(3), values={"mse": values})


def test_an_image_cannot_be_trained_on_and_evaluated() -> None:
    with pytest.raises(ValueError, match="twice"):
        replace(make_losses(2), image_ids=("a", "b", "a", "c"))


def test_fits_see_the_held_out_split_where_there_is_one() -> None:
    assert make_losses(2).evaluated_split == "eval"
    assert make_losses(2).select("train").evaluated_split == "train"


def test_a_table_reads_back_bit_for_bit_and_tells_a_changed_value(tmp_path) -> None:
    losses = make_losses(7)
    write_losses(losses, tmp_path)
    assert read_losses(tmp_path / "losses.parquet").digest == losses.digest
    nudged = losses.loss.copy()
    nudged[3] = np.nextafter(nudged[3], 9)
    assert replace(losses, values=dict(losses.values) | {"mse": nudged}).digest != losses.digest
    header = (tmp_path / "losses.csv").read_text().splitlines()[0]
    assert header.replace('"', "") == "image_name,split,loss,mse,mae"


FINITE = st.floats(allow_nan=False, allow_infinity=False)


def table(losses: list[float], **changes: object) -> PerImageLosses:
    n = len(losses)
    fields = {
        "kind": "mse",
        "image_ids": tuple(f"{i}.png" for i in range(n)),
        "splits": ("eval",) * n,
        "values": {"mse": np.array(losses, np.float64)},
    }
    return PerImageLosses(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": ("eval",)}, "ids, splits and losses differ in length"),
        ({"values": {"mse": np.zeros(3)}}, "ids, splits and losses differ in length"),
        ({"kind": "mae"}, "no values of the trained loss 'mae'"),
        ({"image_ids": ("a", "a")}, "an image occurs twice in the table: splits must be disjoint"),
    ],
)
def test_a_table_that_contradicts_itself_cannot_be_built(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        table([1.0, 2.0], **changes)
    assert str(refused.value) == message


@given(values=st.lists(FINITE, min_size=1, max_size=6), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_any_value_that_is_not_finite_fails_the_cell_with_status_one(values: list[float], bad: float) -> None:
    with pytest.raises(NotFinite) as refused:
        table([*values, bad])
    assert str(refused.value) == f"mse is not finite for 1 images (first: {len(values)}.png)"
    assert refused.value.status == 1


def test_only_the_trained_loss_has_to_be_finite() -> None:
    losses = table([1.0], values={"mse": np.array([1.0]), "mae": np.array([np.nan])})
    assert losses.loss.tolist() == [1.0]


@given(values=st.lists(FINITE, min_size=1, max_size=6), data=st.data())
def test_the_digest_changes_with_any_bit_of_any_value(values: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    changed = data.draw(FINITE.filter(lambda v: np.float64(v).tobytes() != np.float64(values[at]).tobytes()))
    other = [*values[:at], changed, *values[at + 1 :]]
    assert table(values).digest == table(list(values)).digest != table(other).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"image_ids": ("b", "a")},
        {"splits": ("train", "eval")},
        {"values": {"mse": np.ones(2), "x": np.ones(2)}},
    ],
)
def test_the_digest_changes_with_ids_splits_and_kinds(changes: dict[str, object]) -> None:
    base = table([1.0, 1.0], image_ids=("a", "b"))
    assert replace(base, **changes).digest != base.digest


def test_the_digest_does_not_depend_on_the_order_of_kinds() -> None:
    losses = make_losses(3)
    backwards = dict(reversed(list(losses.values.items())))
    assert replace(losses, values=backwards).digest == losses.digest


@given(splits=st.lists(st.sampled_from(["train", "validation", "eval"]), min_size=1, max_size=12))
def test_the_splits_of_a_table_are_its_rows_each_once(splits: list[str]) -> None:
    losses = table([float(i) for i in range(len(splits))], splits=tuple(splits))
    parts = [losses.select(split) for split in ("train", "validation", "eval")]  # type: ignore[arg-type]
    assert sorted(v for part in parts for v in part.loss) == sorted(losses.loss)
    assert [part.image_ids for part in parts if "train" in part.splits] == (
        [tuple(f"{i}.png" for i, s in enumerate(splits) if s == "train")] if "train" in splits else []
    )


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"eval.loss": 0.5, "train.loss_final": 0.1}, 0.5),
        ({"train.loss_final": 0.1, "train.loss": 0.2}, 0.1),
        ({"eval.loss": 0.0}, 0.0),
        ({"train.loss": 0.2}, None),
        ({}, None),
    ],
)
def test_the_loss_of_a_cell_is_held_out_where_there_is_one(
    metrics: dict[str, float], expected: float | None
) -> None:
    assert cell_loss(metrics) == expected


def test_an_observation_without_a_loss_names_its_run_and_cell() -> None:
    cell = make_cell()
    seen = Observation(cell=cell, run_id="r1", metrics={}, losses_digest="", load_losses=make_losses)
    with pytest.raises(BadInput) as refused:
        _ = seen.loss
    assert str(refused.value) == f"run r1 of cell {cell.key} has no loss among its metrics"
    assert refused.value.status == 3
    assert replace(seen, metrics={"eval.loss": 0.25}).loss == 0.25
    assert seen.load_table("anything") == {}


def test_an_outcome_has_no_extras_unless_a_recipe_gives_them() -> None:
    outcome = Outcome(
        losses=make_losses(2), n_params=3, n_params_trained=1, flops_per_image=2.0, flops_total=4.0
    )
    assert (outcome.facts, outcome.provenance, outcome.tensors, outcome.tables) == ({}, {}, {}, {})


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


def test_a_table_of_images_is_parquet_and_any_other_csv_and_both_read_back(tmp_path: Path) -> None:
    losses = losses_of([("=a", "train", 1.0, 2.0), ("b\n", "eval", -1.0, 2.0)])
    tables = predictions_table(losses, np.array([1, 0]), np.array([1.0, 1.0]), ("cat", "dög"))
    assert list(tables) == [PREDICTIONS]
    for name, columns in {**tables, "epochs": {"epoch": [1, 2]}}.items():
        write_table(tmp_path, name, columns)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.csv", "predictions.parquet"]
    assert read_table(tmp_path / "epochs.csv") == {"epoch": ["1", "2"]}
    assert read_table(tmp_path / "predictions.parquet") == {
        "image_name": ["=a", "b\n"],
        "split": ["train", "eval"],
        "label": ["dög", "cat"],
        "predicted": ["dög", "dög"],
    }


def test_ten_thousand_predictions_take_a_hundred_kilobytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.ones(10_000)
    losses = PerImageLosses(
        kind="mse",
        image_ids=tuple(f"train/{i:05d}.png" for i in rng.permutation(60_000)[:10_000]),
        splits=("eval",) * 10_000,
        values={"mse": values},
    )
    labels = rng.integers(0, 10, (2, 10_000))
    columns = predictions_table(losses, *labels, [f"class {i}" for i in range(10)])[PREDICTIONS]
    write_table(tmp_path, PREDICTIONS, columns)
    assert (tmp_path / "predictions.parquet").stat().st_size < 100_000


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
