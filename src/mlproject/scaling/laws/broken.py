"""Smoothly broken power laws with one and two breaks.

Source: Caballero et al. 2023 (arXiv 2210.14891), equation 1,

    L = E + k x^-alpha  prod_i (1 + (x / d_i)^(1 / f_i))^(-c_i f_i)

so that the local exponent goes from alpha to alpha + c_i around d_i (unit of x) over f_i e-folds.
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
    with_floor,
)

MOST = 300.0  # of a logarithm, so that no power overflows


def log_broken(shape: Values, log_x: Array) -> Values:
    """ln of the broken power for shapes alpha, then (alpha after, ln d, ln f) for every break."""
    u = log_x[:, 0]
    before, total = shape[:, :1], -shape[:, :1] * u
    for start in range(1, shape.shape[1], 3):
        after, place, width = (shape[:, start + i : start + i + 1] for i in range(3))
        f = np.exp(width)
        total = total - (after - before) * f * softplus((u - place) / f)
        before = after
    return np.asarray(np.where(np.abs(total.real) < MOST, total, np.sign(total.real) * MOST))


def broken_basis(shape: Values, log_x: Array) -> Values:
    """1, the broken power."""
    return with_floor(np.exp(log_broken(shape, log_x))[..., None])


def _broken_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    n_breaks = (theta.shape[1] - 3) // 3
    alpha, k = theta[:, 0], theta[:, -1]
    out = {"alpha": alpha, "k": k * loss_unit * np.exp(alpha * log_unit[0]), "E": theta[:, -2] * loss_unit}
    for i in range(n_breaks):
        after, place, width = theta[:, 1 + 3 * i], theta[:, 2 + 3 * i], theta[:, 3 + 3 * i]
        out[f"alpha{i + 1}"] = after
        out[f"d{i + 1}"] = np.exp(place + log_unit[0])
        out[f"f{i + 1}"] = np.exp(width)
    return out


def _one_break(z: Array, low: float, high: float) -> list[Array]:
    return [
        plausible_exponent(z[:, 0], 0.3, 0.9),
        plausible_place(z[:, 1], low, high),
        np.log(0.5) + 0.6 * z[:, 2],
    ]


def _finish(columns: list[Array], share: Array, span: Span) -> Array:
    log_last = log_broken(np.stack(columns, axis=1), span.high[None])[:, 0].real
    return np.stack([*columns, share, (1.0 - share) * np.exp(-np.maximum(log_last, -MOST))], axis=1)


def _bnsl1_prior(z: Array, span: Span) -> Array:
    columns = [plausible_exponent(z[:, 0], 0.3, 0.9), *_one_break(z[:, 1:4], span.low[0], span.high[0])]
    return _finish(columns, plausible_share(z[:, 4]), span)


def _bnsl2_prior(z: Array, span: Span) -> Array:
    middle = 0.5 * (span.low[0] + span.high[0])
    columns = [plausible_exponent(z[:, 0], 0.3, 0.9), *_one_break(z[:, 1:4], span.low[0], middle)]
    columns += _one_break(z[:, 4:7], middle, span.high[0])
    return _finish(columns, plausible_share(z[:, 7]), span)


def _shapes(n_breaks: int, n_exponents: int, n_places: int) -> tuple[Shape, ...]:
    wide = 8.0
    shapes = [exponent("alpha", -2.0, 5.0, n_exponents)]
    for i in range(n_breaks):
        edge = (-wide, wide) if n_breaks == 1 else ((-wide, 0.5) if i == 0 else (-0.5, wide))
        shapes.append(exponent(f"alpha{i + 1}", -2.0, 5.0, n_exponents))
        shapes.append(location(f"log_d{i + 1}", *edge, n_places))
        shapes.append(Shape(name=f"log_f{i + 1}", low=-3.0, high=2.0, grid=(-1.5, 0.0)))
    return tuple(shapes)


BNSL1 = ScalingLaw(
    name="bnsl1",
    formula="E + k x^-alpha (1 + (x/d1)^(1/f1))^(-(alpha1 - alpha) f1)",
    reference="Caballero et al. 2023, one break",
    shapes=_shapes(1, 10, 12),
    amplitudes=("E", "k"),
    basis=broken_basis,
    physical=_broken_units,
    prior=_bnsl1_prior,
    n_prior=5,
)
BNSL2 = ScalingLaw(
    name="bnsl2",
    formula="E + k x^-alpha prod_i (1 + (x/di)^(1/fi))^(-(alpha_i - alpha_(i-1)) fi), i = 1, 2",
    reference="Caballero et al. 2023, two breaks",
    shapes=_shapes(2, 5, 5),
    amplitudes=("E", "k"),
    basis=broken_basis,
    physical=_broken_units,
    prior=_bnsl2_prior,
    n_prior=8,
)
