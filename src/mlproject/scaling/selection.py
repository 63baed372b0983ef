"""Which rows of a set of points are fitted, and what a reader must know of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling.averaging.grid_outliers import outlying
from mlproject.scaling.fitting.curve_outliers import outliers
from mlproject.scaling.fitting.numbers_as_text import scale_text
from mlproject.scaling.fitting.points import Points

LOST = 1e-9  # relative excess over the ceiling that is rounding


def select(points: Points) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The rows that are fitted (a mask), and flags that name those that are not, or are odd.

    Rows that repeat another in scale, loss and noise carry no noise of their own and count once: a table
    that was pasted twice would halve the variance of every exponent. Outliers (``outliers`` of a curve,
    ``outlying`` of a grid) are left out. Losses above the ceiling, that of an uninformed model, are kept, as
    a model can be wrong with confidence.
    """
    first = points.first_of_each()
    off = np.zeros(len(first), dtype=bool)
    of_a_grid = points.x.shape[1] > 1
    off[first] = (outlying if of_a_grid else outliers)(points.take(first))
    flags = (*_repeated_flags(first), *_outlier_flags(points, off), *_ceiling_flags(points))
    return first & ~off, flags


def _repeated_flags(first: NDArray[np.bool_]) -> tuple[str, ...]:
    n = int((~first).sum())
    rows = "1 row repeats another and counts" if n == 1 else f"{n:,} rows repeat another and count"
    return (f"{rows} once: the same scale, loss and noise",) if n else ()


def _outlier_flags(points: Points, off: NDArray[np.bool_]) -> tuple[str, ...]:
    axes = "x" if points.x.shape[1] == 1 else "NDS"
    runs = [
        f"{', '.join(f'{axis} = {scale_text(value)}' for axis, value in zip(axes, row, strict=False))}"
        f" (loss {loss:.4g})"
        for row, loss in zip(points.x[off], points.y[off], strict=True)
    ]
    which = "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"
    return (f"{which} far from all laws and left out, to be checked: {'; '.join(runs)}",) if runs else ()


def _ceiling_flags(points: Points) -> tuple[str, ...]:
    if points.ceiling is None:
        return ()
    n = int((points.y > points.ceiling * (1.0 + LOST)).sum())
    losses = "1 loss lies" if n == 1 else f"{n:,} losses lie"
    return (f"{losses} above the ceiling {points.ceiling:.4g}, the loss of an uninformed model",) if n else ()
