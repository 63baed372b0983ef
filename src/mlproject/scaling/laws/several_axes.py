"""Laws of two and three axes that are sums or products of powers.

Axes are N (parameters), D (images, or examples seen) and, with three, S (image scale):

    separable    L = E + A N^-alpha + B D^-beta           Hoffmann et al. 2022, arXiv 2203.15556, approach 3
    product      L = E + k N^-alpha D^-beta
    log_plane    L = k N^-alpha D^-beta                   a plane in logarithms: product without a floor
    interaction  L = E + A N^-alpha + B D^-beta + G N^-alpha D^-beta
    coupled      L = E + (A N^-(alpha/c) + B D^-(beta/c))^c    between separable (c = 1), kaplan (c = beta)
    kaplan       L = ((Nc/N)^(alpha/beta) + Dc/D)^beta    Kaplan et al. 2020, arXiv 2001.08361, equation 1.5
    separable3   L = E + A N^-alpha + B D^-beta + G S^-gamma     image scale as Shi et al. 2024 vary it
    product3     L = E + k N^-alpha D^-beta S^-gamma             (arXiv 2403.13043)

With few values of S only its offset and its power can be identified.
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
    floor_share,
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


def plane_basis(shape: Values, log_x: Array) -> Values:
    """N^-alpha D^-beta."""
    return product_basis(shape, log_x)[..., 1:]


def interaction_basis(shape: Values, log_x: Array) -> Values:
    """1, N^-alpha, D^-beta, N^-alpha D^-beta."""
    basis = separable_basis(shape, log_x)
    return np.concatenate([basis, basis[..., 1:2] * basis[..., 2:3]], axis=-1)


def coupled_basis(shape: Values, log_x: Array) -> Values:
    """1, (r N^-(alpha/c) + (1 - r) D^-(beta/c))^c with shapes alpha, beta, logit r, ln c."""
    c = np.exp(shape[:, 3:4])
    inside = log_mixture(shape[:, :1] / c, shape[:, 1:2] / c, shape[:, 2:3], log_x)
    power = np.exp(c * inside)[..., None]
    return np.concatenate([np.ones_like(power), power], axis=-1)


def kaplan_basis(shape: Values, log_x: Array) -> Values:
    """(r N^-(alpha/beta) + (1 - r) D^-1)^beta for shapes alpha, beta, logit r; no floor, as published."""
    alpha, beta = shape[:, :1], shape[:, 1:2]
    safe = np.where(np.abs(beta) > 1e-6, beta, 1e-6)
    return np.exp(safe * log_mixture(alpha / safe, np.ones_like(safe), shape[:, 2:3], log_x))[..., None]


def log_mixture(n_power: Values, d_power: Values, logit: Values, log_x: Array) -> Values:
    """ln(r N^-n + (1 - r) D^-d)."""
    first = -n_power * log_x[..., 0] - softplus(-logit)
    second = -d_power * log_x[..., 1] - softplus(logit)
    larger = first.real > second.real
    apart = np.where(larger, second - first, first - second)
    return np.asarray(np.where(larger, first, second) + np.log(1.0 + np.exp(apart)))


def _separable_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, floor, a, b = theta.T[:5]
    out = {"alpha": alpha, "beta": beta, "E": floor * loss_unit}
    out["A"] = a * loss_unit * np.exp(alpha * log_unit[0])
    out["B"] = b * loss_unit * np.exp(beta * log_unit[1])
    return out


def _interaction_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    product = theta[:, 5] * loss_unit * np.exp(theta[:, 0] * log_unit[0] + theta[:, 1] * log_unit[1])
    return {**_separable_units(theta, log_unit, loss_unit), "G": product}


def _product_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, floor, k = theta.T
    unit = loss_unit * np.exp(alpha * log_unit[0] + beta * log_unit[1])
    return {"alpha": alpha, "beta": beta, "E": floor * loss_unit, "k": k * unit}


def _plane_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, k = theta.T
    return {"alpha": alpha, "beta": beta, "k": k * loss_unit * np.exp(theta[:, :2] @ log_unit)}


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


def _separable_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    share, split = floor_share(z[:, 2]), any_share(z[:, 3])
    a = (1.0 - share) * split * np.exp(alpha * span.high[..., 0])
    b = (1.0 - share) * (1.0 - split) * np.exp(beta * span.high[..., 1])
    return np.stack([alpha, beta, share, a, b], axis=1)


def _interaction_prior(z: Array, span: Span) -> Array:
    theta, interaction = _separable_prior(z, span), any_share(z[:, 4])
    corner = np.exp(theta[:, 0] * span.high[..., 0] + theta[:, 1] * span.high[..., 1])
    product = interaction * (1.0 - theta[:, 2]) * corner
    theta[:, 3:] *= (1.0 - interaction)[:, None]
    return np.concatenate([theta, product[:, None]], axis=1)


def _product_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    share = any_share(z[:, 2])
    k = (1.0 - share) * np.exp(alpha * span.high[..., 0] + beta * span.high[..., 1])
    return np.stack([alpha, beta, share, k], axis=1)


def _plane_prior(z: Array, span: Span) -> Array:
    return np.concatenate([joint_exponents(z), np.ones((len(z), 1))], axis=1)


def _coupled_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    shape = np.stack([alpha, beta, 1.5 * z[:, 3], 0.7 * z[:, 4]], axis=1)
    share = floor_share(z[:, 2])
    at_last = coupled_basis(shape, span.high[..., None, :])[:, 0, 1].real
    return np.concatenate([shape, np.stack([share, (1.0 - share) / at_last], axis=1)], axis=1)


def _kaplan_prior(z: Array, span: Span) -> Array:
    alpha, beta = joint_exponents(z[:, :2]).T
    return np.stack([alpha, beta, 1.5 * z[:, 2], np.ones(len(z))], axis=1)


def two_exponents(n: int) -> tuple[Shape, Shape]:
    """alpha and beta, each with a grid of n values."""
    return exponent("alpha", -1.0, 3.0, n), exponent("beta", -1.0, 3.0, n)


RATIO = location("logit_r", -8.0, 8.0, 5)
SEPARABLE = ScalingLaw(
    name="separable",
    formula="E + A N^-alpha + B D^-beta",
    reference="Hoffmann et al. 2022, third approach",
    shapes=two_exponents(20),
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
    shapes=two_exponents(20),
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
    shapes=two_exponents(20),
    amplitudes=("E", "k"),
    basis=product_basis,
    physical=_product_units,
    prior=_product_prior,
    n_prior=3,
    axes=2,
)
LOG_PLANE = ScalingLaw(
    name="log_plane",
    formula="k N^-alpha D^-beta",
    reference="product of two powers without a floor",
    shapes=two_exponents(20),
    amplitudes=("k",),
    basis=plane_basis,
    physical=_plane_units,
    prior=_plane_prior,
    n_prior=2,
    axes=2,
)
COUPLED = ScalingLaw(
    name="coupled",
    formula="E + (A N^-(alpha/c) + B D^-(beta/c))^c",
    reference="between Hoffmann's sum (c = 1) and Kaplan's form (c = beta)",
    shapes=(
        *two_exponents(9),
        RATIO,
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
THREE_EXPONENTS = tuple(exponent(name, -1.0, 3.0, 9) for name in ("alpha", "beta", "gamma"))


def _separable3_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    powers = theta[:, 4:] * loss_unit * np.exp(theta[:, :3] * log_unit)
    out = {"alpha": theta[:, 0], "beta": theta[:, 1], "gamma": theta[:, 2], "E": theta[:, 3] * loss_unit}
    return {**out, "A": powers[:, 0], "B": powers[:, 1], "G": powers[:, 2]}


def _product3_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    out = {"alpha": theta[:, 0], "beta": theta[:, 1], "gamma": theta[:, 2], "E": theta[:, 3] * loss_unit}
    return {**out, "k": theta[:, 4] * loss_unit * np.exp(theta[:, :3] @ log_unit)}


def _separable3_prior(z: Array, span: Span) -> Array:
    powers, share = joint_exponents(z[:, :3]), floor_share(z[:, 3:4])
    parts = np.exp(z[:, 4:7])
    parts *= (1.0 - share) / parts.sum(axis=1, keepdims=True)
    return np.concatenate([powers, share, parts * np.exp(powers * span.high)], axis=1)


def _product3_prior(z: Array, span: Span) -> Array:
    powers, share = joint_exponents(z[:, :3]), floor_share(z[:, 3:4])
    return np.column_stack([powers, share, (1.0 - share[:, 0]) * np.exp(np.vecdot(powers, span.high))])


SEPARABLE3 = ScalingLaw(
    name="separable3",
    formula="E + A N^-alpha + B D^-beta + G S^-gamma",
    reference="Hoffmann et al. 2022 with a third power",
    shapes=THREE_EXPONENTS,
    amplitudes=("E", "A", "B", "G"),
    basis=separable_basis,
    physical=_separable3_units,
    prior=_separable3_prior,
    n_prior=7,
    axes=3,
)
PRODUCT3 = ScalingLaw(
    name="product3",
    formula="E + k N^-alpha D^-beta S^-gamma",
    reference="product of three powers with a floor",
    shapes=THREE_EXPONENTS,
    amplitudes=("E", "k"),
    basis=product_basis,
    physical=_product3_units,
    prior=_product3_prior,
    n_prior=4,
    axes=3,
)
