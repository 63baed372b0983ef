"""Laws of two axes, written N (parameters) and D (images, or examples seen).

Sources: Hoffmann et al. 2022 (arXiv 2203.15556), third approach, for the sum of two powers; Kaplan et al.
2020 (arXiv 2001.08361), equation 1.5, for the coupled form; Rosenfeld et al. 2020 (arXiv 1909.12673),
equation 5, for the envelope with its ceiling; Bryant and Liu 2026 (arXiv 2605.09189) for the bounded sum.
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
    any_share,
    exponent,
    joint_exponents,
    location,
    softplus,
)


def separable_basis(shape: Values, log_x: Array) -> Values:
    """1, N^-alpha, D^-beta (and S^-gamma with a third axis)."""
    powers = np.exp(-shape[:, None, :] * log_x)
    return np.concatenate([np.ones_like(powers[..., :1]), powers], axis=-1)


def product_basis(shape: Values, log_x: Array) -> Values:
    """1, N^-alpha D^-beta (S^-gamma)."""
    product = np.exp(-(shape[:, None, :] * log_x).sum(axis=-1))[..., None]
    return np.concatenate([np.ones_like(product), product], axis=-1)


def interaction_basis(shape: Values, log_x: Array) -> Values:
    """1, N^-alpha, D^-beta, N^-alpha D^-beta."""
    basis = separable_basis(shape, log_x)
    return np.concatenate([basis, basis[..., 1:2] * basis[..., 2:3]], axis=-1)


def coupled_basis(shape: Values, log_x: Array) -> Values:
    """1, (r N^-(alpha/c) + (1 - r) D^-(beta/c))^c with shapes alpha, beta, logit r, ln c."""
    c = np.exp(shape[:, 3:4])
    inside = _mixed(shape[:, :1] / c, shape[:, 1:2] / c, shape[:, 2:3], log_x)
    power = np.exp(c * inside)[..., None]
    return np.concatenate([np.ones_like(power), power], axis=-1)


def kaplan_basis(shape: Values, log_x: Array) -> Values:
    """(r N^-(alpha/beta) + (1 - r) D^-1)^beta for shapes alpha, beta, logit r; no floor, as published."""
    alpha, beta = shape[:, :1], shape[:, 1:2]
    safe = np.where(np.abs(beta) > 1e-6, beta, 1e-6)
    return np.exp(safe * _mixed(alpha / safe, np.ones_like(safe), shape[:, 2:3], log_x))[..., None]


def _mixed(n_power: Values, d_power: Values, logit: Values, log_x: Array) -> Values:
    """ln(r N^-n + (1 - r) D^-d)."""
    first = -n_power * log_x[:, 0] - softplus(-logit)
    second = -d_power * log_x[:, 1] - softplus(logit)
    top = np.where(first.real > second.real, first, second)
    return np.asarray(top + np.log(np.exp(first - top) + np.exp(second - top)))


def bounded_sum_basis(shape: Values, log_x: Array) -> Values:
    """1/(1+h), h/(1+h) with h = exp(ln_h) (r N^-alpha + (1 - r) D^-beta)."""
    log_h = _mixed(shape[:, :1], shape[:, 1:2], shape[:, 2:3], log_x) + shape[:, 3:4]
    return np.stack([np.exp(-softplus(log_h)), np.exp(-softplus(-log_h))], axis=-1)


def rosenfeld_basis(shape: Values, log_x: Array) -> Values:
    """e / sqrt(1 + e^2) with e = exp(ln_h) (r N^-alpha + (1 - r) D^-beta) + exp(ln_c), times L0."""
    log_h = _mixed(shape[:, :1], shape[:, 1:2], shape[:, 2:3], log_x) + shape[:, 3:4]
    e = np.exp(np.where(log_h.real > 300, 300.0, log_h)) + np.exp(shape[:, 4:5])
    return np.asarray(e / np.sqrt(1.0 + e * e))[..., None]


def _separable_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, floor, a, b = theta.T[:5]
    out = {"alpha": alpha, "beta": beta, "E": floor * loss_unit}
    out["A"] = a * loss_unit * np.exp(alpha * log_unit[0])
    out["B"] = b * loss_unit * np.exp(beta * log_unit[1])
    return out


def _interaction_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    both = theta[:, 5] * loss_unit * np.exp(theta[:, 0] * log_unit[0] + theta[:, 1] * log_unit[1])
    return {**_separable_units(theta, log_unit, loss_unit), "G": both}


def _product_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, floor, k = theta.T
    unit = loss_unit * np.exp(alpha * log_unit[0] + beta * log_unit[1])
    return {"alpha": alpha, "beta": beta, "E": floor * loss_unit, "k": k * unit}


def _coupled_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, logit, log_c, floor, k = theta.T
    c = np.exp(log_c)
    base = (k * loss_unit) ** (1.0 / c)
    out = {"alpha": alpha, "beta": beta, "c": c, "E": floor * loss_unit}
    out["A"] = base * special.expit(logit) * np.exp(alpha / c * log_unit[0])
    out["B"] = base * special.expit(-logit) * np.exp(beta / c * log_unit[1])
    return out


def _kaplan_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, logit, k = theta.T
    base = (k * loss_unit) ** (1.0 / beta)
    n_c = (base * special.expit(logit)) ** (beta / alpha) * np.exp(log_unit[0])
    return {"alpha": alpha, "beta": beta, "Nc": n_c, "Dc": base * special.expit(-logit) * np.exp(log_unit[1])}


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


def _two_exponents(z: Array) -> tuple[Array, Array]:
    alpha, beta = joint_exponents(z[:, :2]).T
    return alpha, beta


def _separable_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    share, split = any_share(z[:, 2]), any_share(z[:, 3])
    a = (1.0 - share) * split * np.exp(alpha * span.high[0])
    b = (1.0 - share) * (1.0 - split) * np.exp(beta * span.high[1])
    return np.stack([alpha, beta, share, a, b], axis=1)


def _interaction_prior(z: Array, span: Span) -> Array:
    theta, both = _separable_prior(z, span), any_share(z[:, 4])
    corner = np.exp(theta[:, 0] * span.high[0] + theta[:, 1] * span.high[1])
    extra = both * (1.0 - theta[:, 2]) * corner
    theta[:, 3:] *= (1.0 - both)[:, None]
    return np.concatenate([theta, extra[:, None]], axis=1)


def _product_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    share = any_share(z[:, 2])
    k = (1.0 - share) * np.exp(alpha * span.high[0] + beta * span.high[1])
    return np.stack([alpha, beta, share, k], axis=1)


def _coupled_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    shape = np.stack([alpha, beta, 1.5 * z[:, 3], 0.7 * z[:, 4]], axis=1)
    share = any_share(z[:, 2])
    at_last = coupled_basis(shape, span.high[None])[:, 0, 1].real
    return np.concatenate([shape, np.stack([share, (1.0 - share) / at_last], axis=1)], axis=1)


def _kaplan_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    return np.stack([alpha, beta, 1.5 * z[:, 2], np.ones(len(z))], axis=1)


def _bounded_sum_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    share = any_share(z[:, 2])
    return np.stack([alpha, beta, 1.5 * z[:, 3], 2.0 * z[:, 4], share, np.ones(len(z))], axis=1)


def _rosenfeld_prior(z: Array, span: Span) -> Array:
    alpha, beta = _two_exponents(z)
    return np.stack(
        [alpha, beta, 1.5 * z[:, 3], 2.0 * z[:, 4], -2.0 + 1.5 * z[:, 2], np.ones(len(z))], axis=1
    )


def _exponents(n: int) -> tuple[Shape, Shape]:
    return exponent("alpha", -1.0, 3.0, n), exponent("beta", -1.0, 3.0, n)


_RATIO = location("logit_r", -8.0, 8.0, 5)
_LOG_H = location("ln_h", -8.0, 8.0, 5)
SEPARABLE = ScalingLaw(
    name="separable",
    formula="E + A N^-alpha + B D^-beta",
    reference="Hoffmann et al. 2022, third approach",
    shapes=_exponents(20),
    amplitudes=("E", "A", "B"),
    basis=separable_basis,
    physical=_separable_units,
    prior=_separable_prior,
    n_prior=4,
    axes=2,
)
INTERACTION = ScalingLaw(
    name="interaction",
    formula="E + A N^-alpha + B D^-beta + G N^-alpha D^-beta",
    reference="sum and product of two powers",
    shapes=_exponents(20),
    amplitudes=("E", "A", "B", "G"),
    basis=interaction_basis,
    physical=_interaction_units,
    prior=_interaction_prior,
    n_prior=5,
    axes=2,
)
PRODUCT = ScalingLaw(
    name="product",
    formula="E + k N^-alpha D^-beta",
    reference="product of two powers with a floor",
    shapes=_exponents(20),
    amplitudes=("E", "k"),
    basis=product_basis,
    physical=_product_units,
    prior=_product_prior,
    n_prior=3,
    axes=2,
)
COUPLED = ScalingLaw(
    name="coupled",
    formula="E + (A N^-(alpha/c) + B D^-(beta/c))^c",
    reference="between Hoffmann's sum (c = 1) and Kaplan's form (c = beta)",
    shapes=(
        *_exponents(9),
        _RATIO,
        Shape(name="log_c", low=-2.5, high=2.5, grid=(-1.5, -0.7, 0.0, 0.7, 1.5)),
    ),
    amplitudes=("E", "k"),
    basis=coupled_basis,
    physical=_coupled_units,
    prior=_coupled_prior,
    n_prior=5,
    axes=2,
)
KAPLAN = ScalingLaw(
    name="kaplan",
    formula="((Nc/N)^(alpha/beta) + Dc/D)^beta",
    reference="Kaplan et al. 2020, equation 1.5",
    shapes=(
        exponent("alpha", 1e-3, 3.0, 14),
        exponent("beta", 1e-3, 3.0, 14),
        location("logit_r", -8.0, 8.0, 9),
    ),
    amplitudes=("k",),
    basis=kaplan_basis,
    physical=_kaplan_units,
    prior=_kaplan_prior,
    n_prior=3,
    axes=2,
)
BOUNDED_SUM = ScalingLaw(
    name="bounded_sum",
    formula="E + (L0 - E) h / (1 + h), h = a N^-alpha + b D^-beta",
    reference="Bryant and Liu 2026, without the overfitting term",
    shapes=(*_exponents(8), _RATIO, _LOG_H),
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
    shapes=(*_exponents(6), _RATIO, _LOG_H, location("ln_c", -6.0, 2.0, 4)),
    amplitudes=("L0",),
    basis=rosenfeld_basis,
    physical=_rosenfeld_units,
    prior=_rosenfeld_prior,
    n_prior=5,
    axes=2,
    ceiling="L0",
)
