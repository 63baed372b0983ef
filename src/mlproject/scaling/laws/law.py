"""A scaling law as a frozen value: the mean loss as a sum of amplitudes times non-linear basis functions.

Source: variable projection, Golub and Pereyra, Inverse Problems 19 (2003) R1; used for scaling laws by
Czech et al. 2026 (a two-dimensional search over exponents, amplitudes by non-negative least squares).

Every law here reads

    L(x) = sum_j  a_j  b_j(x; s),      a_j >= 0

with few *shape* parameters ``s`` (exponents, shifts, breaks) that enter non-linearly and *amplitudes*
``a`` (E, k, A, B) that enter linearly. Given the shape, the amplitudes have a closed form, so only the shape
is searched, on a grid that covers it, and no starting values are needed.

Laws are fitted to scaled data: ``x`` divided by its geometric mean along each axis, losses by theirs.
Locations along an axis (shifts, breaks) are natural logarithms of scaled ``x``. ``physical`` converts
parameters back to the units of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Values = NDArray[np.inexact]
Basis = Callable[[Values, Array], Values]
Physical = Callable[[Array, Array, float], dict[str, Array]]


@dataclass(frozen=True, kw_only=True)
class Span:
    """The observed range: smallest and largest logarithm of scaled x along each axis, [axes] or [s, axes].

    ``reached`` is the loss at the largest scale as a share of the largest possible loss, where that is known:
    a number or [s].
    """

    low: Array
    high: Array
    reached: Array | float | None = None


NO_FLOOR = 0.25  # prior probability that a law of several axes has no floor
RISING = 0.05  # prior probability that a loss rises with scale
EXPONENT_CORRELATION = 0.8  # of the exponents of several axes
Prior = Callable[[Array, Span], Array]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A non-linear parameter: its bounds and the coarse grid that the search starts from."""

    name: str
    low: float
    high: float
    grid: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """A law of one or more axes; ``basis(shape [g, q], log_x [m, axes])`` gives [g, m, amplitudes].

    Scales and ranges may differ by row of the parameters: ``log_x`` [g, m, axes], ``span`` of [s, axes].
    ``physical(theta [g, q + amplitudes], log_unit [axes], loss_unit)`` gives parameters in the units of
    the data, by name. ``ceiling`` names the amplitude that a known uninformed loss fixes.
    ``prior(z [s, n_prior], span)`` turns standard normal numbers into parameters [s, q + amplitudes] up to
    one common factor of the amplitudes, the level; it says what is plausible before the data are seen.
    """

    name: str
    formula: str
    reference: str
    shapes: tuple[Shape, ...]
    amplitudes: tuple[str, ...]
    basis: Basis
    physical: Physical
    prior: Prior
    n_prior: int
    axes: int = 1
    ceiling: str | None = None

    @property
    def n_shapes(self) -> int:
        """Number of parameters that enter non-linearly."""
        return len(self.shapes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scaled parameters in their order: shapes, then amplitudes."""
        return tuple(shape.name for shape in self.shapes) + self.amplitudes

    def mean(self, theta: Values, log_x: Array) -> Values:
        """The scaled mean loss [g, m] at scaled parameters [g, q + amplitudes]."""
        basis = self.basis(theta[:, : self.n_shapes], log_x)
        return np.asarray(np.matmul(basis, theta[:, self.n_shapes :, None])[..., 0])

    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper bounds of the scaled parameters; amplitudes are not negative."""
        low = [shape.low for shape in self.shapes] + [0.0] * len(self.amplitudes)
        high = [shape.high for shape in self.shapes] + [np.inf] * len(self.amplitudes)
        return np.array(low), np.array(high)

    def grid(self) -> Array:
        """All combinations of the shapes' coarse values [g, q]."""
        mesh = np.meshgrid(*[np.array(shape.grid) for shape in self.shapes], indexing="ij")
        return np.stack([axis.ravel() for axis in mesh], axis=1)

    def n_free(self, ceiling: float | None = None) -> int:
        """Number of fitted parameters; a known ceiling is not fitted."""
        return len(self.names) - int(self.ceiling is not None and ceiling is not None)


def exponent(name: str, low: float = -2.0, high: float = 5.0, n: int = 24) -> Shape:
    """An exponent, with a grid that is dense around zero and covers its bounds."""
    inside = np.sinh(np.linspace(np.arcsinh(low / 0.3), np.arcsinh(high / 0.3), n + 2)[1:-1]) * 0.3
    return Shape(name=name, low=low, high=high, grid=tuple(inside[np.abs(inside) > 1e-3].tolist()))


def location(name: str, low: float, high: float, n: int) -> Shape:
    """A location along an axis, as the natural logarithm of scaled x."""
    inside = np.linspace(low, high, n + 2)[1:-1]
    return Shape(name=name, low=low, high=high, grid=tuple(inside.tolist()))


def with_floor(basis: Values) -> Values:
    """Prepend a constant column, the irreducible loss, to a basis [g, m, 1]."""
    return np.concatenate([np.ones_like(basis[..., :1]), basis], axis=-1)


def plausible_exponent(z: Array, median: float = 0.4, spread: float = 0.8) -> Array:
    """Log-normal: published exponents of losses lie between 0.05 and 1.5 (Hestness 2017; Hoffmann 2022)."""
    return np.minimum(median * np.exp(spread * z), 30.0)


def plausible_direction(z: Array) -> Array:
    """An exponent that is negative (losses rise) with probability RISING, and log-normal otherwise."""
    return _two_sided(z, lambda p: plausible_exponent(special.ndtri(p)))


def joint_exponents(z: Array) -> Array:
    """Correlated exponents [s, axes] of several axes, as the dimension of the data sets both that of N and D.

    Bahri et al. 2021 (arXiv 2102.06701): in the resolution-limited regime the exponents are equal; published
    pairs are 0.34 and 0.28 (Hoffmann 2022), 0.35 and 0.37 (Besiroglu et al. 2024). Student's t with three
    degrees of freedom allows for exponents far from these. Any may be negative, as in
    ``plausible_direction``.
    """
    correlated = EXPONENT_CORRELATION * z[:, :1] + np.sqrt(1.0 - EXPONENT_CORRELATION**2) * z
    mixed = np.concatenate([z[:, :1], correlated[:, 1:]], axis=1)
    return _two_sided(mixed, lambda p: np.minimum(0.35 * np.exp(0.35 * special.stdtrit(3.0, p)), 30.0))


def _two_sided(z: Array, quantile: Callable[[Array], Array]) -> Array:
    """A positive quantity at normal numbers z, made negative with probability RISING, continuous in z."""
    u = special.ndtr(z)
    falls = u >= RISING
    size = quantile(
        np.clip(np.where(falls, (u - RISING) / (1.0 - RISING), 1.0 - u / RISING), 1e-12, 1.0 - 1e-12)
    )
    return np.asarray(np.where(falls, size, -size))


def plausible_share(z: Array) -> Array:
    """The share of the floor in the loss at the largest scale: Beta(2, 2), quantiles in closed form."""
    middle = np.sin(np.arcsin(1.0 - 2.0 * special.ndtr(z)) / 3.0)
    return np.asarray(np.clip(0.5 - middle, 1e-9, 1.0 - 1e-9))


def any_share(z: Array) -> Array:
    """The share of one of several terms of a loss, at the largest scales of several axes: uniform."""
    return np.asarray(np.clip(special.ndtr(z), 1e-9, 1.0 - 1e-9))


def floor_share(z: Array) -> Array:
    """The share of the floor in the loss at the largest scales of several axes: 0, or else uniform.

    Without the mass at 0 every law would bend away from a loss that falls as a pure power of the scales.
    """
    return np.asarray(np.clip((special.ndtr(z) - NO_FLOOR) / (1.0 - NO_FLOOR), 0.0, 1.0 - 1e-9))


def plausible_place(z: Array, low: Array | float, high: Array | float) -> Array:
    """Uniform on (low, high), along the logarithm of an axis."""
    return np.asarray(low + (high - low) * special.ndtr(z))


def softplus(w: Values) -> Values:
    """ln(1 + e^w), without overflow for large w; accepts complex steps."""
    if np.iscomplexobj(w):
        positive = w.real > 0
        return np.asarray(np.where(positive, w, 0.0) + np.log(1.0 + np.exp(np.where(positive, -w, w))))
    out = np.exp(-np.abs(w))
    out += 1.0
    np.log(out, out=out)
    out += np.maximum(w, 0.0)
    return out


def logistic(w: Values) -> Values:
    """1 / (1 + e^-w), without overflow; accepts complex steps."""
    return np.exp(-softplus(-w)) if np.iscomplexobj(w) else special.expit(w)
