"""Laws of one axis: power laws with a floor or a shift, and smoothly broken power laws.

    power        L = k x^-alpha                                       Hestness et al. 2017, arXiv 1712.00409
    power_floor  L = E + k x^-alpha                                   the same, with an irreducible loss E
    shifted      L = k (x + x0)^-alpha                                Zhai et al. 2022 without its floor
    zhai         L = E + k (x + x0)^-alpha                            Zhai et al. 2022, arXiv 2106.04560
    m3           L = k (1/x + g)^alpha                         Alabdulmohsin et al. 2022, arXiv 2209.06640
    bnsl1, 2     L = E + k x^-alpha prod_i (1 + (x/d_i)^(1/f_i))^(-c_i f_i)      Caballero et al. 2023, arXiv
                                                                      2210.14891, equation 1

The local exponent of a broken law goes from alpha to alpha + c_i around d_i (in the unit of x) over f_i
e-folds. E has the unit of the loss.
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
    plausible_direction,
    plausible_exponent,
    plausible_place,
    plausible_share,
    softplus,
    with_floor,
)

LARGEST_LOG = 300.0  # a logarithm beyond it would overflow


def power_basis(shape: Values, log_x: Array) -> Values:
    """x^-alpha."""
    return np.asarray(np.exp(-shape[:, :1] * log_x[:, 0])[..., None])


def floor_basis(shape: Values, log_x: Array) -> Values:
    """1, x^-alpha."""
    return with_floor(power_basis(shape, log_x))


def shifted_basis(shape: Values, log_x: Array) -> Values:
    """(x + x0)^-alpha, scaled so that its value at x = 1 is 1; x0 = exp(shape 1)."""
    x0 = np.exp(shape[:, 1:2])
    shifted = (np.exp(log_x[:, 0]) + x0) / (1.0 + x0)
    return np.exp(-shape[:, :1] * np.log(shifted))[..., None]


def zhai_basis(shape: Values, log_x: Array) -> Values:
    """1, (x + x0)^-alpha."""
    return with_floor(shifted_basis(shape, log_x))


def m3_basis(shape: Values, log_x: Array) -> Values:
    """(1/x + g)^alpha, scaled so that its value at x = 1 is 1; g = exp(shape 1)."""
    g = np.exp(shape[:, 1:2])
    return np.exp(shape[:, :1] * np.log((np.exp(-log_x[:, 0]) + g) / (1.0 + g)))[..., None]


def _power_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha = theta[:, 0]
    return {"alpha": alpha, "k": theta[:, 1] * loss_unit * np.exp(alpha * log_unit[0])}


def _floor_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    return {**_power_units(theta[:, [0, 2]], log_unit, loss_unit), "E": theta[:, 1] * loss_unit}


def _shifted_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, log_x0, k = theta.T
    at_one = np.exp(alpha * (log_unit[0] + np.log1p(np.exp(log_x0))))
    return {"alpha": alpha, "x0": np.exp(log_x0 + log_unit[0]), "k": k * loss_unit * at_one}


def _zhai_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    return {**_shifted_units(theta[:, [0, 1, 3]], log_unit, loss_unit), "E": theta[:, 2] * loss_unit}


def _m3_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, log_g, k = theta.T
    at_one = np.exp(alpha * (log_unit[0] - np.log1p(np.exp(log_g))))
    return {"alpha": alpha, "g": np.exp(log_g - log_unit[0]), "k": k * loss_unit * at_one}


def _power_prior(z: Array, span: Span) -> Array:
    return np.stack([plausible_direction(z[:, 0]), np.ones(len(z))], axis=1)


def _floor_prior(z: Array, span: Span) -> Array:
    alpha, share = plausible_exponent(z[:, 0]), plausible_share(z[:, 1])
    return np.stack([alpha, share, (1.0 - share) * np.exp(alpha * span.high[0])], axis=1)


def _shifted_prior(z: Array, span: Span) -> Array:
    shift = plausible_place(z[:, 1], span.low[0] - 1.0, span.high[0] + 1.0)
    return np.stack([plausible_exponent(z[:, 0], 0.5), shift, np.ones(len(z))], axis=1)


def _zhai_prior(z: Array, span: Span) -> Array:
    alpha, shift, _ = _shifted_prior(z, span).T
    share = plausible_share(z[:, 2])
    at_last = shifted_basis(np.stack([alpha, shift], axis=1), span.high[None])[:, 0, 0].real
    return np.stack([alpha, shift, share, (1.0 - share) / at_last], axis=1)


def _m3_prior(z: Array, span: Span) -> Array:
    """The bend lies inside the data, as breaks do: a bend beyond the data would bend every straight curve."""
    log_g = -plausible_place(z[:, 1], span.low[0], span.high[0])
    return np.stack([plausible_exponent(z[:, 0], 0.5), log_g, np.ones(len(z))], axis=1)


POWER = ScalingLaw(
    name="power",
    formula="k x^-alpha",
    reference="Hestness et al. 2017",
    shapes=(exponent("alpha", -10.0, 10.0, 30),),
    amplitudes=("k",),
    basis=power_basis,
    physical=_power_units,
    prior=_power_prior,
    n_prior=1,
)
POWER_FLOOR = ScalingLaw(
    name="power_floor",
    formula="E + k x^-alpha",
    reference="Hestness et al. 2017; Rosenfeld et al. 2020",
    shapes=(exponent("alpha", n=36),),
    amplitudes=("E", "k"),
    basis=floor_basis,
    physical=_floor_units,
    prior=_floor_prior,
    n_prior=2,
)
SHIFTED = ScalingLaw(
    name="shifted",
    formula="k (x + x0)^-alpha",
    reference="Zhai et al. 2022, without its floor",
    shapes=(exponent("alpha", n=24), location("log_x0", -8.0, 5.0, 12)),
    amplitudes=("k",),
    basis=shifted_basis,
    physical=_shifted_units,
    prior=_shifted_prior,
    n_prior=2,
)
ZHAI = ScalingLaw(
    name="zhai",
    formula="E + k (x + x0)^-alpha",
    reference="Zhai et al. 2022, arXiv 2106.04560, equation 1",
    shapes=(exponent("alpha", n=24), location("log_x0", -8.0, 5.0, 12)),
    amplitudes=("E", "k"),
    basis=zhai_basis,
    physical=_zhai_units,
    prior=_zhai_prior,
    n_prior=3,
)
M3 = ScalingLaw(
    name="m3",
    formula="k (1/x + g)^alpha",
    reference="Alabdulmohsin et al. 2022, M3",
    shapes=(exponent("alpha", n=24), location("log_g", -8.0, 5.0, 12)),
    amplitudes=("k",),
    basis=m3_basis,
    physical=_m3_units,
    prior=_m3_prior,
    n_prior=2,
)


def log_broken(shape: Values, log_x: Array) -> Values:
    """ln of the broken power for shapes alpha, then (alpha after, ln d, ln f) for every break."""
    u = log_x[:, 0]
    before, total = shape[:, :1], -shape[:, :1] * u
    for start in range(1, shape.shape[1], 3):
        after, place, width = (shape[:, start + i : start + i + 1] for i in range(3))
        f = np.exp(width)
        total = total - (after - before) * f * softplus((u - place) / f)
        before = after
    return np.asarray(np.where(np.abs(total.real) < LARGEST_LOG, total, np.sign(total.real) * LARGEST_LOG))


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


def _break_prior(z: Array, low: float, high: float) -> list[Array]:
    return [
        plausible_exponent(z[:, 0], 0.3, 0.9),
        plausible_place(z[:, 1], low, high),
        np.log(0.5) + 0.6 * z[:, 2],
    ]


def _with_broken_level(columns: list[Array], share: Array, span: Span) -> Array:
    log_last = log_broken(np.stack(columns, axis=1), span.high[None])[:, 0].real
    return np.stack([*columns, share, (1.0 - share) * np.exp(-np.maximum(log_last, -LARGEST_LOG))], axis=1)


def _bnsl1_prior(z: Array, span: Span) -> Array:
    columns = [plausible_exponent(z[:, 0], 0.3, 0.9), *_break_prior(z[:, 1:4], span.low[0], span.high[0])]
    return _with_broken_level(columns, plausible_share(z[:, 4]), span)


def _bnsl2_prior(z: Array, span: Span) -> Array:
    middle = 0.5 * (span.low[0] + span.high[0])
    columns = [plausible_exponent(z[:, 0], 0.3, 0.9), *_break_prior(z[:, 1:4], span.low[0], middle)]
    columns += _break_prior(z[:, 4:7], middle, span.high[0])
    return _with_broken_level(columns, plausible_share(z[:, 7]), span)


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
    prior=_bnsl1_prior,
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
    prior=_bnsl2_prior,
    n_prior=8,
)
