"""Scaling laws that people can trust: fits, intervals and predictions from observations (x, loss, noise).

Pure arithmetic on NumPy and SciPy, useful alone:

    >>> from mlproject.scaling import fit
    >>> found = fit([100, 200, 400, 800, 1600], [2.0, 1.42, 1.01, 0.72, 0.51], law="power")
    >>> found.verdict, round(found.parameters["alpha"].value, 2)
    ('scaling', 0.49)
"""

from mlproject.scaling.allocation.design import NextCell, NextPlan, plan_next
from mlproject.scaling.allocation.empirical_frontier import METHODS, Envelope, envelope
from mlproject.scaling.allocation.frontier import SUMS, Cost, Frontier, fit_cost, frontier, isoflop_optimum
from mlproject.scaling.assess import Assessment, HeldOut, LawFit, assess, grid_shortage, unshared_noise
from mlproject.scaling.averaging.average import Average, Standing, average
from mlproject.scaling.fitting.bca import acceleration_of, bca
from mlproject.scaling.fitting.compare import Difference, compare
from mlproject.scaling.fitting.fit import Fit, Prediction, fit, fit_table
from mlproject.scaling.fitting.intervals import Estimate, t_interval, t_quantile
from mlproject.scaling.fitting.overall import HEARD, overall
from mlproject.scaling.fitting.robust import robust_parameters
from mlproject.scaling.fitting.verdict import UNIDENTIFIABLE
from mlproject.scaling.laws.law import ScalingLaw
from mlproject.scaling.laws.table import LAWS
from mlproject.scaling.per_image import ImageExponents, image_exponents

__all__ = [
    "HEARD",
    "LAWS",
    "METHODS",
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
    "LawFit",
    "NextCell",
    "NextPlan",
    "Prediction",
    "ScalingLaw",
    "Standing",
    "acceleration_of",
    "assess",
    "average",
    "bca",
    "compare",
    "envelope",
    "fit",
    "fit_cost",
    "fit_table",
    "frontier",
    "grid_shortage",
    "image_exponents",
    "isoflop_optimum",
    "overall",
    "plan_next",
    "robust_parameters",
    "t_interval",
    "t_quantile",
    "unshared_noise",
]
