"""Reports: studies, CSV files of points and region runs as documents, rendered for terminals and files.

    values -> Document (sections of paragraphs, tables and figures) -> terminal, Markdown, HTML, LaTeX, CSV

Nothing here computes: every number comes with the value that is reported. pandas, matplotlib, seaborn and
Bokeh are imported when a table is written or a figure is drawn, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.files import write_atomic
from mlproject.report.document import Answer, Document, Figure, Format, Section, Table

if TYPE_CHECKING:
    from mlproject.analysis import Spending, Study
    from mlproject.report.answer import study_answer
    from mlproject.report.checklist import checklist_section
    from mlproject.report.csv_report import csv_document, csv_json
    from mlproject.report.figures import RC
    from mlproject.report.figures.curves import scaling_figure
    from mlproject.report.figures.runs import TrialColumns, draw_histogram, draw_trials
    from mlproject.report.formats import slug
    from mlproject.report.interactive.gallery import thumbnail
    from mlproject.report.iterations_report import iterations_document
    from mlproject.report.methods import methods_section
    from mlproject.report.page import Surroundings, study_page
    from mlproject.report.pair_report import pair_document, pair_json
    from mlproject.report.paper import write_paper
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
    from mlproject.report.renderers.html import render_html
    from mlproject.report.renderers.markdown import render_answer, render_markdown
    from mlproject.report.renderers.terminal import render_terminal, terminal_text
    from mlproject.report.study_report import study_document, study_json

_HOMES = {
    "answer": ("study_answer",),
    "checklist": ("checklist_section",),
    "csv_report": ("csv_document", "csv_json"),
    "figures": ("RC",),
    "figures.curves": ("scaling_figure",),
    "figures.runs": ("TrialColumns", "draw_histogram", "draw_trials"),
    "formats": ("slug",),
    "iterations_report": ("iterations_document",),
    "pair_report": ("pair_document", "pair_json"),
    "methods": ("methods_section",),
    "paper": ("write_paper",),
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
    "renderers.markdown": ("render_answer", "render_markdown"),
    "renderers.terminal": ("render_terminal", "terminal_text"),
    "interactive.gallery": ("thumbnail",),
    "renderers.html": ("render_html",),
    "page": ("Surroundings", "study_page"),
    "study_report": ("study_document", "study_json"),
}
"""Modules by the names of the face that are imported from them on first use."""

BRIEF = "exponents.txt"
"""The file of a report that holds what a terminal shows."""

PAGE = "report.html"
"""The file of a report for a browser."""

__all__ = [
    "BRIEF",
    "DOUBTFUL_BELOW",
    "N_SHEET",
    "PAGE",
    "RC",
    "TILE",
    "Answer",
    "Document",
    "Figure",
    "Format",
    "Section",
    "Surroundings",
    "Table",
    "TrialColumns",
    "caption",
    "checklist_section",
    "coco_json",
    "contact_sheet",
    "csv_document",
    "csv_json",
    "draw_histogram",
    "draw_trials",
    "iterations_document",
    "methods_section",
    "overlay",
    "pair_document",
    "pair_json",
    "png",
    "region_document",
    "region_summary",
    "render_answer",
    "render_html",
    "render_markdown",
    "render_terminal",
    "scaling_figure",
    "slug",
    "study_answer",
    "study_document",
    "study_json",
    "study_page",
    "terminal_text",
    "thumbnail",
    "to_csv",
    "to_json",
    "write_document",
    "write_paper",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def write_report(
    study: Study, folder: Path, around: Surroundings | None = None, spending: Spending | None = None
) -> list[Path]:
    """Write the report of a study into a folder; returns the paths, ``summary.md`` first.

    On top lie ``report.html`` for a browser, ``summary.md`` (``ledger.md`` too, where networks were trained
    whole) and the text for a terminal. Below lie ``figures/`` as PNG and PDF, ``tables/`` as CSV, ``latex/``,
    and ``data/`` with points and fits.
    """
    from mlproject.report.iterations_report import iterations_document
    from mlproject.report.page import NOWHERE, page_tables, still, study_page
    from mlproject.report.renderers import to_csv, to_json
    from mlproject.report.renderers.html import render_html
    from mlproject.report.renderers.terminal import terminal_text
    from mlproject.report.study_report import study_document, study_json
    from mlproject.report.study_tables import points_table

    data = {"points.csv": to_csv(points_table(study)), "fits.json": to_json(study_json(study))}
    document = study_document(study, spending)
    paths = write_document(document, folder, page="summary.md", data=data)
    write_atomic(folder / BRIEF, terminal_text(document).encode())
    further: tuple[Section, ...] = ()
    if study.iterations is not None:
        ledger = iterations_document(study.iterations)
        paths += write_document(ledger, folder, page="ledger.md")
        further = ledger.sections
    page = study_page(study, document, around or NOWHERE, further)
    pictures = {f.name: still(folder / "figures" / f"{f.name}.png") for f in page.figures}
    contents = {f"tables/{table.name}.csv": to_csv(table) for table in page_tables(page, document)}
    contents[PAGE] = render_html(page, pictures=pictures, data=data).encode()
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [*paths, *(folder / name for name in contents)]


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
