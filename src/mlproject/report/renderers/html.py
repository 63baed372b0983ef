"""A document as one HTML file that needs nothing else: text, tables, figures and data lie inside.

It opens from a disk, without a network, and in the artifact viewer of MLflow, whose frame allows scripts and
nothing more (no storage, no downloads, no new windows). The page forbids itself everything from elsewhere by
a content security policy that lists the digests of its scripts, so that no text can become a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mlproject.report.document import Document, Figure, Format, Gallery, Interactive, Row, Section, Table
from mlproject.report.renderers import plain, to_csv

HERE = Path(__file__).parent
LARGEST_CSV = 300_000
"""Bytes of a table that is put into the page; a larger one is named, and lies beside it."""
FOLDED_ROWS = 24
"""Rows from which a table is closed until it is asked for."""
BAR_MARGIN = 0.06
POWER = re.compile(r"\b([A-Zx])\^-([αβγ])")


def render_html(
    document: Document,
    *,
    pictures: Mapping[str, bytes] | None = None,
    data: Mapping[str, bytes] | None = None,
) -> str:
    """The whole page. ``pictures`` are WebP files by the name of a figure, ``data`` more files to offer."""
    views = {f.name: f.interactive() for f in document.figures if f.interactive is not None}
    files = {f"{table.name}.csv": to_csv(table) for table in document.tables if table.rows} | dict(data or {})
    blocks = _blocks(document, views, files)
    scripts = [(HERE / "page.js").read_text("utf-8")]
    if any(name.startswith("figure-") for name in blocks):
        scripts = [*_bokeh(), *scripts]
    page: str = _template().render(
        document=document,
        sections=_sections(document, views, pictures or {}),
        downloads=list(_downloads(document, files)),
        blocks=[(name, _script_json(content)) for name, content in blocks.items()],
        scripts=[_safe(script) for script in scripts],
        policy=_policy(scripts),
        style=_safe((HERE / "page.css").read_text("utf-8")),
    )
    return page


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"plain": plain, "formula": _formula}
    return environment.get_template("page.jinja")


def _formula(text: str) -> Any:
    """Escaped text on one line, powers of scales raised."""
    from markupsafe import Markup, escape

    return Markup(POWER.sub(r"\1<sup>−\2</sup>", str(escape(plain(text)))))


def _safe(text: str) -> Any:
    """Text of ours as it is. Raises: ValueError where it would end its element."""
    from markupsafe import Markup

    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError("a script or style of the page ends its own element")
    return Markup(text)


def _script_json(content: Any) -> Any:
    """JSON in an element that no browser runs; no text in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


@cache
def _bokeh() -> tuple[str, ...]:
    from bokeh.resources import Resources

    return tuple(Resources(mode="inline", components=["bokeh"], log_level="error").js_raw)


def _policy(scripts: Sequence[str]) -> str:
    """Nothing is loaded or sent; scripts are those with these digests, pictures lie in the page."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    sources = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _blocks(
    document: Document, views: Mapping[str, Interactive], files: Mapping[str, bytes]
) -> dict[str, Any]:
    """What the script of the page reads, by the id of its element."""
    blocks: dict[str, Any] = {f"figure-{name}": _item(view) for name, view in views.items()}
    for gallery in document.galleries:
        blocks[f"gallery-{gallery.name}"] = {**gallery.content, "pictures": _pictures(gallery)}
        blocks[f"figure-{gallery.name}-scatter"] = _item(gallery.scatter())
        blocks[f"figure-{gallery.name}-trend"] = _item(gallery.trend())
    small = {n: content for n, content in files.items() if len(content) <= LARGEST_CSV and "/" not in n}
    return blocks | {"files": {name: content.decode("utf-8") for name, content in small.items()}}


def _item(figure: Interactive) -> Any:
    from bokeh.embed import json_item

    return json_item(figure.model)


def _pictures(gallery: Gallery) -> list[str | None]:
    """WebP files in the order of the images, as base64."""
    files = (gallery.pictures.get(image) for image in gallery.content["ids"])
    return [None if file is None else base64.b64encode(file).decode() for file in files]


def _sections(
    document: Document, views: Mapping[str, Interactive], pictures: Mapping[str, bytes]
) -> list[dict[str, Any]]:
    """The sections that have anything to show."""
    return [
        {
            "id": f"section-{i}",
            "title": section.title,
            "paragraphs": section.paragraphs,
            "bullets": section.bullets,
            "terms": section.terms,
            "figures": [_figure(figure, views, pictures) for figure in section.figures],
            "tables": [_table(table) for table in _shown(section)],
            "gallery": section.gallery,
        }
        for i, section in enumerate(document.sections, start=1)
        if section.paragraphs or section.bullets or section.terms or section.figures or section.gallery
        or _shown(section)
    ]  # fmt: skip


def _shown(section: Section) -> list[Table]:
    return [table for table in section.tables if table.formats and table.texts]


def _figure(
    figure: Figure, views: Mapping[str, Interactive], pictures: Mapping[str, bytes]
) -> dict[str, Any]:
    picture, view = pictures.get(figure.name), views.get(figure.name)
    return {
        "name": figure.name,
        "caption": figure.caption,
        "picture": "" if picture is None else "data:image/webp;base64," + base64.b64encode(picture).decode(),
        "interactive": view is not None,
        "height": 0 if view is None else view.model.height,
        "live_caption": "" if view is None else view.caption,
        "switches": {} if view is None else view.switches,
    }


def _table(table: Table) -> dict[str, Any]:
    rows = table.rows if table.shown is None else table.shown
    ranges = {column.bar: _range(rows, column.bar) for column in table.formats.values() if column.bar}
    return {
        "name": table.name,
        "caption": table.caption.strip().split("\n"),
        "heads": [(head, column.right) for head, column in table.formats.items()],
        "rows": [
            [_cell(row, head, column, ranges) for head, column in table.formats.items()] for row in rows
        ],
        "folded": len(rows) > FOLDED_ROWS,
        "n_rows": len(rows),
    }


def _cell(row: Row, head: str, column: Format, ranges: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    return {
        "head": head,
        "text": column.write(row),
        "right": column.right,
        "wrap": column.wrap,
        "link": _address(column.link(row)) if column.link is not None else "",
        "bar": _bar(row, column.bar, *ranges[column.bar]) if column.bar else None,
    }


def _address(link: str) -> str:
    """A link that leads to a page, and runs nothing."""
    return link if link.startswith(("http://", "https://")) else ""


def _range(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """The ends of all finite limits of an estimate, with 0, so that lengths can be compared."""
    ends = [float(v) for row in rows for v in _limits(row, name) if v is not None and math.isfinite(v)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = BAR_MARGIN * (high - low) or 1.0
    return low - margin * (low < 0), high + margin


def _limits(row: Row, name: str) -> tuple[Any, Any, Any]:
    return row.get(name), row.get(f"{name}_low"), row.get(f"{name}_high")


def _bar(row: Row, name: str, low: float, high: float) -> dict[str, float] | None:
    """Where an interval and its value lie, in percent of the column; None without limits."""
    value, first, last = _limits(row, name)
    if first is None or last is None or math.isnan(first) or math.isnan(last):
        return None
    places = {"low": max(first, low), "high": min(last, high), "zero": 0.0}
    if value is not None and math.isfinite(value):
        places["value"] = value
    return {place: round(100 * (at - low) / (high - low), 2) for place, at in places.items()}


def _downloads(document: Document, files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """Files that are no part of another, rows and columns of tables, and whether each lies in the page."""
    tables = {f"{table.name}.csv": table for table in document.tables}
    for name, content in files.items():
        if "/" not in name:
            table = tables.get(name)
            yield {
                "name": name,
                "rows": None if table is None else len(table.rows),
                "columns": () if table is None else table.header,
                "inside": len(content) <= LARGEST_CSV,
            }
