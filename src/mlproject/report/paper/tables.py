"""Tables of a paper: exponents for a column and for a page, joint laws, arms; a name stands once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mlproject.analysis import Curve, Grid, Study
from mlproject.report.comparison_sections import arms_table, brief_arm_formats
from mlproject.report.document import Format, Row, Table
from mlproject.report.formats import (
    as_count,
    as_fixed,
    as_interval,
    as_number,
    as_text,
    ends,
    family_words,
    sentence,
)
from mlproject.report.grid_sections import grids_section
from mlproject.report.paper.latex import fill, prose, tex
from mlproject.report.paper.numbers import readable
from mlproject.report.renderers.latex import NUMBER, latex_cell
from mlproject.report.study_tables import exponents_table
from mlproject.scaling import LAWS, UNIDENTIFIABLE, scale_text

LAW = "power"
"""The law of the table for a column: one law for all rows, so that rows compare."""
LONGEST = 34
"""Rows of one floating table: more do not fit a page."""
FORMULAS = {law.formula for law in LAWS.values()}
COLUMN_NAME, PAGE_NAME = r"\columnwidth", r"\textwidth"


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table for LaTeX: rows with a ``heading`` to stand above the first row of each, and its caption.

    ``wide`` spans both columns. Where there are no rows, ``absent`` says why.
    """

    name: str
    formats: Mapping[str, Format]
    rows: Sequence[Row]
    caption: str
    wide: bool = False
    absent: str = ""

    @property
    def tex(self) -> str:
        """The table as LaTeX, in floating parts of ``LONGEST`` rows."""
        if not self.rows:
            return f"% No table of {self.name}.\n\\par\\noindent {prose(self.absent)}\\par\n"
        texts = [[column.write(row) for column in self.formats.values()] for row in self.rows]
        columns = "".join(map(_alignment, zip(*texts, strict=True), self.formats.values()))
        headings = [str(row.get("heading") or "") for row in self.rows]
        return fill(
            "table.tex.jinja",
            environment="table*" if self.wide else "table",
            width=PAGE_NAME if self.wide else COLUMN_NAME,
            columns=columns if "X" in columns else "X" + columns[1:],
            heads=[tex(head) for head in self.formats],
            parts=[
                self._part(i, texts[first:end], headings[first:end])
                for i, (first, end) in enumerate(pairwise(_cuts([row[0] for row in texts])))
            ],
        )

    def _part(self, i: int, rows: list[list[str]], above: list[str]) -> dict[str, Any]:
        shown = [
            {"heading": tex(head) if head and (j == 0 or head != above[j - 1]) else "", "cells": list(cells)}
            for j, (head, cells) in enumerate(zip(above, _without_repeats(rows), strict=True))
        ]
        caption = rf"\CaptionTable{readable(self.name)}" + ("{} (Continued.)" if i else "")
        return {"caption": caption, "label": f"tab:{self.name}" + (f":{i + 1}" if i else ""), "rows": shown}


def _cuts(names: Sequence[str]) -> list[int]:
    """Where a long table is cut: before a row with another name, where that leaves a part some rows."""
    cuts = [0]
    while cuts[-1] + LONGEST < len(names):
        last = cuts[-1] + LONGEST
        between = (i for i in range(last, cuts[-1] + LONGEST // 2, -1) if names[i] != names[i - 1])
        cuts.append(next(between, last))
    return [*cuts, len(names)]


def _without_repeats(rows: list[list[str]]) -> Iterator[list[str]]:
    """Cells as LaTeX; a first cell that repeats the one above stays empty."""
    for i, row in enumerate(rows):
        first = "" if i and rows[i - 1][0] == row[0] else _cell(row[0])
        yield [first, *map(_cell, row[1:])]


def _cell(text: str) -> str:
    if text in FORMULAS:
        return f"${formula(text)}$"
    made = latex_cell(text)
    return made if made.startswith("$") and NUMBER.fullmatch(text) else prose(text)


def formula(text: str) -> str:
    """The formula of a law as mathematics."""
    raised = re.sub(r"\^(-?\([^()]*\)|-?\w+)", r"^{\1}", text)
    letters = re.sub(r"\b(alpha|beta|gamma|delta)(?=[\d_]|\b)", r"\\\1", raised)
    return re.sub(r"(?<=[A-Za-z])(\d)", r"_\1", letters)


def _alignment(texts: Iterable[str], column: Format) -> str:
    """Numbers to the right; words wrap where their column may, and are ragged."""
    if column.right or all(NUMBER.fullmatch(text) or len(text) < 2 for text in texts):
        return "r"
    return r">{\raggedright\arraybackslash}X" if column.wrap else "l"


def short_names(items: Iterable[Curve | Grid]) -> dict[str, str]:
    """Names of curves or grids by their labels: the words that not all of them share."""
    labels = {item.label: item.series for item in items}
    parts = {label: label.split(" · ") for label in labels}
    common = set.intersection(*map(set, parts.values())) if parts else set()
    names = {
        label: " · ".join(word for word in words if word not in common) or labels[label]
        for label, words in parts.items()
    }
    return names if len(set(names.values())) == len(names) else {label: label for label in labels}


def exponents_for_column(study: Study) -> PaperTable:
    """The exponent of one law and the loss at the largest scale of every curve to which it was fitted."""
    rows = [row for key in _axes(study) for row in _column_rows(key)]
    formats = {"": as_text("name"), "α": as_interval("alpha"), "loss, largest scale": as_interval("loss")}
    return PaperTable(
        name="exponents", formats=formats, rows=rows, absent=_no_law(study),
        caption="Exponents α of the law k x^-α fitted to the mean loss, and the mean loss at the largest "
        f"scale, with 95 % intervals.{_shared(study)}",
    )  # fmt: skip


def _axes(study: Study) -> list[list[Curve]]:
    axes = dict.fromkeys(curve.axis.name for curve in study.curves)
    return [[curve for curve in study.curves if curve.axis.name == name] for name in axes]


def _column_rows(curves: Sequence[Curve]) -> Iterator[Row]:
    names = short_names(curves)
    for curve in curves:
        law = curve.law("mean", LAW)
        if law is None or law.fit is None or (curve.axis.symbol == "N" and law.verdict == UNIDENTIFIABLE):
            continue
        span = f"{scale_text(float(curve.x[0]))} to {scale_text(float(curve.x[-1]))}"
        alpha = law.parameters["alpha"]
        yield {
            "heading": f"x: {curve.axis.name} {curve.axis.symbol}, {span}",
            "name": names[curve.label],
            **ends("alpha", alpha, identified=alpha.identified),
            **ends("loss", curve.points[-1].losses["mean"]),
        }


def _shared(study: Study) -> str:
    return f" All rows: {family_words(study.shared_family)}." if study.shared_family else ""


def _no_law(study: Study) -> str:
    reasons = dict.fromkeys(curve.refusal for curve in study.curves if curve.refusal)
    why = " ".join(sentence(reason) for reason in reasons) or "No group has two scales."
    return f"No exponent is reported. {why}"


def exponents_for_page(study: Study) -> PaperTable:
    """Both laws and both statistics of every curve."""
    names: dict[tuple[str, str], str] = {}
    for curves in _axes(study):
        short = short_names(curves)
        names |= {(curve.axis.name, curve.label): short[curve.label] for curve in curves}
    rows = [
        {**row, "name": names[row["axis"], row["group"]], "heading": f"x: {row['scale']}"}
        for row in exponents_table(study).rows
        if row["fitted"]
    ]
    formats = {"": as_text("name"), "loss": as_text("statistic", wrap=False)}
    formats |= {"law": as_text("formula", wrap=False), "α": as_interval("alpha"), "E": as_interval("E")}
    formats |= {"verdict": as_text("verdict", wrap=False), "scales": as_count("n_scales")}
    formats |= {"seeds": as_text("n_seeds", wrap=False), "images": as_count("n_images")}
    return PaperTable(
        name="exponents-full", formats=formats, rows=rows, wide=True, absent=_no_law(study),
        caption="Exponents α and irreducible losses E under both laws, of the mean and the median loss, with "
        f"95 % intervals; a parameter that is not identified has limits alone.{_shared(study)}",
    )  # fmt: skip


def joint_laws(study: Study) -> PaperTable | None:
    """The joint laws of model size and images by weight; None where none was fitted."""
    if not any(grid.has_laws for grid in study.grids):
        return None
    table = next(table for table in grids_section(study.grids).tables if table.name == "joint_laws")
    names = short_names(study.grids)
    rows = [
        {**row, "heading": names[row["group"]] if len(names) > 1 else "", "form": LAWS[row["law"]].formula}
        for row in table.shown or ()
        if row.get("law")
    ]
    formats = {"law": as_text("law", wrap=False), "L(N, D)": as_text("form"), "weight": as_fixed("weight")}
    formats |= {"rank in": as_count("rank_in_sample"), "out": as_count("rank_out_of_sample")}
    formats |= {"α of N": as_interval("alpha"), "β of D": as_interval("beta"), "E": as_interval("E")}
    caption = (
        "Joint laws of model size N and training images D by their weight, with 95 % intervals. Ranks are by "
        "residuals inside the data and by predictions of the next larger scales; 1 is the best."
    )
    return PaperTable(name="joint", formats=formats, rows=rows, caption=caption, wide=True)


def arms(study: Study) -> PaperTable | None:
    """Arms beside their baseline; None in a study without arms."""
    if not study.ablation.tables:
        return None
    table: Table = arms_table(study.ablation)
    rows = [{**row, "heading": row["group"]} for row in table.rows]
    formats = {"arm": as_text("arm"), "seeds": as_count("n_seeds"), "loss": as_interval("loss_evaluation")}
    formats |= brief_arm_formats() | {"p (Holm)": as_number("loss_difference_p_holm")}
    caption = (
        "Arms against their baseline: loss on the evaluation images, differences with 95 % intervals, and "
        "the verdict after Holm's correction."
    )
    return PaperTable(name="arms", formats=formats, rows=rows, caption=caption, wide=True)


def paper_tables(study: Study) -> list[PaperTable]:
    """The tables of a study, in the order in which a paper shows them."""
    makers: tuple[Callable[[Study], PaperTable | None], ...] = (
        exponents_for_column, exponents_for_page, joint_laws, arms,
    )  # fmt: skip
    return [table for make in makers if (table := make(study)) is not None]
