"""Runs: cells, plans, analyses and searches for regions, carried out as tracked runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlproject.runs.cell_run import CellRun, Status, run_cell
from mlproject.runs.plan_work import Watcher
from mlproject.runs.sweep import STUDIES, run_plan

if TYPE_CHECKING:
    from mlproject.runs.analysis_run import Fitted, fit_study
    from mlproject.runs.next_experiments import Choice, choose, write_plan
    from mlproject.runs.prediction_run import SealedRun, find_prediction, predict_plan
    from mlproject.runs.pull import WHAT, Pulled, pull_runs
    from mlproject.runs.region_run import RegionRun, mask_images
    from mlproject.runs.report_run import WrittenReport, write_study_report
    from mlproject.runs.rounds import start_cells
    from mlproject.runs.selection import NamedRuns, find_fit, find_runs
    from mlproject.runs.until import run_until

__all__ = [
    "STUDIES",
    "WHAT",
    "CellRun",
    "Choice",
    "Fitted",
    "NamedRuns",
    "Pulled",
    "RegionRun",
    "SealedRun",
    "Status",
    "Watcher",
    "WrittenReport",
    "choose",
    "find_fit",
    "find_prediction",
    "find_runs",
    "fit_study",
    "mask_images",
    "predict_plan",
    "pull_runs",
    "run_cell",
    "run_plan",
    "run_until",
    "start_cells",
    "write_plan",
    "write_study_report",
]


_HOMES = {
    "analysis_run": ("Fitted", "fit_study"),
    "next_experiments": ("Choice", "choose", "write_plan"),
    "prediction_run": ("SealedRun", "find_prediction", "predict_plan"),
    "pull": ("WHAT", "Pulled", "pull_runs"),
    "region_run": ("RegionRun", "mask_images"),
    "report_run": ("WrittenReport", "write_study_report"),
    "rounds": ("start_cells",),
    "selection": ("NamedRuns", "find_fit", "find_runs"),
    "until": ("run_until",),
}
"""Modules by the names of the face that are imported from them on first use."""


def __getattr__(name: str) -> Any:
    """Import analyses and regions when they are first used: a sweep needs neither SciPy nor OpenCV."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
