"""Scaling laws: fits, averages, verdicts and predictions from observations (scale, loss, noise).

Arithmetic on NumPy and SciPy alone:

    >>> from mlproject.scaling import assess
    >>> assessment = assess([100, 200, 400, 800, 1600], [2.0, 1.42, 1.01, 0.72, 0.51])
    >>> assessment.verdict, round(assessment.law("power").parameters["alpha"].value, 2)
    ('scaling', 0.49)
"""

from mlproject.scaling.allocation.budget import (
    SUMS,
    Cost,
    Frontier,
    NextCell,
    NextPlan,
    fit_cost,
    frontier,
    plan_next,
)
from mlproject.scaling.allocation.empirical_frontier import METHODS, Envelope, envelope
from mlproject.scaling.assess import LEAST_WEIGHT, assess
from mlproject.scaling.assessment import Assessment, HeldOut, LawFit
from mlproject.scaling.averaging.average import Average, average
from mlproject.scaling.averaging.library_prior import LIBRARY_SHARE
from mlproject.scaling.averaging.library_use import LibraryUse, Narrowed
from mlproject.scaling.averaging.standings import Standing
from mlproject.scaling.fitting.compare import Difference, compare
from mlproject.scaling.fitting.fit import Fit, fit
from mlproject.scaling.fitting.intervals import (
    Estimate,
    acceleration_of,
    bca,
    estimate_noise,
    t_interval,
    t_quantile,
)
from mlproject.scaling.fitting.many import PowerLaws, fit_power, fit_power_floor
from mlproject.scaling.fitting.numbers_as_text import interval_text, scale_text
from mlproject.scaling.fitting.points import Points, Prediction, unshared_noise
from mlproject.scaling.fitting.slopes import rising_axes
from mlproject.scaling.fitting.verdict import FLAT, SCALING, UNIDENTIFIABLE, grid_shortage
from mlproject.scaling.laws import LAWS
from mlproject.scaling.laws.law import ScalingLaw
from mlproject.scaling.laws.library import (
    Library,
    PriorChoice,
    PublishedLaw,
    find_library,
)
from mlproject.scaling.per_image import ImageExponents, Information, image_exponents, measure_information
from mlproject.scaling.shrinkage import LEAST_SHRUNK, Shrunk, shrink
from mlproject.scaling.trends import ImageTrends, image_trends

__all__ = [
    "FLAT",
    "LAWS",
    "LEAST_SHRUNK",
    "LEAST_WEIGHT",
    "LIBRARY_SHARE",
    "METHODS",
    "SCALING",
    "SUMS",
    "UNIDENTIFIABLE",
    "Assessment",
    "Average",
    "Cost",
    "Difference",
    "Envelope",
    "Estimate",
    "Fit",
    "Frontier",
    "HeldOut",
    "ImageExponents",
    "ImageTrends",
    "Information",
    "LawFit",
    "Library",
    "LibraryUse",
    "Narrowed",
    "NextCell",
    "NextPlan",
    "Points",
    "PowerLaws",
    "Prediction",
    "PriorChoice",
    "PublishedLaw",
    "ScalingLaw",
    "Shrunk",
    "Standing",
    "acceleration_of",
    "assess",
    "average",
    "bca",
    "compare",
    "envelope",
    "estimate_noise",
    "find_library",
    "fit",
    "fit_cost",
    "fit_power",
    "fit_power_floor",
    "frontier",
    "grid_shortage",
    "image_exponents",
    "image_trends",
    "interval_text",
    "measure_information",
    "plan_next",
    "rising_axes",
    "scale_text",
    "shrink",
    "t_interval",
    "t_quantile",
    "unshared_noise",
]
