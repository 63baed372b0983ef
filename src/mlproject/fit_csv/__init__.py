"""Points from elsewhere: a CSV of losses in, laws with weights, intervals and predictions out.

    CSV -> groups -> averaged laws, and plain laws by themselves -> JSON, and tables for a terminal

Nothing here knows cells, runs or where they are kept.
"""

from __future__ import annotations

from mlproject.fit_csv.answer import Answer, Request, fit_file
from mlproject.fit_csv.fits import GroupFit, LawFit, fit_group
from mlproject.fit_csv.reading import At, Columns, Group, names, read_at, read_groups

__all__ = [
    "Answer",
    "At",
    "Columns",
    "Group",
    "GroupFit",
    "LawFit",
    "Request",
    "fit_file",
    "fit_group",
    "names",
    "read_at",
    "read_groups",
]
