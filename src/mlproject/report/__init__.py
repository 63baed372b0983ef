"""The report of a study: tables, LaTeX, Markdown and figures in one folder, and a table for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.files import write_atomic

if TYPE_CHECKING:
    from mlproject.analysis.study import Study
else:
    Study = Any  # a cell draws its histogram without paying for SciPy

__all__ = ["write_report"]


def write_report(study: Study, folder: Path) -> list[Path]:
    """Write every artifact of a study into a folder; returns their paths, the summary first.

    matplotlib is imported here, not before: a command line that draws nothing starts without it.
    """
    from mlproject.report.arms import arm_tables
    from mlproject.report.figures import figures
    from mlproject.report.joint_text import joint_tex
    from mlproject.report.latex import exponents_tex
    from mlproject.report.summary import summary_md
    from mlproject.report.sweet_spot import sweet_spot_files
    from mlproject.report.tables import tables

    latex = {"exponents.tex": exponents_tex(study), "joint.tex": joint_tex(study)}
    contents = tables(study) | arm_tables(study.ablation) | latex
    contents |= dict(figures(study)) | sweet_spot_files(study)
    contents = {"summary.md": summary_md(study, list(contents)), **contents}
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return [folder / name for name in contents]
