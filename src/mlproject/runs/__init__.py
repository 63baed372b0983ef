"""Runs: one cell, a plan, an analysis, the regions of a data set, each as tracked runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlproject.runs.cell_run import CellRun, Status, run_cell
from mlproject.runs.plan_work import Watcher
from mlproject.runs.sweep import STUDIES, run_plan

if TYPE_CHECKING:
    from mlproject.runs.analysis_run import Fitted, fit_study
    from mlproject.runs.next_experiments import Choice, choose, write_plan
    from mlproject.runs.pull import WHAT, Pulled, pull_runs
    from mlproject.runs.region_run import RegionRun, mask_images
    from mlproject.runs.report_run import WrittenReport, write_study_report
    from mlproject.runs.selection import NamedRuns, find_fit, find_runs

__all__ = [
    "STUDIES",
    "WHAT",
    "CellRun",
    "Choice",
    "Fitted",
    "NamedRuns",
    "Pulled",
    "RegionRun",
    "Status",
    "Watcher",
    "WrittenReport",
    "choose",
    "find_fit",
    "find_runs",
    "fit_study",
    "mask_images",
    "pull_runs",
    "run_cell",
    "run_plan",
    "write_plan",
    "write_study_report",
]


def __getattr__(name: str) -> Any:
    """Import analyses and regions when they are first used: a sweep needs neither SciPy nor OpenCV."""
    if name in ("Fitted", "fit_study"):
        from mlproject.runs import analysis_run

        return getattr(analysis_run, name)
    if name in ("Choice", "choose", "write_plan"):
        from mlproject.runs import next_experiments

        return getattr(next_experiments, name)
    if name in ("NamedRuns", "find_fit", "find_runs"):
        from mlproject.runs import selection

        return getattr(selection, name)
    if name in ("WHAT", "Pulled", "pull_runs"):
        from mlproject.runs import pull

        return getattr(pull, name)
    if name in ("WrittenReport", "write_study_report"):
        from mlproject.runs import report_run

        return getattr(report_run, name)
    if name in ("RegionRun", "mask_images"):
        from mlproject.runs import region_run

        return getattr(region_run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
