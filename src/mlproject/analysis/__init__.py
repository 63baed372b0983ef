"""Analysis: finished runs read back, grouped by what is comparable, and assessed."""

from mlproject.analysis.ablations import (
    COLUMNS,
    ArmRow,
    ArmTable,
    Interaction,
    PairedDifference,
)
from mlproject.analysis.axes import AXES, GRID_AXES, Axis
from mlproject.analysis.bootstrap import STATISTICS, Statistic
from mlproject.analysis.calibration import Calibration
from mlproject.analysis.classes import ClassExponent, ClassScaling, Confusion
from mlproject.analysis.comparable import (
    REGION_FIELDS,
    comparison_key,
    data_name,
    kept_apart,
    shared_by_cells,
)
from mlproject.analysis.csv_groups import Columns
from mlproject.analysis.csv_study import AssessedGroup, CsvStudy, GroupComparison, assess_csv
from mlproject.analysis.curves import Curve
from mlproject.analysis.design import UNITS, Aim, Candidate, Design, FinishedRun, finished_run, known_cost
from mlproject.analysis.effects import Discordant, Effect
from mlproject.analysis.error_consistency import ErrorConsistency
from mlproject.analysis.error_rates import ErrorRate, PriorUse, published_laws
from mlproject.analysis.explorer import Explorer, ImageMistakes, ImageSeries, ModelDifference, explorers
from mlproject.analysis.exponent_differences import ExponentDifference, RegionContrast, shared_law
from mlproject.analysis.grids import Allocation, Grid
from mlproject.analysis.image_forecasts import AHEAD, ImageForecast, Score
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
from mlproject.analysis.mistakes import Mistakes
from mlproject.analysis.multiverse import ChoiceEffect, Multiverse, Specification
from mlproject.analysis.pair_exponents import PairedExponent
from mlproject.analysis.pairs import PairComparison, PairedSetting, compare_runs
from mlproject.analysis.points import HORIZONS, Correlation, LossKind, Point
from mlproject.analysis.runs import EvaluatedRun, Predictions, intact_runs, predictions
from mlproject.analysis.study import Ablation, Study, analyse
from mlproject.analysis.targets import PredictedTarget, predict_targets, target_axes
from mlproject.analysis.trajectories import LOST, NEVER, Trajectory
from mlproject.analysis.until import MARGIN, Batch, Round, Spending, Spent, Until, next_batch, read_until

__all__ = [
    "AHEAD",
    "AXES",
    "BUDGETS",
    "COLUMNS",
    "GRID_AXES",
    "HORIZONS",
    "LOST",
    "MARGIN",
    "NEVER",
    "QUANTITIES",
    "REGION_FIELDS",
    "STATISTICS",
    "UNITS",
    "Ablation",
    "Aim",
    "Allocation",
    "ArmRow",
    "ArmTable",
    "AssessedGroup",
    "Axis",
    "Batch",
    "Calibration",
    "Candidate",
    "ChoiceEffect",
    "ClassExponent",
    "ClassScaling",
    "Columns",
    "ComputeCurve",
    "ComputePoint",
    "Confusion",
    "Correlation",
    "Crossing",
    "CsvStudy",
    "Curve",
    "Design",
    "Discordant",
    "Effect",
    "ErrorConsistency",
    "ErrorRate",
    "EvaluatedRun",
    "Explorer",
    "ExponentDifference",
    "FinishedRun",
    "Grid",
    "GroupComparison",
    "ImageForecast",
    "ImageMistakes",
    "ImageScaleComparison",
    "ImageSeries",
    "Interaction",
    "IterationArm",
    "IterationFamily",
    "IterationLedger",
    "IterationRun",
    "LawLine",
    "LocalExponents",
    "LossKind",
    "Mistakes",
    "ModelDifference",
    "ModelLine",
    "Multiverse",
    "PairComparison",
    "PairedDifference",
    "PairedExponent",
    "PairedSetting",
    "Point",
    "PredictedLine",
    "PredictedTarget",
    "Predictions",
    "PriorUse",
    "RegionContrast",
    "Round",
    "Score",
    "Specification",
    "Spending",
    "Spent",
    "Statistic",
    "Study",
    "Trajectory",
    "Until",
    "analyse",
    "assess_csv",
    "compare_runs",
    "comparison_key",
    "data_name",
    "explorers",
    "finished_run",
    "intact_runs",
    "kept_apart",
    "known_cost",
    "next_batch",
    "predict_targets",
    "predictions",
    "published_laws",
    "read_until",
    "shared_by_cells",
    "shared_law",
    "target_axes",
]
