"""Reports: studies, CSV files of points and region runs as documents, rendered for terminals and files.

    values -> Document (sections of paragraphs, tables and figures) -> terminal, Markdown, LaTeX, CSV, figures

Nothing here computes: every number comes with the value that is reported. pandas, matplotlib and seaborn are
imported when a table is written or a figure is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.files import write_atomic
from mlproject.report.document import Document, Figure, Format, Section, Table

if TYPE_CHECKING:
    from mlproject.analysis import Study
    from mlproject.report.csv_report import csv_document, csv_json
    from mlproject.report.figures import RC
    from mlproject.report.figures.curves import scaling_figure
    from mlproject.report.figures.runs import TrialColumns, draw_histogram, draw_trials
    from mlproject.report.iterations_report import iterations_document
    from mlproject.report.regions import (
        DOUBTFUL_BELOW,
        N_SHEET,
        TILE,
        caption,
        coco_json,
        contact_sheet,
        overlay,
        png,
        region_document,
        region_summary,
    )
    from mlproject.report.renderers import to_csv, to_json
    from mlproject.report.renderers.markdown import render_markdown
    from mlproject.report.renderers.terminal import render_terminal, terminal_text
    from mlproject.report.study_report import study_document, study_json

_HOMES = {
    "csv_report": ("csv_document", "csv_json"),
    "figures": ("RC",),
    "figures.curves": ("scaling_figure",),
    "figures.runs": ("TrialColumns", "draw_histogram", "draw_trials"),
    "iterations_report": ("iterations_document",),
    "regions": (
        "DOUBTFUL_BELOW",
        "N_SHEET",
        "TILE",
        "caption",
        "coco_json",
        "contact_sheet",
        "overlay",
        "png",
        "region_document",
        "region_summary",
    ),
    "renderers": ("to_csv", "to_json"),
    "renderers.markdown": ("render_markdown",),
    "renderers.terminal": ("render_terminal", "terminal_text"),
    "study_report": ("study_document", "study_json"),
}
"""Modules by the names of the face that are imported from them on first use."""

BRIEF = "exponents.txt"
"""The file of a report that holds what a terminal shows."""

__all__ = [
    "BRIEF",
    "DOUBTFUL_BELOW",
    "N_SHEET",
    "RC",
    "TILE",
    "Document",
    "Figure",
    "Format",
    "Section",
    "Table",
    "TrialColumns",
    "caption",
    "coco_json",
    "contact_sheet",
    "csv_document",
    "csv_json",
    "draw_histogram",
    "draw_trials",
    "iterations_document",
    "overlay",
    "png",
    "region_document",
    "region_summary",
    "render_markdown",
    "render_terminal",
    "scaling_figure",
    "study_document",
    "study_json",
    "terminal_text",
    "to_csv",
    "to_json",
    "write_document",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write the report of a study into a folder; returns the paths, ``summary.md`` first.

    On top lie a page (``ledger.md`` too, where networks were trained whole) and the text for a terminal;
    below, ``figures/`` as PNG and PDF, ``tables/`` as CSV, ``latex/``, and ``data/`` with points and fits.
    """
    from mlproject.report.iterations_report import iterations_document
    from mlproject.report.renderers import to_csv, to_json
    from mlproject.report.renderers.terminal import terminal_text
    from mlproject.report.study_report import study_document, study_json
    from mlproject.report.study_tables import points_table

    data = {"points.csv": to_csv(points_table(study)), "fits.json": to_json(study_json(study))}
    document = study_document(study)
    paths = write_document(document, folder, page="summary.md", data=data)
    write_atomic(folder / BRIEF, terminal_text(document).encode())
    if study.iterations is not None:
        paths += write_document(iterations_document(study.iterations), folder, page="ledger.md")
    return paths


def write_document(
    document: Document, folder: Path, *, page: str, data: Mapping[str, bytes] | None = None
) -> list[Path]:
    """Write a document as a page with tables, figures and further data; returns the paths, the page first."""
    from mlproject.report.renderers.markdown import render_markdown

    contents = {f"data/{name}": content for name, content in (data or {}).items()} | _tables(document)
    contents = {page: render_markdown(document, sorted(contents)).encode(), **contents, **_pictures(document)}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, content)
    return [folder / name for name in contents]


def _tables(document: Document) -> dict[str, bytes]:
    """Tables with rows as CSV, those that pages show as LaTeX, and wide ones in full."""
    from mlproject.report.renderers import to_csv
    from mlproject.report.renderers.latex import render_latex

    contents = {}
    for table in document.tables:
        if table.rows:
            contents[f"tables/{table.name}.csv"] = to_csv(table)
        if table.formats and table.rows:
            contents[f"latex/{table.name}.tex"] = render_latex(table).encode()
        if table.narrow is not None:
            contents[f"latex/{table.name}-full.tex"] = render_latex(table, full=True).encode()
    return contents


def _pictures(document: Document) -> dict[str, bytes]:
    """Every figure as PNG and PDF, with its data as CSV beside it."""
    import matplotlib

    from mlproject.report.figures import RC, encode
    from mlproject.report.renderers import to_csv

    contents = {}
    with matplotlib.rc_context(RC):
        for figure in document.figures:
            drawn = figure.draw()
            if figure.data is not None:
                contents[f"figures/{figure.name}.csv"] = to_csv(figure.data)
            for kind in ("png", "pdf"):
                contents[f"figures/{figure.name}.{kind}"] = encode(drawn, kind, figure.about)
    return contents
