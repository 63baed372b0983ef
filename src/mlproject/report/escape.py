"""Names that come from files and folders, made harmless in CSV, LaTeX and Markdown."""

from __future__ import annotations

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "·": r"\textperiodcentered{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "×": r"$\times$",
    **{c: "\\" + c for c in "&%$#_{}"},
}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def csv_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before ``= + - @``."""
    return "'" + text if text.startswith(FORMULA) else text


def tex(text: str) -> str:
    """Text for a LaTeX table."""
    return "".join(TEX.get(c, c) for c in CONTROL.sub(" ", text))


def markdown(text: str) -> str:
    """Text for a Markdown table or sentence: no markup, no HTML, no new cell."""
    plain = CONTROL.sub(" ", text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#>~$])", r"\\\1", plain)


def figure_text(text: str, longest: int = 48) -> str:
    """Text for a figure: a dollar sign starts no formula there, and no name is longer than its place."""
    plain = CONTROL.sub(" ", text)
    short = plain if len(plain) <= longest else plain[: longest - 1] + "…"
    return short.replace("$", r"\$")


def slug(text: str, longest: int = 80) -> str:
    """Text for a file name: lower case letters, digits, dashes and underscores."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")[:longest].strip("-")
