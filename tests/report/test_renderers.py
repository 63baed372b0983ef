"""Renderers: one document as Markdown, LaTeX, terminal text, CSV and JSON, and no name that breaks any."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.files import unescape_formula
from mlproject.report import (
    Answer,
    Document,
    Figure,
    Section,
    Table,
    render_markdown,
    terminal_text,
    to_csv,
    to_json,
)
from mlproject.report.figures import figure_text
from mlproject.report.formats import as_count, as_interval, as_text, ends, number, slug
from mlproject.report.renderers.latex import SPECIAL, escape_latex, latex_cell, render_latex
from mlproject.report.renderers.markdown import escape_markdown
from mlproject.scaling import Estimate, interval_text

ROWS = (
    {"group": "a_1", "alpha": 0.5, "alpha_low": 0.4, "alpha_high": float("inf"), "n": 1234567, "rank": None},
    {"group": "a_1", "alpha": None, "alpha_low": 0.4, "alpha_high": 0.6, "n": 12, "rank": 2},
)


@pytest.fixture
def table():
    formats = {"group": as_text("group"), "α [95 %]": as_interval("alpha"), "images": as_count("n")}
    return Table(name="laws", rows=ROWS, formats=formats, caption="Laws & 95 % intervals")


@pytest.mark.parametrize(
    ("escape", "text", "want"),
    [
        (escape_latex, "a_b & 50%", r"a\_b \& 50\%"),
        (escape_latex, "\\x", r"\textbackslash{}x"),
        (latex_cell, "0.50 [0.40, ∞]", r"$0.50$ $[0.40, \infty]$"),
        (latex_cell, "1,234", "$1{,}234$"),
        (latex_cell, "E + k D^-α", r"$E + k D^{-\alpha}$"),
        (escape_markdown, "a|b <i>", r"a\|b &lt;i\>"),
        (escape_markdown, "0.5 [0.4, 0.6]", "0.5 [0.4, 0.6]"),
        (escape_markdown, "[x](y)", r"\[x\](y)"),
        (figure_text, "$x$", r"\$x\$"),
        (slug, "A · b/c", "a-b-c"),
    ],
)
def test_escapes(escape, text, want):
    assert escape(text) == want


def test_an_estimate_that_is_not_identified_shows_its_limits_alone_everywhere(table):
    document = Document(title="T", answer=Answer(), sections=(Section(title="S", tables=(table,)),))
    for text in (render_markdown(document), terminal_text(document), render_latex(table)):
        assert re.search(r"0\.50\$? \$?\[0\.40, ", text)
        assert len(re.findall(r"0\.50\b", text)) == 1
        assert "[0.40, 0.60]" in text


def test_whole_numbers_stay_whole_where_some_are_missing_and_infinities_are_empty(table):
    first, second = csv.DictReader(io.StringIO(to_csv(table).decode()))
    assert (first["rank"], second["rank"]) == ("", "2")
    assert (first["alpha_high"], second["alpha"]) == ("", "")
    assert first["n"] == "1234567"


def test_json_has_no_number_that_is_not_finite():
    content = to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": None}})
    assert json.loads(content) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_an_empty_table_is_on_no_page(table):
    empty = Table(name="laws", rows=(), formats=table.formats, caption="Nothing")
    document = Document(
        title="T", answer=Answer(result=("Yes.",)), sections=(Section(title="S", tables=(empty,)),)
    )
    assert render_markdown(document) == "# T\n\n## Answer\n\nYes.\n"
    assert terminal_text(document) == "Answer\n  Yes.\n\n"


def test_latex_is_a_floating_table_with_rules_caption_and_label(table):
    text = render_latex(table)
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Laws \& 95 \% intervals}"):
        assert word in text
    assert r"\label{tab:laws}" in text


HOSTILE = st.text(max_size=40) | st.sampled_from(
    [
        "[/bold]",
        "[red]x",
        "a|b",
        "<script>",
        "=cmd()",
        "\x1b]0;title\x07",
        "\u202eexe",
        "$x$",
        r"\input{x}",
        "a\nb",
    ]
)
VALUES = st.floats(min_value=1e-6, max_value=1e6)
CONTROLS = set(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, *range(0x202A, 0x202F)])) - {"\n"}


def document_of(*rows, heads=("group", "α"), caption="Laws"):
    formats = {heads[0]: as_text("group"), heads[1]: as_interval("alpha")}
    table = Table(name="laws", rows=rows, columns=("group", "alpha"), formats=formats, caption=caption)
    return Document(title="T", answer=Answer(), sections=(Section(title="S", tables=(table,)),))


def row_of(group, alpha=0.5, low=0.4, high=0.6):
    return {"group": group, "alpha": alpha, "alpha_low": low, "alpha_high": high}


def table_lines(page):
    return [line for line in page.splitlines() if line.startswith("| ")]


@given(HOSTILE)
def test_a_name_in_markdown_adds_no_cell_no_line_and_no_html(name):
    head, rule, row = table_lines(render_markdown(document_of(row_of(name))))
    cells = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in (head, rule, row)]
    assert cells == [3, 3, 3]
    assert "<" not in row
    assert row.endswith("| 0.50 [0.40, 0.60] |")


@given(HOSTILE)
def test_a_name_in_latex_stays_in_its_cell_and_runs_no_command(name):
    (table,) = document_of(row_of(name)).tables
    text = render_latex(table)
    (line,) = [line for line in text.splitlines() if "[0.40, 0.60]" in line]
    cell = line.removesuffix(r" & $0.50$ $[0.40, 0.60]$ \\")
    assert cell != line
    commands = re.findall(r"\\([a-zA-Z]+)", cell)
    assert set(commands) <= set(re.findall(r"\\([a-zA-Z]+)", "".join(SPECIAL.values())))
    bare = re.sub(r"\\[{}]", "", cell)
    assert bare.count("{") == bare.count("}")


@settings(max_examples=40)
@given(HOSTILE, HOSTILE)
def test_names_and_headings_in_a_terminal_are_words_and_never_markup_or_control(name, heading):
    text = terminal_text(document_of(row_of(name), heads=("group", heading), caption=name), width=400)
    assert not CONTROLS & set(text)
    assert "0.50 [0.40, 0.60]" in text


def test_a_heading_that_looks_like_markup_is_shown_as_it_is():
    text = terminal_text(document_of(row_of("a"), heads=("group", "[/loss]")))
    assert "[/loss]" in text


def test_a_sentence_in_a_terminal_has_no_control_characters():
    document = Document(
        title="T",
        answer=Answer(result=("a\x1b[31mb",)),
        sections=(Section(title="S", bullets=("c\x07d",), paragraphs=("e\x9bf",)),),
    )
    assert terminal_text(document) == "Answer\n  a [31mb\n\ne f\n• c d\n"


def test_a_caption_of_two_lines_keeps_both_in_a_terminal():
    lines = terminal_text(document_of(row_of("a"), caption="First line\nSecond line")).splitlines()
    assert [line.strip() for line in lines[:2]] == ["First line", "Second line"]


@given(st.lists(HOSTILE, min_size=1, max_size=4))
def test_names_in_a_table_come_back_from_its_csv_and_none_begins_a_formula(names):
    (table,) = document_of(*map(row_of, names)).tables
    read = list(csv.DictReader(io.StringIO(to_csv(table).decode(), newline="")))
    assert [unescape_formula(row["group"]) for row in read] == names
    assert not any(row["group"].startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in read)


@settings(max_examples=40)
@given(VALUES, VALUES, VALUES)
def test_markdown_latex_and_terminal_show_the_same_numbers(alpha, low, high):
    document = document_of(row_of("a", alpha, low, high))
    ((_, cell),) = document.tables[0].texts
    assert f"| {cell} |" in render_markdown(document)
    assert latex_cell(cell) in render_latex(document.tables[0])
    assert cell in terminal_text(document)
    assert cell == interval_text(alpha, low, high)


@settings(max_examples=40)
@given(VALUES.filter(lambda value: number(value) not in ("0.4", "0.6")))
def test_the_value_of_an_estimate_that_is_not_identified_is_in_no_renderer(value):
    estimate = Estimate(value=value, low=0.4, high=0.6, identified=False)
    row = {"group": "a", **ends("alpha", estimate, identified=estimate.identified)}
    document = document_of(row)
    (table,) = document.tables
    for text in (render_markdown(document), render_latex(table), terminal_text(document)):
        assert "[0.40, 0.60]" in text
        assert number(value) not in text.split()
        assert f"{number(value)} [" not in text
    (read,) = csv.DictReader(io.StringIO(to_csv(table).decode()))
    assert read["alpha"] == ""


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4),
    max_leaves=12,
)


def same(value, read):
    if isinstance(value, dict):
        return read.keys() == value.keys() and all(same(item, read[name]) for name, item in value.items())
    if isinstance(value, list):
        return len(read) == len(value) and all(map(same, value, read))
    return read is None if isinstance(value, float) and not math.isfinite(value) else read == value


def refuse(name):
    raise AssertionError(f"{name} is no JSON")


@given(JSON)
def test_json_is_strict_and_every_finite_value_comes_back(content):
    assert same(content, json.loads(to_json(content), parse_constant=refuse))


def test_numbers_of_numpy_are_numbers_in_json():
    content = {"a": np.float64(0.5), "b": np.float64("nan"), "c": (np.float64(1.0),)}
    assert json.loads(to_json(content)) == {"a": 0.5, "b": None, "c": [1.0]}


def test_every_section_of_a_page_has_its_parts_in_order_and_an_empty_one_is_left_out():
    (table,) = document_of(row_of("a")).tables
    figure = Figure(name="curve", draw=lambda: None, caption="Loss against images.")
    full = Section(
        title="Full", paragraphs=("Words.",), bullets=("Point.",), tables=(table,), figures=(figure,)
    )
    document = Document(title="T", answer=Answer(result=("Yes.",)), sections=(full, Section(title="Empty")))
    page = render_markdown(document, files=("tables/laws.csv",))
    parts = ["# T", "Yes.", "## Full", "Words.", "- Point.", "Laws", "| group | α |", "## Figures"]
    parts += ["- `figures/curve.png`: Loss against images.", "## Files", "- `tables/laws.csv`"]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "Empty" not in page


def test_a_terminal_shows_the_brief_and_leaves_the_sections_to_the_page():
    document = replace(document_of(row_of("a")), brief=Section(title="", paragraphs=("In short.",)))
    assert terminal_text(document) == "In short.\n"
    assert "0.50 [0.40, 0.60]" in render_markdown(document)


def test_a_first_cell_that_repeats_is_blank_in_a_terminal_and_stays_in_markdown():
    document = document_of(row_of("same"), row_of("same", 0.7))
    assert terminal_text(document).count("same") == 1
    assert render_markdown(document).count("| same |") == 2


def test_text_is_aligned_left_and_numbers_right():
    formats = {"group": as_text("group"), "images": as_count("n")}
    table = Table(name="t", rows=({"group": "a", "n": 1},), formats=formats)
    document = Document(title="T", answer=Answer(), sections=(Section(title="S", tables=(table,)),))
    assert "| --- | --: |" in render_markdown(document)
    assert r"\begin{tabular}{lr}" in render_latex(table)
