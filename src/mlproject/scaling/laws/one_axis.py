"""Laws of one axis: power laws with a floor, a shift or a bend.

    power        L = k x^-alpha                                       Hestness et al. 2017, arXiv 1712.00409
    power_floor  L = E + k x^-alpha                                   the same, with an irreducible loss E
    shifted      L = k (x + x0)^-alpha                                Zhai et al. 2022 without its floor
    zhai         L = E + k (x + x0)^-alpha                            Zhai et al. 2022, arXiv 2106.04560
    m3           L = k (1/x + g)^alpha                         Alabdulmohsin et al. 2022, arXiv 2209.06640
    log_linear   L = k f ln(1 + (xc / x)^(1/f))    a line in ln x far below xc, k x^-(1/f) far above it

E has the unit of the loss.
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


def power_basis(shape: Values, log_x: Array) -> Values:
    """x^-alpha."""
    return np.asarray(np.exp(-shape[:, :1] * log_x[..., 0])[..., None])


def floor_basis(shape: Values, log_x: Array) -> Values:
    """1, x^-alpha."""
    return with_floor(power_basis(shape, log_x))


def shifted_basis(shape: Values, log_x: Array) -> Values:
    """(x + x0)^-alpha, scaled so that its value at x = 1 is 1; x0 = exp(shape 1)."""
    x0 = np.exp(shape[:, 1:2])
    shifted = (np.exp(log_x[..., 0]) + x0) / (1.0 + x0)
    return np.exp(-shape[:, :1] * np.log(shifted))[..., None]


def zhai_basis(shape: Values, log_x: Array) -> Values:
    """1, (x + x0)^-alpha."""
    return with_floor(shifted_basis(shape, log_x))


def m3_basis(shape: Values, log_x: Array) -> Values:
    """(1/x + g)^alpha, scaled so that its value at x = 1 is 1; g = exp(shape 1)."""
    g = np.exp(shape[:, 1:2])
    return np.exp(shape[:, :1] * np.log((np.exp(-log_x[..., 0]) + g) / (1.0 + g)))[..., None]


def log_linear_basis(shape: Values, log_x: Array) -> Values:
    """f ln(1 + (xc / x)^(1/f)) for shapes ln xc, ln f."""
    f = np.exp(shape[:, 1:2])
    return np.asarray(f * softplus((shape[:, :1] - log_x[..., 0]) / f))[..., None]


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


def _log_linear_units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    log_xc, log_f, k = theta.T
    return {"xc": np.exp(log_xc + log_unit[0]), "f": np.exp(log_f), "k": k * loss_unit}


def _power_prior(z: Array, span: Span) -> Array:
    return np.stack([plausible_direction(z[:, 0]), np.ones(len(z))], axis=1)


def _floor_prior(z: Array, span: Span) -> Array:
    alpha, share = plausible_exponent(z[:, 0]), plausible_share(z[:, 1])
    return np.stack([alpha, share, (1.0 - share) * np.exp(alpha * span.high[..., 0])], axis=1)


def _shifted_prior(z: Array, span: Span) -> Array:
    shift = plausible_place(z[:, 1], span.low[..., 0] - 1.0, span.high[..., 0] + 1.0)
    return np.stack([plausible_exponent(z[:, 0], 0.5), shift, np.ones(len(z))], axis=1)


def _zhai_prior(z: Array, span: Span) -> Array:
    alpha, shift, _ = _shifted_prior(z, span).T
    share = plausible_share(z[:, 2])
    at_last = shifted_basis(np.stack([alpha, shift], axis=1), span.high[..., None, :])[:, 0, 0].real
    return np.stack([alpha, shift, share, (1.0 - share) / at_last], axis=1)


def _m3_prior(z: Array, span: Span) -> Array:
    """The bend lies inside the data, as breaks do: a bend beyond the data would bend every straight curve."""
    log_g = -plausible_place(z[:, 1], span.low[..., 0], span.high[..., 0])
    return np.stack([plausible_exponent(z[:, 0], 0.5), log_g, np.ones(len(z))], axis=1)


def _log_linear_prior(z: Array, span: Span) -> Array:
    """The line ends between the last e-fold of the data and six e-folds beyond, abruptly or softly."""
    log_xc = plausible_place(z[:, 0], span.high[..., 0] - 1.0, span.high[..., 0] + 6.0)
    return np.stack([log_xc, np.log(0.3) + z[:, 1], np.ones(len(z))], axis=1)


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
LOG_LINEAR = ScalingLaw(
    name="log_linear",
    formula="k f ln(1 + (xc / x)^(1/f))",
    reference="a line in ln x that ends as a power law",
    shapes=(
        location("log_xc", -4.0, 12.0, 24),
        Shape(name="log_f", low=-4.0, high=2.0, grid=(-3.0, -2.0, -1.0, 0.0, 1.0)),
    ),
    amplitudes=("k",),
    basis=log_linear_basis,
    physical=_log_linear_units,
    prior=_log_linear_prior,
    n_prior=2,
)
