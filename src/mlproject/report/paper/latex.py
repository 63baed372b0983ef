"""Text as LaTeX: prose with citations and formulas, characters that pdflatex knows, templates."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from mlproject.report.methods.references import CITATION, cited_keys
from mlproject.report.renderers.latex import escape_latex

if TYPE_CHECKING:
    import jinja2

SYMBOLS = {
    "≤": r"\ensuremath{\leq}", "≥": r"\ensuremath{\geq}", "²": r"\ensuremath{^2}", "³": r"\ensuremath{^3}",
    "µ": r"\ensuremath{\mu}", "μ": r"\ensuremath{\mu}", "σ": r"\ensuremath{\sigma}", "∗": r"\ensuremath{*}",
    "−": r"\ensuremath{-}", "→": r"\ensuremath{\rightarrow}", "∞": r"\ensuremath{\infty}", "—": "---",
    "“": "``", "”": "''", "’": "'", "‘": "`", "♦": r"\ensuremath{\diamond}",
}  # fmt: skip
"""Characters that text may hold and ``escape_latex`` leaves."""
TYPESET = range(0xC0, 0x180)
"""Letters that pdflatex sets with T1 fonts: Latin with accents."""
FORMULA = re.compile(r"(?<![\w$])(?:(?:L = )?(?:E \+ )?k )?(\w)\^-α")


def portable(text: str) -> str:
    """LaTeX in which pdflatex knows every character; a foreign one as near Latin letters, or its code."""
    return "".join(character if character.isascii() else _known(character) for character in text)


def _known(character: str) -> str:
    if character in SYMBOLS:
        return SYMBOLS[character]
    if ord(character) in TYPESET and character.isalpha():
        return character
    near = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return near if near.isalnum() else rf"\mbox{{U+{ord(character):04X}}}"


def tex(text: str) -> str:
    """Plain text as LaTeX, with places where long names may be broken."""
    return re.sub(r"(\\_|/|=)(?=\w)", r"\1\\allowbreak{}", portable(escape_latex(text)))


def prose(text: str) -> str:
    """Sentences as LaTeX: brackets that cite become citations, formulas mathematics."""
    parts, end = [], 0
    for match in CITATION.finditer(text):
        if keys := cited_keys(match[1]):
            parts += [_sentences(text[end : match.start()]), rf"~\citep{{{','.join(keys)}}}"]
            end = match.end()
    return "".join([*parts, _sentences(text[end:])])


def _sentences(text: str) -> str:
    parts, end = [], 0
    for match in FORMULA.finditer(text):
        parts += [
            tex(text[end : match.start()]),
            f"${match[0].replace('^-α', r'^{-α}')}$".replace("α", r"\alpha"),
        ]
        end = match.end()
    return "".join([*parts, tex(text[end:])]).replace(r" \%", r"\,\%")


@functools.cache
def templates() -> jinja2.Environment:
    """The templates, with delimiters that LaTeX does not use: ``<< value >>`` and ``<% block %>``."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("mlproject.report.paper"), undefined=jinja2.StrictUndefined,
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
        comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    made.filters |= {"tex": tex, "prose": prose}
    return made


def fill(template: str, **values: object) -> str:
    """A template with its values."""
    return templates().get_template(template).render(**values)
