"""Derivatives of the mean loss of laws by their shapes, in closed form.

They take a fifth to a tenth of the time of complex steps, which serve the other laws. With u, v the scaled
logarithms of the scales, b a basis function and k its amplitude:

    b = x^-alpha            dL/dalpha = -u k b
    b = (x + x0)^-alpha     dL/dalpha = -ln(x + x0) k b,     dL/dln x0 = -alpha k b x0 / (x + x0)
    L = E (1 - t) + L0 t    dL/dw = (L0 - E) t (1 - t),      t = 1 / (1 + e^-w)
    t / (1 - t)^a = h       dt/dln h = t (1 - t) / (1 - t + a t),    dt/dln a = a ln(1 - t) dt/dln h
    M = ln(r N^-n + (1 - r) D^-d)    dM/dn = -u p,  dM/dd = -v (1 - p),  dM/dlogit r = p - r,

where p is the share of the first term in the sum of M.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from mlproject.scaling.laws import bounded, broken, one_axis, several_axes
from mlproject.scaling.laws.law import Array, Basis, ScalingLaw

AT_ONCE = 2000  # losses of all data sets together up to which derivatives are taken in one call
STEP = 1e-20  # of complex-step derivatives, far below rounding
Slopes = Callable[[Array, Array, Array], list[Array]]
"""Derivatives [g, m] by each shape, from parameters [g, p], ``log_x`` [(g,) m, axes], basis [g, m, a]."""


def mean_slopes(law: ScalingLaw, theta: Array, log_x: Array) -> tuple[Array, Array]:
    """The mean loss [g, m] at theta [g, p]; its derivatives [p, g, m] in closed form or by complex steps."""
    q = law.n_shapes
    basis = law.basis(theta[:, :q], log_x).real
    slopes = np.empty((theta.shape[1], *basis.shape[:2]))
    slopes[q:] = np.moveaxis(basis, 2, 0)
    closed = SLOPES.get(law.basis)
    slopes[:q] = _complex_steps(law, theta, log_x) if closed is None else closed(theta, log_x, basis)
    return np.matmul(basis, theta[:, q:, None])[..., 0], slopes


def _complex_steps(law: ScalingLaw, theta: Array, log_x: Array) -> Array:
    """Derivatives of the mean [q, g, m] by the shapes, one after the other where a call costs little."""
    g, m, q = len(theta), log_x.shape[-2], law.n_shapes
    change = np.empty((q, g, m))
    at_once = q if g * m <= AT_ONCE and log_x.ndim == 2 else 1
    for first in range(0, q, at_once):
        moved = theta[:, :q] + 1j * STEP * np.eye(q)[first : first + at_once, None, :]
        basis = law.basis(moved.reshape(-1, q), log_x).reshape(at_once, g, m, -1)
        change[first : first + at_once] = np.matmul(basis, theta[:, q:, None])[..., 0].imag / STEP
    return change


def _power(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    """Of k N^-alpha D^-beta ..., with a floor or without one."""
    term = theta[:, -1:] * basis[..., -1]
    return [-term * log_x[..., axis] for axis in range(log_x.shape[-1])]


def _separable(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    first = basis.shape[-1] - log_x.shape[-1]
    terms = theta[:, None, -log_x.shape[-1] :] * basis[..., first:]
    return [-terms[..., axis] * log_x[..., axis] for axis in range(log_x.shape[-1])]


def _interaction(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    terms = theta[:, None, -3:] * basis[..., 1:]
    return [-(terms[..., axis] + terms[..., 2]) * log_x[..., axis] for axis in range(2)]


def _shifted(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    alpha, x, x0 = theta[:, :1], np.exp(log_x[..., 0]), np.exp(theta[:, 1:2])
    term = theta[:, -1:] * basis[..., -1]
    return [-term * np.log((x + x0) / (1.0 + x0)), -term * alpha * (x0 / (x + x0) - x0 / (1.0 + x0))]


def _m3(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    alpha, inverse, g = theta[:, :1], np.exp(-log_x[..., 0]), np.exp(theta[:, 1:2])
    term = theta[:, -1:] * basis[..., -1]
    return [term * np.log((inverse + g) / (1.0 + g)), term * alpha * (g / (inverse + g) - g / (1.0 + g))]


def _log_linear(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    k, f = theta[:, -1:], np.exp(theta[:, 1:2])
    v = (theta[:, :1] - log_x[..., 0]) / f
    return [k * special.expit(v), k * (basis[..., 0] - f * v * special.expit(v))]


def _broken(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    u, term = log_x[..., 0], theta[:, -1:] * basis[..., -1]
    before, place_of_before, out = theta[:, :1], 0, [-u * term]
    for start in range(1, theta.shape[1] - basis.shape[-1], 3):
        after, place, width = (theta[:, start + i : start + i + 1] for i in range(3))
        f = np.exp(width)
        v = (u - place) / f
        change, bend = after - before, f * np.logaddexp(0.0, v) * term
        turned = change * special.expit(v) * term
        out[place_of_before] = out[place_of_before] + bend
        before, place_of_before = after, len(out)
        out += [-bend, turned, f * (v * turned) - change * bend]
    return out


def _bounded(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    by_log = (theta[:, -1:] - theta[:, -2:-1]) * basis[..., 0] * basis[..., 1]
    return [-by_log * (log_x[..., 0] - theta[:, 1:2]), by_log * theta[:, :1]]


def _m4(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    power, left, t = np.exp(theta[:, 2:3]), basis[..., 0], basis[..., 1]
    by_log = (theta[:, -1:] - theta[:, -2:-1]) * left * t / (left + power * t)
    from_middle = log_x[..., 0] - theta[:, 1:2]
    return [-by_log * from_middle, by_log * theta[:, :1], by_log * power * np.log(np.maximum(left, 1e-300))]


def _kaplan(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    alpha, beta, logit = theta[:, :1], theta[:, 1:2], theta[:, 2:3]
    mixed = np.log(basis[..., 0]) / beta
    by_n, _, by_logit = _of_mixture(alpha / beta, logit, mixed, log_x)
    term = theta[:, -1:] * basis[..., 0]
    return [term * by_n, term * (mixed - alpha / beta * by_n), term * beta * by_logit]


def _coupled(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    alpha, beta, logit, c = theta[:, :1], theta[:, 1:2], theta[:, 2:3], np.exp(theta[:, 3:4])
    mixed = several_axes.log_mixture(alpha / c, beta / c, logit, log_x).real
    by_n, by_d, by_logit = _of_mixture(alpha / c, logit, mixed, log_x)
    term = theta[:, -1:] * basis[..., -1]
    by_c = c * mixed - alpha * by_n - beta * by_d
    return [term * by_n, term * by_d, term * c * by_logit, term * by_c]


def _bounded_sum(theta: Array, log_x: Array, basis: Array) -> list[Array]:
    alpha, beta, logit = theta[:, :1], theta[:, 1:2], theta[:, 2:3]
    mixed = several_axes.log_mixture(alpha, beta, logit, log_x).real
    by_log = (theta[:, -1:] - theta[:, -2:-1]) * basis[..., 0] * basis[..., 1]
    return [*(by_log * each for each in _of_mixture(alpha, logit, mixed, log_x)), by_log]


def _of_mixture(n_power: Array, logit: Array, mixed: Array, log_x: Array) -> tuple[Array, Array, Array]:
    """Derivatives of M by both powers and logit r."""
    first = np.exp(-n_power * log_x[..., 0] - np.logaddexp(0.0, -logit) - mixed)
    return -log_x[..., 0] * first, -log_x[..., 1] * (1.0 - first), first - special.expit(logit)


SLOPES: dict[Basis, Slopes] = {
    one_axis.power_basis: _power,
    one_axis.floor_basis: _power,
    one_axis.shifted_basis: _shifted,
    one_axis.zhai_basis: _shifted,
    one_axis.m3_basis: _m3,
    one_axis.log_linear_basis: _log_linear,
    broken.broken_power_basis: _broken,
    broken.broken_basis: _broken,
    bounded.bounded_basis: _bounded,
    bounded.m4_basis: _m4,
    bounded.bounded_sum_basis: _bounded_sum,
    several_axes.separable_basis: _separable,
    several_axes.product_basis: _power,
    several_axes.plane_basis: _power,
    several_axes.interaction_basis: _interaction,
    several_axes.coupled_basis: _coupled,
    several_axes.kaplan_basis: _kaplan,
}
