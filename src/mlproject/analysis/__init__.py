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
    key_of_curve,
    shared_by_cells,
)
from mlproject.analysis.csv_groups import Columns
from mlproject.analysis.csv_study import AssessedGroup, CsvStudy, GroupComparison, assess_csv
from mlproject.analysis.curves import Curve
from mlproject.analysis.design import UNITS, Aim, Candidate, Design, FinishedRun, finished_run, known_cost
from mlproject.analysis.effects import Discordant, Effect
from mlproject.analysis.error_consistency import ErrorConsistency
from mlproject.analysis.error_rates import ErrorRate, PriorUse, published_laws
from mlproject.analysis.explorer import (
    MOST_SEEDS,
    Explorer,
    ImageMistakes,
    ImageSeries,
    ModelDifference,
    explorers,
)
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
from mlproject.analysis.multiverse import Multiverse
from mlproject.analysis.multiverse_comparisons import ComparisonMultiverse, Contrast
from mlproject.analysis.pair_exponents import PairedExponent
from mlproject.analysis.pairs import PairComparison, PairedSetting, compare_runs
from mlproject.analysis.points import HORIZONS, Correlation, LossKind, Point
from mlproject.analysis.predicted_losses import PlannedCells, PredictedLoss, log_score, predict_losses
from mlproject.analysis.prediction_record import (
    SPOILT,
    CoverageStep,
    MissingPrediction,
    PredictionRecord,
    ScoredLoss,
    TargetRun,
    score_predictions,
)
from mlproject.analysis.runs import EvaluatedRun, Predictions, intact_runs, predictions
from mlproject.analysis.sealed_prediction import SealedPrediction, content_key, file_content, read_sealed
from mlproject.analysis.specifications import Specification
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
    "MOST_SEEDS",
    "NEVER",
    "QUANTITIES",
    "REGION_FIELDS",
    "SPOILT",
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
    "ClassExponent",
    "ClassScaling",
    "Columns",
    "ComparisonMultiverse",
    "ComputeCurve",
    "ComputePoint",
    "Confusion",
    "Contrast",
    "Correlation",
    "CoverageStep",
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
    "MissingPrediction",
    "Mistakes",
    "ModelDifference",
    "ModelLine",
    "Multiverse",
    "PairComparison",
    "PairedDifference",
    "PairedExponent",
    "PairedSetting",
    "PlannedCells",
    "Point",
    "PredictedLine",
    "PredictedLoss",
    "PredictedTarget",
    "PredictionRecord",
    "Predictions",
    "PriorUse",
    "RegionContrast",
    "Round",
    "Score",
    "ScoredLoss",
    "SealedPrediction",
    "Specification",
    "Spending",
    "Spent",
    "Statistic",
    "Study",
    "TargetRun",
    "Trajectory",
    "Until",
    "analyse",
    "assess_csv",
    "compare_runs",
    "comparison_key",
    "content_key",
    "data_name",
    "explorers",
    "file_content",
    "finished_run",
    "intact_runs",
    "kept_apart",
    "key_of_curve",
    "known_cost",
    "log_score",
    "next_batch",
    "predict_losses",
    "predict_targets",
    "predictions",
    "published_laws",
    "read_sealed",
    "read_until",
    "score_predictions",
    "shared_by_cells",
    "shared_law",
    "target_axes",
]
