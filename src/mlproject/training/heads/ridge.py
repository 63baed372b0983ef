"""Ridge regression in closed form: the limit that training with mean squared error goes to.

Hoerl & Kennard (1970), doi 10.1080/00401706.1970.10488634; leave-one-out after Allen's PRESS (1974). With
X and Y centred (the intercept is not penalised), the head minimises  ‖Y - X Wᵀ‖² + λ ‖W‖². One
eigendecomposition, of X Xᵀ when n ≤ d and of XᵀX otherwise, gives orthogonal Z = X V with ‖z_j‖² = s_j and

    prediction(λ) = ȳ + Σ_j z_j (z_jᵀ Y) / (s_j + λ)         for every λ at once
    h_i(λ)        = 1/n + Σ_j z_ij² / (s_j + λ)              1/n is the intercept's leverage
    left out_i(λ) = (y_i - prediction_i) / (1 - h_i)         exact, no refitting
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

N_LAMBDAS = 33
SMALLEST, LARGEST = 1e-8, 1e2
"""Range of λ in units of the mean of the eigenvalues."""
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class RidgePath:
    """Every λ tried and its mean squared leave-one-out error; the solution for the best one.

    Shapes: ``lambdas`` and ``left_out`` [L], ``weight`` [out, in], ``bias`` [out]; all float64.
    """

    lambdas: Tensor
    left_out: Tensor
    best: float
    weight: Tensor
    bias: Tensor


def ridge_path(inputs: Tensor, targets: Tensor, lambdas: Tensor | None = None) -> RidgePath:
    """Solve the ridge problem for a path of λ and keep the one with the smallest leave-one-out error.

    Shapes: inputs [n, in], targets [n, out]; computed in float64.
    """
    x, y = inputs.double(), targets.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    z, axes, s = _decompose(x)
    if lambdas is None:
        span = torch.logspace(0, 1, N_LAMBDAS, base=LARGEST / SMALLEST, dtype=x.dtype, device=x.device)
        lambdas = span * SMALLEST * s.sum().clamp_min(1e-30) / max(1, len(s))
    left_out = _left_out(z, s, y, lambdas)
    best = lambdas[left_out.argmin()]
    weight = (axes @ ((z.T @ y) / (s + best)[:, None])).T
    return RidgePath(
        lambdas=lambdas, left_out=left_out, best=best.item(), weight=weight, bias=y_mean - weight @ x_mean
    )


def _decompose(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Z [n, k], V [in, k] and s [k] of centred inputs, without the directions that hold nothing."""
    tall = len(x) > x.shape[1]
    s, vectors = torch.linalg.eigh(x.T @ x if tall else x @ x.T)
    keep = s > RANK_TOLERANCE * s[-1].clamp_min(1e-30)
    s, vectors = s[keep], vectors[:, keep]
    if tall:
        return x @ vectors, vectors, s
    return vectors * s.sqrt(), x.T @ (vectors / s.sqrt()), s


def _left_out(z: Tensor, s: Tensor, y: Tensor, lambdas: Tensor) -> Tensor:
    """Mean squared leave-one-out error for every λ."""
    n, n_out = y.shape
    if n_out > n:  # lengths of residual rows do not change when Y is turned into its own row space
        y = torch.linalg.qr(y.T, mode="r").R.T
    fitted, leverage = z.T @ y, z.square()
    errors = []
    for value in lambdas:
        shrunk = 1 / (s + value)
        residual = y - z @ (fitted * shrunk[:, None])
        room = (1 - 1 / n - leverage @ shrunk).clamp_min(1e-15)
        errors.append((residual.square().sum(1) / room.square()).sum() / (n * n_out))
    return torch.stack(errors)
