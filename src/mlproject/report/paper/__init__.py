"""The folder of a paper: LaTeX that compiles as it is, numbers as macros, figures, data, checklist, digests.

    study -> main.tex, numbers.tex, tables, methods.tex, refs.bib, figures/, data/, checklist.md, REPRODUCE.md

The same study gives the same bytes. Nothing here computes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlproject.analysis import Study, data_name
from mlproject.files import sha256, write_atomic
from mlproject.report.checklist import checklist_section
from mlproject.report.document import Answer, Document, Figure
from mlproject.report.iterations_report import iterations_document
from mlproject.report.methods import methods_section
from mlproject.report.methods.bibtex import installed
from mlproject.report.methods.references import keys_in
from mlproject.report.methods.works import REFERENCES
from mlproject.report.paper.data import cells_table, columns_csv, images_parquet
from mlproject.report.paper.latex import fill, prose, tex
from mlproject.report.paper.numbers import (
    Macro,
    Quantity,
    macro_names,
    macros,
    numbers_tex,
    readable,
    study_quantities,
)
from mlproject.report.paper.tables import LAW, PaperTable, paper_tables, short_names
from mlproject.report.renderers import plain, to_csv, to_json
from mlproject.report.renderers.markdown import escape_markdown, render_markdown
from mlproject.report.study_report import study_document

COLUMN, PAGE = 3.3, 6.9
"""Widths of figures, in inches."""
WIDEST_COLUMN = 4.0
"""Inches from which on a figure is drawn for a page alone: its panels have no room in a column."""
CHECKLIST = "li2025"
"""The reference that the worked example cites beside the methods."""
PACKAGES = (
    "mlproject",
    "torch",
    "torchvision",
    "mlflow",
    "optuna",
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "timm",
)
MAIN_FIGURES = ("scaling_training_images_mean", "joint", "arms_", "sweet_spot", "epochs_")
"""Beginnings of the names of figures of which the worked example shows the first, two in all at most."""
MOST_LINES = 24
"""Curves that the results name one by one."""
DESCRIPTIONS = {
    "main.tex": "worked example: two columns, figure, tables, methods, bibliography",
    "numbers.tex": "a macro for every number",
    "exponents.tex": "exponents, one law, for a column",
    "exponents-full.tex": "exponents, both laws, for a page",
    "joint.tex": "joint laws of model size and images",
    "arms.tex": "arms against their baseline",
    "methods.tex": "what was run and how it was analysed",
    "captions.tex": "captions of tables and figures as macros",
    "refs.bib": "what the methods cite",
    "data/images.parquet": "per-image losses, labels and predictions of all runs",
    "data/cells.csv": "one row for each cell: knobs, loss, digests",
    "data/columns.csv": "unit and definition of every column",
    "checklist.md": "the reviewers' checklist for scaling studies, filled in",
    "REPRODUCE.md": "command, versions, digests",
    "MANIFEST.json": "this list",
}


def write_paper(study: Study, folder: Path, *, command: str = "mlproject report latest") -> list[Path]:
    """Write the folder of a paper; returns the paths. ``command`` is what writes it again.

    Files of these names are replaced, and others are left as they are.
    """
    documents = [study_document(study)]
    if study.iterations is not None:
        documents.append(iterations_document(study.iterations))
    figures = [figure for document in documents for figure in document.figures]
    drawn = _drawn(figures)
    tabled = [table for document in documents for table in document.tables]
    tabled += [figure.data for figure in figures if figure.data is not None]
    tables, quantities = paper_tables(study), study_quantities(study, _names(study))
    methods = methods_section(study)
    contents = {
        "main.tex": _main(study, documents[0].answer, figures, drawn, tables, quantities).encode(),
        "numbers.tex": numbers_tex(macros(quantities)).encode(),
        **{f"{table.name}.tex": table.tex.encode() for table in tables},
        "methods.tex": fill("methods.tex.jinja", section=methods).encode(),
        "captions.tex": _captions(tables, figures).encode(),
        "refs.bib": _bibliography(methods.paragraphs).encode(),
        **drawn,
        **{_behind(figure): to_csv(figure.data) for figure in figures if figure.data is not None},
        "data/images.parquet": images_parquet(study),
        "data/cells.csv": to_csv(cells_table(study)),
        "data/columns.csv": columns_csv(study, tabled),
        "checklist.md": _checklist(study).encode(),
        "REPRODUCE.md": _reproduce(study, command).encode(),
    }
    captions = {figure.name: figure.caption for figure in figures}
    contents["MANIFEST.json"] = to_json([_entry(path, contents[path], captions) for path in contents])
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [folder / name for name in contents]


def _names(study: Study) -> dict[str, str]:
    names: dict[str, str] = {}
    for axis in dict.fromkeys(curve.axis.name for curve in study.curves):
        names |= short_names(curve for curve in study.curves if curve.axis.name == axis)
    return names | short_names(study.grids)


def _drawn(figures: Sequence[Figure]) -> dict[str, bytes]:
    """Every figure as PDF: at column width where it has room there, and at page width with ``-wide``."""
    import matplotlib

    from mlproject.report.figures import RC, encode

    contents = {}
    with matplotlib.rc_context(RC):
        for figure in figures:
            for ending, width in (("", COLUMN), ("-wide", PAGE)):
                picture = figure.draw()
                if ending or picture.get_figwidth() <= WIDEST_COLUMN:
                    picture.set_figwidth(width)
                    contents[f"figures/{figure.name}{ending}.pdf"] = encode(picture, "pdf", figure.about)
    return contents


def _main(
    study: Study, answer: Answer, figures: Sequence[Figure], drawn: Mapping[str, bytes],
    tables: Sequence[PaperTable], quantities: Sequence[Quantity],
) -> str:  # fmt: skip
    axes = dict.fromkeys(curve.axis.name for curve in study.curves if curve.fitted_laws("mean"))
    captions = _caption_macros(figures)
    return fill(
        "main.tex.jinja",
        title=f"Loss against {' and '.join(axes)}" if axes else "Per-image losses",
        answer=answer,
        lines=list(_results(study, quantities)),
        figures=[_placed(figure, drawn, captions[figure.name]) for figure in _shown(figures)],
        tables=[table.name for table in tables if table.rows],
        notes=study.notes,
    )


def _shown(figures: Sequence[Figure]) -> list[Figure]:
    firsts = (next((f for f in figures if f.name.startswith(name)), None) for name in MAIN_FIGURES)
    return [figure for figure in firsts if figure is not None][:2] or list(figures[:1])


def _placed(figure: Figure, drawn: Mapping[str, bytes], caption: str) -> dict[str, str]:
    column = f"figures/{figure.name}.pdf" in drawn
    return {
        "environment": "figure" if column else "figure*",
        "width": r"\columnwidth" if column else r"\textwidth",
        "path": f"figures/{figure.name}{'' if column else '-wide'}",
        "caption": caption,
        "name": figure.name,
    }


def _results(study: Study, quantities: Sequence[Quantity]) -> Iterator[str]:
    """What was measured by its macros: a sentence for each curve of one law, and for each arm.

    The abstract's exponents are those at the largest scale over all laws, and so differ.
    """
    macro = {(q.kind, q.words): name for q, name in zip(quantities, macro_names(quantities), strict=True)}
    names = _names(study)
    fitted = [(curve, law) for curve in study.curves for law in curve.fitted_laws("mean") if law.law == LAW]
    for curve, _ in fitted[:MOST_LINES]:
        name = macro["alpha", (LAW, names[curve.label], "over", curve.axis.name)]
        where = f"{tex(names[curve.label])}, against {tex(curve.axis.name)}"
        yield rf"{where}: \mbox{{$\alpha$ = \{name}Interval}} under $k\,x^{{-\alpha}}$ over all scales."
    if not fitted:
        yield "No law was fitted; the methods say why."
    compared = [(table, row) for table in study.ablation.tables for row in table.rows if row.loss_difference]
    for table, row in compared[:MOST_LINES]:
        name = macro["LossDifference", (row.arm, "in", table.label)]
        verdict = row.loss_difference.verdict if row.loss_difference else ""
        where = f"{tex(row.arm)} in {tex(table.label)}"
        yield rf"{where}: loss minus that of the baseline \{name}Interval{{}} ({tex(verdict)})."


def _captions(tables: Sequence[PaperTable], figures: Sequence[Figure]) -> str:
    captions = {f"CaptionTable{readable(table.name)}": table.caption for table in tables}
    named = _caption_macros(figures)
    captions |= {named[figure.name]: figure.caption for figure in figures}
    lines = (rf"\newcommand*{{\{name}}}{{{prose(text)}}}" for name, text in captions.items())
    head = "% Captions of tables and figures, by the name of their file. Written by mlproject, do not edit."
    return "\n".join([head, *lines]) + "\n"


def _caption_macros(figures: Sequence[Figure]) -> dict[str, str]:
    """The macro of each figure's caption, by the figure's name."""
    named = [Quantity(kind="CaptionFigure", words=(f.name,), text="", meaning=f.name) for f in figures]
    return dict(zip((figure.name for figure in figures), macro_names(named), strict=True))


def _bibliography(paragraphs: Sequence[str]) -> str:
    cited = {key for paragraph in paragraphs for key in keys_in(paragraph)} | {CHECKLIST}
    return "\n\n".join(REFERENCES[key].bibtex(key) for key in REFERENCES if key in cited) + "\n"


def _checklist(study: Study) -> str:
    section = checklist_section(study)
    return render_markdown(Document(title=section.title, answer=Answer(), sections=(section,)))


def _reproduce(study: Study, command: str) -> str:
    cells = [run.cell for run in study.runs]
    runs = [(run.cell.key, run.observation.losses_digest, run.run_id) for run in study.runs]
    weights = {
        (cell.model, cell.weights, cell.weights_digest or "none", _file_digest(run.observation.provenance))
        for cell, run in zip(cells, study.runs, strict=True)
    }
    return fill(
        "reproduce.md.jinja",
        command=plain(command).replace("`", ""),
        versions=[(name, installed(name)) for name in PACKAGES],
        recorded=[escape_markdown(line) for line in _recorded(study)],
        images=sorted({(escape_markdown(data_name(cell.data)), cell.data_digest) for cell in cells}),
        weights=[list(map(escape_markdown, row)) for row in sorted(weights)],
        n_runs=len(runs),
        runs_digest=hashlib.sha256("\n".join("\t".join(row) for row in runs).encode()).hexdigest(),
        runs=runs,
    )


def _file_digest(provenance: Mapping[str, str]) -> str:
    """The digest of the file of weights, where they came from a file."""
    digest = provenance.get("weights_sha256", "not recorded")
    return "no file" if digest.startswith(("random", "scratch")) else digest


def _recorded(study: Study) -> Iterator[str]:
    """What the runs recorded of their environment."""
    for name in ("engine", "engine_note", "precision", "device", "threads", "torch", "weights_revision"):
        values = sorted({v for run in study.runs if (v := run.observation.provenance.get(name))})
        if values:
            yield f"{name.replace('_', ' ')} of the runs: {'; '.join(values)}"


def _behind(figure: Figure) -> str:
    """The file of the data of a figure."""
    return f"figures/{figure.name}.csv"


def _entry(path: str, content: bytes, captions: Mapping[str, str]) -> dict[str, Any]:
    name = path.removeprefix("figures/").removesuffix(".csv").removesuffix(".pdf").removesuffix("-wide")
    width = f", {PAGE} in wide" if path.endswith("-wide.pdf") else f", {COLUMN} in wide"
    kind = ": the data that are drawn" if path.endswith(".csv") else width
    description = DESCRIPTIONS.get(path) or f"{captions[name].rstrip('.')}{kind}"
    return {"path": path, "sha256": sha256(content), "bytes": len(content), "description": description}


__all__ = ["Macro", "write_paper"]
