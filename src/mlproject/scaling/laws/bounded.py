"""Laws that are bounded above by the uninformed loss L0 (chance, or ln of the number of classes).

Sources: Alabdulmohsin, Neyshabur, Zhai 2022 (arXiv 2209.06640), M4, (L - E) / (L0 - L)^a = k x^-alpha;
Bryant and Liu 2026 (arXiv 2605.09189), the case a = 1: L = E + (L0 - E) h / (1 + h), h = (x / xc)^-alpha.

With t = (L - E) / (L0 - E), both read t / (1 - t)^a = (x / xc)^-alpha, and L = E (1 - t) + L0 t is linear
in E and L0. L0 is an amplitude to fit, or known. xc, in the unit of x, is where a = 1 loses half.
"""

from __future__ import annotations

import numpy as np

from mlproject.scaling.laws.law import (
    Array,
    ScalingLaw,
    Shape,
    Span,
    Values,
    exponent,
    location,
    plausible_exponent,
    plausible_place,
    plausible_share,
    softplus,
)

NEWTON_STEPS = 10


def log_informed(log_h: Values, power: Values) -> Values:
    """ln t with t / (1 - t)^power = h, by Newton's method on the logit of t (monotone and concave).

    Complex steps need the root once; two more steps then carry the derivative.
    """
    w: Values = log_h.real / np.where(log_h.real > 0, power.real, 1.0)
    for _ in range(NEWTON_STEPS):
        w = _newton(w, log_h.real, power.real)
    if np.iscomplexobj(log_h) or np.iscomplexobj(power):
        w = _newton(_newton(w.astype(np.complex128), log_h, power), log_h, power)
    return -softplus(-w)


def _newton(w: Values, log_h: Values, power: Values) -> Values:
    log_t, log_rest = -softplus(-w), -softplus(w)
    t = np.exp(log_t)
    return np.asarray(w - (log_t - power * log_rest - log_h) / (1.0 - t + power * t))


def m4_basis(shape: Values, log_x: Array) -> Values:
    """1 - t, t for shapes alpha, ln xc, ln a."""
    log_h = -shape[:, :1] * (log_x[:, 0] - shape[:, 1:2])
    t = np.exp(log_informed(log_h, np.exp(shape[:, 2:3])))
    return np.stack([1.0 - t, t], axis=-1)


def bounded_basis(shape: Values, log_x: Array) -> Values:
    """1 - t, t for shapes alpha, ln xc."""
    w = -shape[:, :1] * (log_x[:, 0] - shape[:, 1:2])
    return np.stack([np.exp(-softplus(w)), np.exp(-softplus(-w))], axis=-1)


def _bounded_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, log_xc, floor, ceiling = theta[:, 0], theta[:, 1], theta[:, -2], theta[:, -1]
    return {
        "alpha": alpha,
        "xc": np.exp(log_xc + log_unit[0]),
        "E": floor * loss_unit,
        "L0": ceiling * loss_unit,
    }


def _m4_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    return {**_bounded_units(theta, log_unit, loss_unit), "a": np.exp(theta[:, 2])}


def _bounded_prior(z: Array, span: Span) -> Array:
    middle = plausible_place(z[:, 1], span.low[0] - 2.0, span.high[0] + 2.0)
    share = plausible_share(z[:, 2])
    return np.stack([plausible_exponent(z[:, 0], 0.6), middle, share, np.ones(len(z))], axis=1)


def _m4_prior(z: Array, span: Span) -> Array:
    middle = plausible_place(z[:, 1], span.low[0] - 2.0, span.high[0] + 2.0)
    share = plausible_share(z[:, 2] - 0.7)
    return np.stack([plausible_exponent(z[:, 0], 0.6), middle, 0.7 * z[:, 3], share, np.ones(len(z))], axis=1)


BOUNDED = ScalingLaw(
    name="bounded",
    formula="E + (L0 - E) h / (1 + h), h = (x / xc)^-alpha",
    reference="Bryant and Liu 2026, arXiv 2605.09189, one axis",
    shapes=(exponent("alpha", 0.0, n=16), location("log_xc", -12.0, 12.0, 23)),
    amplitudes=("E", "L0"),
    basis=bounded_basis,
    physical=_bounded_units,
    prior=_bounded_prior,
    n_prior=3,
    ceiling="L0",
)
M4 = ScalingLaw(
    name="m4",
    formula="(L - E) / (L0 - L)^a = k x^-alpha",
    reference="Alabdulmohsin et al. 2022, M4",
    shapes=(
        exponent("alpha", 0.0, n=10),
        location("log_xc", -12.0, 12.0, 15),
        Shape(name="log_a", low=-2.5, high=2.5, grid=(-1.4, -0.7, 0.0, 0.7, 1.4)),
    ),
    amplitudes=("E", "L0"),
    basis=m4_basis,
    physical=_m4_units,
    prior=_m4_prior,
    n_prior=4,
    ceiling="L0",
)
