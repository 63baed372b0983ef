"""Full-batch gradient descent on mean squared error, at every learning rate and step without taking one.

With X̃ = [X, 1], residuals R_t = X̃θ_t - Y and η = 2 lr / (n d), a step is R_{t+1} = (I - η X̃X̃ᵀ) R_t. One
eigendecomposition X̃X̃ᵀ = U diag(s) Uᵀ therefore gives the residuals of other images X̃_v for all t,

    R_v(t) = R_v(0) - X̃_v X̃ᵀ U diag(c) Uᵀ R_0,      c_j = (1 - (1 - η s_j)^t) / s_j    (η t where s_j = 0)

and their mean square is a quadratic form in c, which costs k² for each (lr, t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlproject.training.heads.linear import LinearHead

RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class FullDescent:
    """Full-batch descents from one start, at all rates and steps: what their losses have in common.

    Shapes: ``s`` and ``linear`` [n], ``square`` [n, n], for n training images.
    """

    s: Tensor
    constant: Tensor
    linear: Tensor
    square: Tensor
    n_trained: int
    n_judged: int

    @classmethod
    def of(
        cls, start: LinearHead, train: tuple[Tensor, Tensor], judged: tuple[Tensor, Tensor]
    ) -> FullDescent:
        """The descents on ``train`` judged on ``judged``: inputs [n, in] and targets [n, out] each."""
        x, residual = _residual(start, *train)
        x_judged, judged_residual = _residual(start, *judged)
        s, u = torch.linalg.eigh(x @ x.T)
        carried, moved = u.T @ residual, x_judged @ (x.T @ u)
        return cls(
            s=torch.where(s > RANK_TOLERANCE * s[-1], s, torch.zeros_like(s)),
            constant=judged_residual.square().sum(),
            linear=(moved.T @ judged_residual * carried).sum(1),
            square=(moved.T @ moved) * (carried @ carried.T),
            n_trained=residual.numel(),
            n_judged=judged_residual.numel(),
        )

    def losses(self, rates: Sequence[float], steps: Sequence[int]) -> Tensor:
        """Mean squared errors [rates, steps] after so many steps at such a learning rate, in float64.

        A rate that diverges gives what overflows to: infinity or no number.
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
        return total / self.n_judged


def _residual(start: LinearHead, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs with a column of ones for the bias, and the residuals of the head that training starts from."""
    x = inputs.double()
    residual = x @ start.weight.double().T + start.bias.double() - targets.double()
    return torch.cat([x, torch.ones_like(x[:, :1])], 1), residual
