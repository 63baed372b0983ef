"""Linear heads in closed form: ridge regression, and full-batch gradient descent on mean squared error.

**Ridge regression** (Hoerl & Kennard 1970, doi 10.1080/00401706.1970.10488634) with leave-one-out errors
(Allen's PRESS, 1974). With X and Y centred (the intercept is not penalised), the head minimises
‖Y - X Wᵀ‖² + λ ‖W‖². One eigendecomposition, of X Xᵀ when n ≤ d and of XᵀX otherwise, gives orthogonal
Z = X V with ‖z_j‖² = s_j and

    prediction(λ) = ȳ + Σ_j z_j (z_jᵀ Y) / (s_j + λ)         for every λ at once
    h_i(λ)        = 1/n + Σ_j z_ij² / (s_j + λ)              1/n is the intercept's leverage
    left out_i(λ) = (y_i - prediction_i) / (1 - h_i)         exact, without refitting

**Gradient descent**: with X̃ = [X, 1], residuals R_t = X̃θ_t - Y and η = 2 lr / (n d), a step is
R_{t+1} = (I - η X̃X̃ᵀ) R_t. One eigendecomposition X̃X̃ᵀ = U diag(s) Uᵀ therefore gives the residuals of other
images X̃_v for all t,

    R_v(t) = R_v(0) - X̃_v X̃ᵀ U diag(c) Uᵀ R_0,      c_j = (1 - (1 - η s_j)^t) / s_j    (η t where s_j = 0)

and their mean square is a quadratic form in c, which costs k² for each (lr, t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlproject.training.heads.linear import LinearHead

N_LAMBDAS = 33
SMALLEST, LARGEST = 1e-8, 1e2
"""Range of λ in units of the mean of the eigenvalues."""
RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest count as 0."""


@dataclass(frozen=True, kw_only=True)
class RidgePath:
    """Every λ tried with its mean squared leave-one-out error, and the solution for the best λ.

    Shapes: ``lambdas`` and ``left_out`` [L], ``weight`` [out, in], ``bias`` [out]; all float64.
    """

    lambdas: Tensor
    left_out: Tensor
    best: float
    weight: Tensor
    bias: Tensor


def ridge_path(inputs: Tensor, targets: Tensor, lambdas: Tensor | None = None) -> RidgePath:
    """Solve the ridge problem for a path of λ and keep the solution of least leave-one-out error.

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
    """Z [n, k], V [in, k] and s [k] of centred inputs, without the null space."""
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
    if n_out > n:  # rotating Y into its row space keeps the lengths of the residual rows
        y = torch.linalg.qr(y.T, mode="r").R.T
    fitted, leverage = z.T @ y, z.square()
    errors = []
    for value in lambdas:
        shrunk = 1 / (s + value)
        residual = y - z @ (fitted * shrunk[:, None])
        room = (1 - 1 / n - leverage @ shrunk).clamp_min(1e-15)
        errors.append((residual.square().sum(1) / room.square()).sum() / (n * n_out))
    return torch.stack(errors)


@dataclass(frozen=True, kw_only=True)
class FullBatchDescent:
    """Closed-form losses of full-batch gradient descent for all learning rates and numbers of steps.

    Shapes: ``s`` and ``linear`` [n], ``square`` [n, n], for n training images.
    """

    s: Tensor
    constant: Tensor
    linear: Tensor
    square: Tensor
    n_trained: int
    n_evaluated: int

    @classmethod
    def of(
        cls, start: LinearHead, train: tuple[Tensor, Tensor], evaluated: tuple[Tensor, Tensor]
    ) -> FullBatchDescent:
        """Descent on ``train``, evaluated on other images: inputs [n, in] and targets [n, out] of each."""
        x, residual = _residual(start, *train)
        x_evaluated, evaluated_residual = _residual(start, *evaluated)
        s, u = torch.linalg.eigh(x @ x.T)
        carried, moved = u.T @ residual, x_evaluated @ (x.T @ u)
        return cls(
            s=torch.where(s > RANK_TOLERANCE * s[-1], s, torch.zeros_like(s)),
            constant=evaluated_residual.square().sum(),
            linear=(moved.T @ evaluated_residual * carried).sum(1),
            square=(moved.T @ moved) * (carried @ carried.T),
            n_trained=residual.numel(),
            n_evaluated=evaluated_residual.numel(),
        )

    def losses(self, rates: Sequence[float], steps: Sequence[int]) -> Tensor:
        """Mean squared errors [rates, steps] after so many steps at such a learning rate, in float64.

        A rate that diverges gives infinity or NaN.
        """
        s = self.s
        eta = 2 * torch.tensor(list(rates), dtype=s.dtype, device=s.device) / self.n_trained
        counts = torch.tensor(list(steps), dtype=s.dtype, device=s.device)
        shrink = eta[:, None, None] * s
        powers = (1 - shrink).pow(counts[None, :, None])
        flat = eta[:, None, None] * counts[None, :, None]
        c = torch.where(s > 0, (1 - powers) / torch.where(s > 0, s, 1.0), flat)
        quadratic = torch.einsum("lti,ij,ltj->lt", c, self.square, c)
        total: Tensor = self.constant - 2 * (c @ self.linear) + quadratic
        return total / self.n_evaluated


def _residual(start: LinearHead, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs with a column of ones for the bias, and the residuals of the initial head."""
    x = inputs.double()
    residual = x @ start.weight.double().T + start.bias.double() - targets.double()
    return torch.cat([x, torch.ones_like(x[:, :1])], 1), residual
