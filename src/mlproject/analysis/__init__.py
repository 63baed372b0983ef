"""Analysis: finished runs read back, grouped by what is comparable, and assessed."""

from mlproject.analysis.ablations import (
    COLUMNS,
    ArmRow,
    ArmTable,
    Interaction,
    PairedDifference,
)
from mlproject.analysis.axes import AXES, GRID_AXES, Axis
from mlproject.analysis.comparable import REGION_FIELDS, comparison_key, data_name, shared_by_cells
from mlproject.analysis.csv_groups import Columns
from mlproject.analysis.csv_study import AssessedGroup, CsvStudy, GroupComparison, assess_csv
from mlproject.analysis.curves import Curve
from mlproject.analysis.design import Aim, Candidate, Design, finished_run
from mlproject.analysis.effects import Discordant, Effect
from mlproject.analysis.exponent_differences import ExponentDifference, RegionContrast, shared_law
from mlproject.analysis.grids import Allocation, Grid
from mlproject.analysis.image_scale import ComputeCurve, ComputePoint, Crossing, ImageScaleComparison
from mlproject.analysis.iterations import (
    BUDGETS,
    QUANTITIES,
    IterationArm,
    IterationFamily,
    IterationLedger,
    IterationRun,
)
from mlproject.analysis.lines import LawLine, LocalExponents, ModelLine, PredictedLine
from mlproject.analysis.points import HORIZONS, STATISTICS, Correlation, LossKind, Point, Statistic
from mlproject.analysis.runs import intact_runs
from mlproject.analysis.study import Ablation, Study, analyse

__all__ = [
    "AXES",
    "BUDGETS",
    "COLUMNS",
    "GRID_AXES",
    "HORIZONS",
    "QUANTITIES",
    "REGION_FIELDS",
    "STATISTICS",
    "Ablation",
    "Aim",
    "Allocation",
    "ArmRow",
    "ArmTable",
    "AssessedGroup",
    "Axis",
    "Candidate",
    "Columns",
    "ComputeCurve",
    "ComputePoint",
    "Correlation",
    "Crossing",
    "CsvStudy",
    "Curve",
    "Design",
    "Discordant",
    "Effect",
    "ExponentDifference",
    "Grid",
    "GroupComparison",
    "ImageScaleComparison",
    "Interaction",
    "IterationArm",
    "IterationFamily",
    "IterationLedger",
    "IterationRun",
    "LawLine",
    "LocalExponents",
    "LossKind",
    "ModelLine",
    "PairedDifference",
    "Point",
    "PredictedLine",
    "RegionContrast",
    "Statistic",
    "Study",
    "analyse",
    "assess_csv",
    "comparison_key",
    "data_name",
    "finished_run",
    "intact_runs",
    "shared_by_cells",
    "shared_law",
]
