"""One question to a file of points and its answer, as JSON and as what a terminal shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.text import Text

from mlproject.errors import WrongUse
from mlproject.files import write_atomic
from mlproject.fit_csv.comparing import compare_groups
from mlproject.fit_csv.fits import fit_group
from mlproject.fit_csv.reading import Columns, read_at, read_groups
from mlproject.fit_csv.terminal import shown
from mlproject.fit_csv.writing import as_json, to_bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to fit and to tell: columns, scales to predict at, the known ceiling, laws, groups to compare."""

    columns: Columns
    at: Path | None = None
    ceiling: float | None = None
    laws: tuple[str, ...] = ()
    compare: tuple[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is written (``content``), what is shown (``text``), and why groups were left out (``faults``)."""

    content: dict[str, Any]
    text: RenderableType
    faults: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Write the JSON file, whole or not at all."""
        try:
            write_atomic(path, to_bytes(self.content))
        except OSError as error:
            raise WrongUse(f"cannot write {path}: {error.strerror or error}") from error


def fit_file(path: Path, request: Request) -> Answer:
    """Fit every group of a file; all of it is read and checked before anything is fitted."""
    columns = request.columns
    groups = read_groups(path, columns)
    at = None if request.at is None else read_at(request.at, columns, groups)
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # laws that grow beyond all numbers are weighed, and lose
        fits = [fit_group(group, ceiling=request.ceiling, laws=request.laws) for group in groups]
        content, text = as_json(fits, columns, at), shown(fits, columns, at)
    faults = tuple(group.fault for group in groups if group.fault)
    if request.compare is None:
        return Answer(content=content, text=text, faults=faults)
    compared = compare_groups(fits, *request.compare)
    content["comparison"] = compared.to_dict()
    return Answer(content=content, text=Stack(text, Text(f"• {compared.sentences}")), faults=faults)
