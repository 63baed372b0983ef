"""Laws that are bounded above by the uninformed loss L0: chance, or ln of the number of classes.

With h falling in every scale, all but one read L = E (1 - t) + L0 t, which is linear in E and L0:

    bounded      t = h / (1 + h), h = (x / xc)^-alpha            Bryant and Liu 2026, arXiv 2605.09189
    m4           t / (1 - t)^a = (x / xc)^-alpha, t = (L - E) / (L0 - E), so (L - E) / (L0 - L)^a = k x^-alpha
                                                                 Alabdulmohsin et al. 2022, arXiv 2209.06640
    bounded_sum  t = h / (1 + h), h = a N^-alpha + b D^-beta     Bryant and Liu 2026 without overfitting
    overfitting  t = h / (1 + h), h = a N^-alpha + b T^-beta + c N^gamma D^-delta      Bryant and Liu 2026
    rosenfeld    L = L0 e / sqrt(1 + e^2), e = a N^-alpha + b D^-beta + c
                                                        Rosenfeld et al. 2020, arXiv 1909.12673, equation 5

L0 is an amplitude to fit, or known. xc, in the unit of x, is where ``bounded`` has lost half. ``overfitting``
is for designs whose examples seen T differ from their unique images D: its last term, which grows with the
model and shrinks with unique images, is the cost of repeating few images. Its axes are N, T, D in this order.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from mlproject.scaling.laws.law import (
    Array,
    ScalingLaw,
    Shape,
    Span,
    Values,
    exponent,
    floor_share,
    joint_exponents,
    location,
    logistic,
    plausible_exponent,
    plausible_place,
    plausible_share,
    softplus,
)
from mlproject.scaling.laws.several_axes import RATIO, log_mixture, two_exponents

NEWTON_STEPS = 10
COARSE = (0.15, 0.4, 0.8)
LOG_H = location("ln_h", -8.0, 8.0, 5)


def log_informed(log_h: Values, power: Values) -> Values:
    """ln t with t / (1 - t)^power = h, by Newton's method on the logit of t (monotone and concave).

    For complex steps the root is found in real numbers; two further steps then carry the derivative.
    """
    w: Values = log_h.real / np.where(log_h.real > 0, power.real, 1.0)
    for _ in range(NEWTON_STEPS):
        w = _newton(w, log_h.real, power.real)
    if np.iscomplexobj(log_h) or np.iscomplexobj(power):
        w = _newton(_newton(w.astype(np.complex128), log_h, power), log_h, power)
    return -softplus(-w)


def _newton(w: Values, log_h: Values, power: Values) -> Values:
    log_t, log_complement = -softplus(-w), -softplus(w)
    t = np.exp(log_t)
    return np.asarray(w - (log_t - power * log_complement - log_h) / (1.0 - t + power * t))


def m4_basis(shape: Values, log_x: Array) -> Values:
    """1 - t, t for shapes alpha, ln xc, ln a."""
    log_h = -shape[:, :1] * (log_x[..., 0] - shape[:, 1:2])
    t = np.exp(log_informed(log_h, np.exp(shape[:, 2:3])))
    return np.stack([1.0 - t, t], axis=-1)


def bounded_basis(shape: Values, log_x: Array) -> Values:
    """1 - t, t for shapes alpha, ln xc."""
    w = -shape[:, :1] * (log_x[..., 0] - shape[:, 1:2])
    return np.stack([logistic(-w), logistic(w)], axis=-1)


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
    middle = plausible_place(z[:, 1], span.low[..., 0] - 2.0, span.high[..., 0] + 2.0)
    share = plausible_share(z[:, 2])
    return np.stack([plausible_exponent(z[:, 0], 0.6), middle, share, np.ones(len(z))], axis=1)


def _m4_prior(z: Array, span: Span) -> Array:
    middle = plausible_place(z[:, 1], span.low[..., 0] - 2.0, span.high[..., 0] + 2.0)
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


def bounded_sum_basis(shape: Values, log_x: Array) -> Values:
    """1/(1+h), h/(1+h) with h = exp(ln_h) (r N^-alpha + (1 - r) D^-beta)."""
    log_h = log_mixture(shape[:, :1], shape[:, 1:2], shape[:, 2:3], log_x) + shape[:, 3:4]
    return np.stack([logistic(-log_h), logistic(log_h)], axis=-1)


def rosenfeld_basis(shape: Values, log_x: Array) -> Values:
    """e / sqrt(1 + e^2) with e = exp(ln_h) (r N^-alpha + (1 - r) D^-beta) + exp(ln_c), times L0."""
    log_h = log_mixture(shape[:, :1], shape[:, 1:2], shape[:, 2:3], log_x) + shape[:, 3:4]
    e = np.exp(np.where(log_h.real > 300, 300.0, log_h)) + np.exp(shape[:, 4:5])
    return np.asarray(e / np.sqrt(1.0 + e * e))[..., None]


def _sum_units(theta: Array, log_unit: Array) -> dict[str, Array]:
    alpha, beta, logit, log_h = theta.T[:4]
    out = {"alpha": alpha, "beta": beta}
    out["a"] = np.exp(log_h + alpha * log_unit[0]) * special.expit(logit)
    out["b"] = np.exp(log_h + beta * log_unit[1]) * special.expit(-logit)
    return out


def _bounded_sum_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    return {**_sum_units(theta, log_unit), "E": theta[:, 4] * loss_unit, "L0": theta[:, 5] * loss_unit}


def _rosenfeld_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    return {**_sum_units(theta, log_unit), "c": np.exp(theta[:, 4]), "L0": theta[:, 5] * loss_unit}


def _bounded_sum_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    share = floor_share(z[:, 2])
    return np.stack([alpha, beta, 1.5 * z[:, 3], 2.0 * z[:, 4], share, np.ones(len(z))], axis=1)


def _rosenfeld_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    return np.stack(
        [alpha, beta, 1.5 * z[:, 3], 2.0 * z[:, 4], -2.0 + 1.5 * z[:, 2], np.ones(len(z))], axis=1
    )


def overfitting_basis(shape: Values, log_x: Array) -> Values:
    """1/(1+h), h/(1+h) with ln h = ln_h + ln((1-q) (r N^-alpha + (1-r) T^-beta) + q N^gamma D^-delta)."""
    log_n, log_t, log_d = np.moveaxis(log_x, -1, 0)
    alpha, beta, gamma, delta, logit_r, log_h, logit_q = (shape[:, i : i + 1] for i in range(7))
    log_share = -softplus(logit_q)
    terms = (
        log_share - softplus(-logit_r) - alpha * log_n,
        log_share - softplus(logit_r) - beta * log_t,
        -softplus(-logit_q) + gamma * log_n - delta * log_d,
    )
    top = np.maximum(np.maximum(terms[0].real, terms[1].real), terms[2].real)
    level = log_h + top + np.log(sum(np.exp(term - top) for term in terms))
    return np.stack([logistic(-level), logistic(level)], axis=-1)


def _overfitting_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, gamma, delta, logit_r, log_h, logit_q, floor, ceiling = theta.T
    regular = np.exp(log_h) * special.expit(-logit_q)
    overfitted = np.exp(log_h) * special.expit(logit_q)
    return {
        "alpha": alpha,
        "beta": beta,
        "gamma": gamma,
        "delta": delta,
        "E": floor * loss_unit,
        "L0": ceiling * loss_unit,
        "a": regular * special.expit(logit_r) * np.exp(alpha * log_unit[0]),
        "b": regular * special.expit(-logit_r) * np.exp(beta * log_unit[1]),
        "c": overfitted * np.exp(delta * log_unit[2] - gamma * log_unit[0]),
    }


def _overfitting_prior(z: Array, span: Span) -> Array:
    """The floor is a share of the loss at the largest scales, as in all laws, and not of L0.

    There L = E + (1 - E) t = E / share in units of L0, so E = share t / (1 - share (1 - t)).
    """
    exponents = plausible_exponent(z[:, :4])
    places = np.stack([1.5 * z[:, 5], 2.0 * z[:, 6], 1.5 * z[:, 7] - 1.5], axis=1)
    shape, share = np.concatenate([exponents, places], axis=1), plausible_share(z[:, 4])
    unexplained = overfitting_basis(shape, span.high[..., None, :])[:, 0, 1].real
    floor = share * unexplained / (1.0 - share * (1.0 - unexplained))
    return np.concatenate([shape, floor[:, None], np.ones((len(z), 1))], axis=1)


OVERFITTING = ScalingLaw(
    name="overfitting",
    formula="E + (L0 - E) h / (1 + h), h = a N^-alpha + b T^-beta + c N^gamma D^-delta",
    reference="Bryant and Liu 2026, arXiv 2605.09189",
    shapes=(
        *(Shape(name=name, low=-1.0, high=3.0, grid=COARSE) for name in ("alpha", "beta", "gamma", "delta")),
        location("logit_r", -8.0, 8.0, 3),
        location("ln_h", -8.0, 8.0, 4),
        location("logit_q", -12.0, 8.0, 4),
    ),
    amplitudes=("E", "L0"),
    basis=overfitting_basis,
    physical=_overfitting_units,
    prior=_overfitting_prior,
    n_prior=8,
    axes=3,
    ceiling="L0",
)
BOUNDED_SUM = ScalingLaw(
    name="bounded_sum",
    formula="E + (L0 - E) h / (1 + h), h = a N^-alpha + b D^-beta",
    reference="Bryant and Liu 2026, without the overfitting term",
    shapes=(*two_exponents(8), RATIO, LOG_H),
    amplitudes=("E", "L0"),
    basis=bounded_sum_basis,
    physical=_bounded_sum_units,
    prior=_bounded_sum_prior,
    n_prior=5,
    axes=2,
    ceiling="L0",
)
ROSENFELD = ScalingLaw(
    name="rosenfeld",
    formula="L0 e / sqrt(1 + e^2), e = a N^-alpha + b D^-beta + c",
    reference="Rosenfeld et al. 2020, equation 5",
    shapes=(*two_exponents(6), RATIO, LOG_H, location("ln_c", -6.0, 2.0, 4)),
    amplitudes=("L0",),
    basis=rosenfeld_basis,
    physical=_rosenfeld_units,
    prior=_rosenfeld_prior,
    n_prior=5,
    axes=2,
    ceiling="L0",
)
