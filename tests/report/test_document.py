"""Documents as values: frames of tables, rows that pages show, and files that hold the same numbers."""

import csv
import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as Drawing

from mlproject.report import Answer, Document, Figure, Section, Table, render_markdown, to_csv, write_document
from mlproject.report.formats import as_number, as_text

CELLS = st.none() | st.integers(-(10**6), 10**6)


def drawn():
    figure = Drawing(figsize=(2, 1.5), layout="constrained")
    figure.subplots().plot([1, 2], [3, 4])
    return figure


def document():
    formats = {"name": as_text("name"), "loss": as_number("loss")}
    rows = ({"name": "a", "loss": 0.12345}, {"name": "b", "loss": math.inf})
    shown = Table(name="shown", rows=rows, formats=formats, caption="Losses.")
    file_only = Table(name="file_only", rows=({"x": 1},))
    section = Section(
        title="S", tables=(shown, file_only), figures=(Figure(name="curve", draw=drawn, caption="A curve."),)
    )
    return Document(title="T", answer=Answer(result=("Yes.",)), sections=(section,))


@given(st.lists(CELLS, min_size=1, max_size=8))
def test_whole_numbers_stay_whole_however_many_are_missing(values):
    table = Table(name="t", rows=[{"n": value} for value in values], columns=("n",))
    lines = to_csv(table).decode().splitlines()[1:]
    assert [line.strip('"') for line in lines] == ["" if value is None else str(value) for value in values]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8))
def test_numbers_in_csv_are_read_back_bit_by_bit_and_others_are_empty(values):
    table = Table(name="t", rows=[{"i": i, "v": value} for i, value in enumerate(values)])
    read = [row["v"] for row in csv.DictReader(io.StringIO(to_csv(table).decode()))]
    for value, text in zip(values, read, strict=True):
        assert (float(text) == value) if math.isfinite(value) else (text == "")


def test_columns_are_those_named_or_all_in_the_order_in_which_they_appear():
    rows = ({"b": 1}, {"a": 2, "b": 3})
    assert list(Table(name="t", rows=rows).frame) == ["b", "a"]
    assert list(Table(name="t", rows=rows, columns=("a", "c")).frame) == ["a", "c"]
    assert Table(name="t", rows=(), columns=("a",)).frame.shape == (0, 1)


def test_a_page_shows_the_chosen_rows_and_the_file_holds_all():
    formats = {"n": as_number("n")}
    table = Table(name="t", rows=({"n": 1.0}, {"n": 2.0}), formats=formats, shown=({"n": 2.0},))
    assert table.texts == [("2",)]
    assert table.frame["n"].tolist() == [1.0, 2.0]


def test_a_missing_value_is_not_zero_and_not_a_word():
    table = Table(name="t", rows=({"n": None, "t": None}, {"n": 2, "t": "x"}))
    assert pd.isna(table.frame["n"][0])
    assert to_csv(table) == b"n,t\n,\n2,x\n"


def test_tables_and_figures_of_a_document_are_those_of_its_sections_in_order():
    whole = document()
    assert [table.name for table in whole.tables] == ["shown", "file_only"]
    assert [figure.name for figure in whole.figures] == ["curve"]


def test_files_of_a_document_lie_in_their_folders_with_the_page_first(tmp_path):
    paths = write_document(document(), tmp_path, page="page.md", data={"all.json": b"{}"})
    names = [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names[0] == "page.md"
    assert set(names) >= {
        "page.md", "data/all.json", "tables/shown.csv", "tables/file_only.csv", "latex/shown.tex",
        "figures/curve.png", "figures/curve.pdf",
    }  # fmt: skip
    page = (tmp_path / "page.md").read_text("utf-8")
    for name in names[1:]:
        if not name.endswith(".pdf"):
            assert f"- `{name}`" in page
    assert page.startswith(render_markdown(document()).partition("## Files")[0].rstrip())


def test_the_page_latex_and_csv_on_disk_hold_the_same_numbers(tmp_path):
    write_document(document(), tmp_path, page="page.md")
    assert "| a | 0.123 |" in (tmp_path / "page.md").read_text("utf-8")
    assert "a & $0.123$" in (tmp_path / "latex" / "shown.tex").read_text("utf-8")
    first, second = csv.DictReader((tmp_path / "tables" / "shown.csv").read_text("utf-8").splitlines())
    assert (float(first["loss"]), second["loss"]) == (0.12345, "")


def test_a_document_is_written_over_an_older_one(tmp_path):
    write_document(document(), tmp_path, page="page.md")
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_document(document(), tmp_path, page="page.md")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == first


def test_the_face_names_what_it_has_and_no_more():
    import mlproject.report as face

    assert all(hasattr(face, name) for name in face.__all__)
    with pytest.raises(AttributeError, match=r"^module 'mlproject.report' has no attribute 'render_word'$"):
        _ = face.render_word
