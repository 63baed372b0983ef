"""Laws of three axes: parameters N, images D and a third scale S, such as pixels or S2 image scales.

Source: the families of Hoffmann et al. 2022 with a further power, as Shi et al. 2024 (arXiv 2403.13043, S2)
vary image scale beside model size. With few values of S only its offset and power can be told.
"""

from __future__ import annotations

import numpy as np

from mlproject.scaling.laws.law import Array, ScalingLaw, Span, any_share, exponent, joint_exponents
from mlproject.scaling.laws.two_axes import product_basis, separable_basis

EXPONENTS = (
    exponent("alpha", -1.0, 3.0, 9),
    exponent("beta", -1.0, 3.0, 9),
    exponent("gamma", -1.0, 3.0, 9),
)


def _separable_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    powers = theta[:, 4:] * loss_unit * np.exp(theta[:, :3] * log_unit)
    out = {"alpha": theta[:, 0], "beta": theta[:, 1], "gamma": theta[:, 2], "E": theta[:, 3] * loss_unit}
    return {**out, "A": powers[:, 0], "B": powers[:, 1], "G": powers[:, 2]}


def _product_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    out = {"alpha": theta[:, 0], "beta": theta[:, 1], "gamma": theta[:, 2], "E": theta[:, 3] * loss_unit}
    return {**out, "k": theta[:, 4] * loss_unit * np.exp(theta[:, :3] @ log_unit)}


def _separable_prior(z: Array, span: Span) -> Array:
    powers, share = joint_exponents(z[:, :3]), any_share(z[:, 3:4])
    parts = np.exp(z[:, 4:7])
    parts *= (1.0 - share) / parts.sum(axis=1, keepdims=True)
    return np.concatenate([powers, share, parts * np.exp(powers * span.high)], axis=1)


def _product_prior(z: Array, span: Span) -> Array:
    powers, share = joint_exponents(z[:, :3]), any_share(z[:, 3:4])
    return np.concatenate([powers, share, (1.0 - share) * np.exp(powers @ span.high)[:, None]], axis=1)


SEPARABLE3 = ScalingLaw(
    name="separable3",
    formula="E + A N^-alpha + B D^-beta + G S^-gamma",
    reference="Hoffmann et al. 2022 with a third power",
    shapes=EXPONENTS,
    amplitudes=("E", "A", "B", "G"),
    basis=separable_basis,
    physical=_separable_units,
    prior=_separable_prior,
    n_prior=7,
    axes=3,
)
PRODUCT3 = ScalingLaw(
    name="product3",
    formula="E + k N^-alpha D^-beta S^-gamma",
    reference="product of three powers with a floor",
    shapes=EXPONENTS,
    amplitudes=("E", "k"),
    basis=product_basis,
    physical=_product_units,
    prior=_product_prior,
    n_prior=4,
    axes=3,
)
