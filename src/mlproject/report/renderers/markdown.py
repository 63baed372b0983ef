"""A document as a Markdown page; files that belong to it are listed by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlproject.report.document import Answer, Document, Section, Table
from mlproject.report.renderers import plain

LINK = re.compile(r"^\[.*\]:|\][(\[]")
"""What makes a link of square brackets; without it they are left as they are, since intervals have them."""


def render_markdown(document: Document, files: Sequence[str] = ()) -> str:
    """The whole page; ``files`` are paths of tables and data beside it."""
    parts = [f"# {escape_markdown(document.title)}"]
    for heading, sentences in document.answer.parts:
        parts += [f"## {heading}", *map(escape_markdown, sentences)]
    for section in document.sections:
        parts += _section(section)
    figures = [(f"figures/{figure.name}.png", figure.caption) for figure in document.figures]
    if figures:
        parts.append(
            "## Figures\n\n" + "\n".join(f"- `{path}`: {escape_markdown(text)}" for path, text in figures)
        )
    if files:
        parts.append("## Files\n\n" + "\n".join(f"- `{path}`" for path in files))
    return "\n\n".join(parts) + "\n"


def render_answer(answer: Answer) -> str:
    """The answer alone: the result as one paragraph without a heading, then what goes beside it."""
    (_, result), *further = answer.parts
    parts = [escape_markdown(" ".join(result))]
    for heading, sentences in further:
        parts += [f"**{heading}**", "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)]
    return "\n\n".join(parts)


def escape_markdown(text: str) -> str:
    """Text for a Markdown table or sentence: no markup, no HTML, no new cell."""
    safe = plain(text).replace("&", "&amp;").replace("<", "&lt;")
    marks = r"([\\`*_\[\]|#>~$])" if LINK.search(safe) else r"([\\`*_|#>~$])"
    return re.sub(marks, r"\\\1", safe)


def _section(section: Section) -> Iterator[str]:
    shown = [table for table in section.tables if table.formats and table.texts]
    if not (section.paragraphs or section.bullets or shown):
        return
    yield f"## {escape_markdown(section.title)}"
    yield from map(escape_markdown, section.paragraphs)
    if section.bullets:
        yield "\n".join(f"- {escape_markdown(line)}" for line in section.bullets)
    for table in shown:
        if table.caption:
            yield escape_markdown(table.caption)
        yield _table(table)


def _table(table: Table) -> str:
    aligned = ["--:" if column.right else "---" for column in table.formats.values()]
    rows = [[escape_markdown(head) for head in table.formats], aligned]
    rows += [[escape_markdown(text) for text in row] for row in table.texts]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
