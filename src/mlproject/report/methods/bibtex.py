"""A cited work as a value: its citation in a text, its BibTeX entry, the version of a package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "book": {"author", "title", "publisher", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "year"},
    "techreport": {"author", "title", "institution", "year"},
}
"""The fields that an entry of each type must have."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A work: its citation in a text (``Hestness et al. 2017``) and its BibTeX entry.

    ``package`` names the distribution whose installed version the entry states.
    """

    short: str
    kind: Literal["article", "book", "inproceedings", "misc", "techreport"]
    fields: Mapping[str, str]
    package: str = ""

    def bibtex(self, key: str) -> str:
        """The entry, fields in their order."""
        fields = dict(self.fields)
        if self.package:
            fields["note"] = f"Version {installed(self.package)}"
        lines = (f"  {name} = {{{value}}}," for name, value in fields.items())
        return "\n".join([f"@{self.kind}{{{key},", *lines, "}"])


def arxiv(short: str, author: str, title: str, number: str, **fields: str) -> Reference:
    """A preprint of arXiv; the year ends its citation."""
    year = short[-4:]
    entry = {"author": author, "title": title, "year": year}
    entry |= {"eprint": number, "archiveprefix": "arXiv", "url": f"https://arxiv.org/abs/{number}"}
    return Reference(short=short, kind="misc", fields=entry | fields)


def article(short: str, author: str, title: str, journal: str, **fields: str) -> Reference:
    """An article of a journal."""
    entry = {"author": author, "title": title, "journal": journal, "year": short[-4:]}
    return Reference(short=short, kind="article", fields=entry | fields)


def meeting(short: str, author: str, title: str, booktitle: str, **fields: str) -> Reference:
    """A paper of a conference."""
    entry = {"author": author, "title": title, "booktitle": booktitle, "year": short[-4:]}
    return Reference(short=short, kind="inproceedings", fields=entry | fields)


def book(short: str, author: str, title: str, publisher: str) -> Reference:
    """A book."""
    entry = {"author": author, "title": title, "publisher": publisher, "year": short[-4:]}
    return Reference(short=short, kind="book", fields=entry)


def installed(package: str) -> str:
    """The installed version of a distribution, or ``not installed``."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
