"""Smoothly broken power laws, with a floor and without.

    bnsl1, bnsl2   L = E + k x^-alpha prod_i (1 + (x/d_i)^(1/f_i))^(-c_i f_i)    Caballero et al. 2023, arXiv
                                                                       2210.14891, equation 1, 1 and 2 breaks
    bnsl1_no_floor, bnsl2_no_floor   the same with E = 0, as a curve that steepens shows no floor

The local exponent goes from alpha to alpha + c_i around d_i (in the unit of x) over f_i e-folds. E has the
unit of the loss.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlproject.scaling.laws.law import (
    Array,
    Prior,
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

LARGEST_LOG = 300.0  # a logarithm beyond it would overflow


def log_broken(shape: Values, log_x: Array) -> Values:
    """ln of the broken power for shapes alpha, then (alpha after, ln d, ln f) for every break."""
    u = log_x[..., 0]
    before, total = shape[:, :1], -shape[:, :1] * u
    for start in range(1, shape.shape[1], 3):
        after, place, width = (shape[:, start + i : start + i + 1] for i in range(3))
        f = np.exp(width)
        total = total - (after - before) * f * softplus((u - place) / f)
        before = after
    return np.asarray(np.where(np.abs(total.real) < LARGEST_LOG, total, np.sign(total.real) * LARGEST_LOG))


def broken_power_basis(shape: Values, log_x: Array) -> Values:
    """The broken power."""
    return np.asarray(np.exp(log_broken(shape, log_x))[..., None])


def broken_basis(shape: Values, log_x: Array) -> Values:
    """1, the broken power."""
    return with_floor(broken_power_basis(shape, log_x))


def _broken_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    floor = _broken_power_units(np.delete(theta, -2, axis=1), log_unit, loss_unit)
    return {**floor, "E": theta[:, -2] * loss_unit}


def _broken_power_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, k = theta[:, 0], theta[:, -1]
    out = {"alpha": alpha, "k": k * loss_unit * np.exp(alpha * log_unit[0])}
    for i in range((theta.shape[1] - 2) // 3):
        after, place, width = theta[:, 1 + 3 * i], theta[:, 2 + 3 * i], theta[:, 3 + 3 * i]
        out[f"alpha{i + 1}"] = after
        out[f"d{i + 1}"] = np.exp(place + log_unit[0])
        out[f"f{i + 1}"] = np.exp(width)
    return out


def _break_prior(z: Array, low: Array | float, high: Array | float) -> list[Array]:
    return [
        plausible_exponent(z[:, 0], 0.3, 0.9),
        plausible_place(z[:, 1], low, high),
        np.log(0.5) + 0.6 * z[:, 2],
    ]


def _one_break(z: Array, span: Span) -> list[Array]:
    return [
        plausible_exponent(z[:, 0], 0.3, 0.9),
        *_break_prior(z[:, 1:4], span.low[..., 0], span.high[..., 0]),
    ]


def _two_breaks(z: Array, span: Span) -> list[Array]:
    middle = 0.5 * (span.low[..., 0] + span.high[..., 0])
    first, second = (
        _break_prior(z[:, 1:4], span.low[..., 0], middle),
        _break_prior(z[:, 4:7], middle, span.high[..., 0]),
    )
    return [plausible_exponent(z[:, 0], 0.3, 0.9), *first, *second]


def _broken_prior(breaks: Callable[[Array, Span], list[Array]]) -> Prior:
    """The last standard normal number gives the share of the floor."""

    def prior(z: Array, span: Span) -> Array:
        columns, share = breaks(z, span), plausible_share(z[:, -1])
        log_last = log_broken(np.stack(columns, axis=1), span.high[..., None, :])[:, 0].real
        level = (1.0 - share) * np.exp(-np.maximum(log_last, -LARGEST_LOG))
        return np.stack([*columns, share, level], axis=1)

    return prior


def _broken_power_prior(breaks: Callable[[Array, Span], list[Array]]) -> Prior:
    return lambda z, span: np.stack([*breaks(z, span), np.ones(len(z))], axis=1)


def _broken_shapes(n_breaks: int, n_exponents: int, n_places: int) -> tuple[Shape, ...]:
    end = 8.0
    shapes = [exponent("alpha", -2.0, 5.0, n_exponents)]
    for i in range(n_breaks):
        edge = (-end, end) if n_breaks == 1 else ((-end, 0.5) if i == 0 else (-0.5, end))
        shapes.append(exponent(f"alpha{i + 1}", -2.0, 5.0, n_exponents))
        shapes.append(location(f"log_d{i + 1}", *edge, n_places))
        shapes.append(Shape(name=f"log_f{i + 1}", low=-3.0, high=2.0, grid=(-1.5, 0.0)))
    return tuple(shapes)


BNSL1 = ScalingLaw(
    name="bnsl1",
    formula="E + k x^-alpha (1 + (x/d1)^(1/f1))^(-(alpha1 - alpha) f1)",
    reference="Caballero et al. 2023, one break",
    shapes=_broken_shapes(1, 10, 12),
    amplitudes=("E", "k"),
    basis=broken_basis,
    physical=_broken_units,
    prior=_broken_prior(_one_break),
    n_prior=5,
)
BNSL2 = ScalingLaw(
    name="bnsl2",
    formula="E + k x^-alpha prod_i (1 + (x/di)^(1/fi))^(-(alpha_i - alpha_(i-1)) fi), i = 1, 2",
    reference="Caballero et al. 2023, two breaks",
    shapes=_broken_shapes(2, 5, 5),
    amplitudes=("E", "k"),
    basis=broken_basis,
    physical=_broken_units,
    prior=_broken_prior(_two_breaks),
    n_prior=8,
)
BNSL1_NO_FLOOR = ScalingLaw(
    name="bnsl1_no_floor",
    formula="k x^-alpha (1 + (x/d1)^(1/f1))^(-(alpha1 - alpha) f1)",
    reference="Caballero et al. 2023, one break, E = 0",
    shapes=BNSL1.shapes,
    amplitudes=("k",),
    basis=broken_power_basis,
    physical=_broken_power_units,
    prior=_broken_power_prior(_one_break),
    n_prior=4,
)
BNSL2_NO_FLOOR = ScalingLaw(
    name="bnsl2_no_floor",
    formula="k x^-alpha prod_i (1 + (x/di)^(1/fi))^(-(alpha_i - alpha_(i-1)) fi), i = 1, 2",
    reference="Caballero et al. 2023, two breaks, E = 0",
    shapes=BNSL2.shapes,
    amplitudes=("k",),
    basis=broken_power_basis,
    physical=_broken_power_units,
    prior=_broken_power_prior(_two_breaks),
    n_prior=7,
)
