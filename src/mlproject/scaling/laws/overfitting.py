"""The bounded law with an overfitting term, for designs whose examples seen differ from their unique images.

Source: Bryant and Liu 2026 (arXiv 2605.09189): with N parameters, T examples seen and D unique images,

    L = E + (L0 - E) h / (1 + h),    h = a / N^alpha + b / T^beta + c N^gamma / D^delta

L0 is the loss of an uninformed guess (ln of the number of classes) and is known. The last term grows with
the model and shrinks with unique images: it is what repeating few images costs. Axes in this order: N, T, D.
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
    location,
    plausible_exponent,
    plausible_share,
    softplus,
)

COARSE = (0.15, 0.4, 0.8)


def overfitting_basis(shape: Values, log_x: Array) -> Values:
    """1/(1+h), h/(1+h) with ln h = ln_h + ln((1-q) (r N^-alpha + (1-r) T^-beta) + q N^gamma D^-delta)."""
    log_n, log_t, log_d = log_x.T
    alpha, beta, gamma, delta, logit_r, log_h, logit_q = (shape[:, i : i + 1] for i in range(7))
    rest = -softplus(logit_q)
    terms = (
        rest - softplus(-logit_r) - alpha * log_n,
        rest - softplus(logit_r) - beta * log_t,
        -softplus(-logit_q) + gamma * log_n - delta * log_d,
    )
    top = np.maximum(np.maximum(terms[0].real, terms[1].real), terms[2].real)
    level = log_h + top + np.log(sum(np.exp(term - top) for term in terms))
    return np.stack([np.exp(-softplus(level)), np.exp(-softplus(-level))], axis=-1)


def _units(theta: Array, log_unit: Array, loss_unit: float) -> dict[str, Array]:
    alpha, beta, gamma, delta, logit_r, log_h, logit_q, floor, ceiling = theta.T
    few, many = np.exp(log_h) * special.expit(-logit_q), np.exp(log_h) * special.expit(logit_q)
    return {
        "alpha": alpha,
        "beta": beta,
        "gamma": gamma,
        "delta": delta,
        "E": floor * loss_unit,
        "L0": ceiling * loss_unit,
        "a": few * special.expit(logit_r) * np.exp(alpha * log_unit[0]),
        "b": few * special.expit(-logit_r) * np.exp(beta * log_unit[1]),
        "c": many * np.exp(delta * log_unit[2] - gamma * log_unit[0]),
    }


def _prior(z: Array, span: Span) -> Array:
    """The floor is a share of the loss at the largest scales, as in all laws, not of L0: it may be far below.

    There L = E + (1 - E) t = E / share in units of L0, so E = share t / (1 - share (1 - t)).
    """
    exponents = plausible_exponent(z[:, :4])
    places = np.stack([1.5 * z[:, 5], 2.0 * z[:, 6], 1.5 * z[:, 7] - 1.5], axis=1)
    shape, share = np.concatenate([exponents, places], axis=1), plausible_share(z[:, 4])
    left = overfitting_basis(shape, span.high[None])[:, 0, 1].real
    floor = share * left / (1.0 - share * (1.0 - left))
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
    physical=_units,
    prior=_prior,
    n_prior=8,
    axes=3,
    ceiling="L0",
)
