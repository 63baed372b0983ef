"""Citations in texts: ``(Hestness et al. 2017; Rubin 1981)``, found again by their words.

Text is plain, so a renderer for LaTeX finds the entries of a bracket by the words that it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlproject.report.methods.works import REFERENCES

CITATION = re.compile(r" ?\(([^()]+)\)")
"""A bracket of a text that may hold citations."""
BY_SHORT = {reference.short: key for key, reference in REFERENCES.items()}


def cite(*keys: str) -> str:
    """``(Hestness et al. 2017; Rubin 1981)``: how a text cites these entries."""
    return f"({'; '.join(REFERENCES[key].short for key in keys)})"


def cited_keys(bracket: str) -> tuple[str, ...]:
    """The keys that a bracket of a text cites, none where it holds anything else."""
    parts = bracket.split("; ")
    return tuple(BY_SHORT[part] for part in parts) if set(parts) <= set(BY_SHORT) else ()


def keys_in(text: str) -> Iterator[str]:
    """The keys that a text cites, in their order, repeated where they are."""
    for match in CITATION.finditer(text):
        yield from cited_keys(match[1])
