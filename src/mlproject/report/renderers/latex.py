"""Tables as LaTeX that a paper can input: a floating table with booktabs rules, a caption and a label."""

from __future__ import annotations

import re

from mlproject.report.document import Table
from mlproject.report.renderers import plain

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "·": r"\textperiodcentered{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    "–": "--",
    "…": r"\ldots{}",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    **{character: "\\" + character for character in "&%$#_{}"},
}
_PLAIN = r"[-+]?(?:[0-9][0-9.,]*(?:e[-+]?[0-9]+)?|∞)"
NUMBER = re.compile(rf"(?:(?P<value>{_PLAIN}) ?)?(?P<limits>\[{_PLAIN}, {_PLAIN}\])?")
"""A number, an interval, or limits alone."""
POWER = re.compile(r"([0-9.]+)e([-+]?)0*([0-9]+)")
FORMULA = re.compile(r"(?:α, )?(?:E \+ )?k \w\^-α")
SIZE = "\\footnotesize\n\\setlength{\\tabcolsep}{3pt}\n"
"""Small print with narrow gaps: tables of intervals are wide."""
HEAD = "% Needs \\usepackage{booktabs}.\n"


def render_latex(table: Table, *, full: bool = False) -> str:
    """The rows that pages show, by pandas' Styler.

    A table with a ``narrow`` form is set in it, for one column of a paper; ``full`` gives all columns, across
    both columns (``table*``).
    """
    import pandas as pd

    label = f"tab:{table.name}{'-full' if full else ''}"
    if table.narrow is not None and not full:
        table = table.narrow
    frame = pd.DataFrame(table.texts, columns=list(table.formats), dtype=object)
    styler = frame.style.hide(axis="index").format(latex_cell).format_index(latex_cell, axis=1)
    text: str = styler.to_latex(
        column_format="".join("r" if column.right else "l" for column in table.formats.values()),
        hrules=True,
        position_float="centering",
        caption=escape_latex(table.caption) or None,
        label=label,
        environment="table*" if full else "table",
    )
    return HEAD + text.replace("\\centering\n", "\\centering\n" + SIZE)


def escape_latex(text: str) -> str:
    """Text for LaTeX."""
    return "".join(SPECIAL.get(character, character) for character in plain(text))


def latex_cell(text: str) -> str:
    """A cell: numbers, intervals and formulas in mathematics, all else as text."""
    if FORMULA.fullmatch(text):
        return "$" + text.replace("^-α", r"^{-\alpha}").replace("α,", r"\alpha,\ ") + "$"
    match = NUMBER.fullmatch(text)
    if text and match:
        # Apart, as mathematics would drop the space between them.
        return " ".join(f"${_mathematics(part)}$" for part in match.groups() if part)
    return escape_latex(text)


def _mathematics(number: str) -> str:
    thousands = re.sub(r"(?<=\d),(?=\d)", "{,}", number).replace("∞", r"\infty")
    return POWER.sub(lambda m: rf"{m[1]} \times 10^{{{m[2].strip('+')}{m[3]}}}", thousands)
