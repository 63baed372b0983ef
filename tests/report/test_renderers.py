"""Renderers: one document as Markdown, LaTeX, terminal text, CSV and JSON, and no name that breaks any."""

import csv
import io
import json

import pytest

from mlproject.report import Document, Section, Table, render_markdown, terminal_text, to_csv, to_json
from mlproject.report.figures import figure_text
from mlproject.report.formats import as_count, as_interval, as_text, slug
from mlproject.report.renderers import csv_cell
from mlproject.report.renderers.latex import escape_latex, latex_cell, render_latex
from mlproject.report.renderers.markdown import escape_markdown

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
        (csv_cell, "=1+1", "'=1+1"),
        (csv_cell, "a=1", "a=1"),
        (escape_latex, "a_b & 50%", r"a\_b \& 50\%"),
        (escape_latex, "\\x", r"\textbackslash{}x"),
        (latex_cell, "0.5 [0.4, ∞]", r"$0.5 [0.4, \infty]$"),
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
    document = Document(title="T", answer=(), sections=(Section(title="S", tables=(table,)),))
    for text in (render_markdown(document), terminal_text(document), render_latex(table)):
        assert "0.5 [0.4, " in text
        assert text.count("0.5 ") == 1
        assert "[0.4, 0.6]" in text


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
    document = Document(title="T", answer=("Yes.",), sections=(Section(title="S", tables=(empty,)),))
    assert render_markdown(document) == "# T\n\nYes.\n"
    assert terminal_text(document) == "• Yes.\n"


def test_latex_is_a_floating_table_with_rules_caption_and_label(table):
    text = render_latex(table)
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{Laws \& 95 \% intervals}"):
        assert word in text
    assert r"\label{tab:laws}" in text
