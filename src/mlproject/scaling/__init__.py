"""Scaling laws that people can trust: fits, intervals and predictions from observations (x, loss, noise).

Pure arithmetic on NumPy and SciPy, useful alone:

    >>> from mlproject.scaling import fit
    >>> found = fit([100, 200, 400, 800, 1600], [2.0, 1.42, 1.01, 0.72, 0.51], law="power")
    >>> found.verdict, round(found.parameters["alpha"].value, 2)
    ('scaling', 0.49)
"""

from .average import Average, average
from .fitting import Fit, Prediction, fit, fit_table
from .intervals import Estimate, t_interval
from .law import ScalingLaw
from .per_image import ImageExponents, image_exponents
from .table import LAWS

__all__ = [
    "LAWS",
    "Average",
    "Estimate",
    "Fit",
    "ImageExponents",
    "Prediction",
    "ScalingLaw",
    "average",
    "fit",
    "fit_table",
    "image_exponents",
    "t_interval",
]
