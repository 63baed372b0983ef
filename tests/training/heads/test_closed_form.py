"""Closed forms: ridge equals the normal equations and leaving one out, gradient descent equals its steps."""

from __future__ import annotations

import pytest
import torch

from mlproject.training import FullBatchDescent, HeadSettings, generator, initial_head, ridge_path, train_head
from tests.training.heads.cases import N_OUT, WIDTH, copy, examples

SHAPES = [(30, 8, 3), (12, 40, 2), (12, 40, 30), (30, 8, 50)]


def planted_examples(n: int, n_in: int, n_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = generator(11, "examples")
    inputs = torch.randn(n, n_in, generator=draw, dtype=torch.double) + 3
    planted = torch.randn(n_in, n_out, generator=draw, dtype=torch.double)
    noise = torch.randn(n, n_out, generator=draw, dtype=torch.double)
    return inputs, inputs @ planted + noise - 5


def normal_equations(x: torch.Tensor, y: torch.Tensor, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [in, out] and intercept of (XᵀX + λI) W = XᵀY with an unpenalised column of ones."""
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    diagonal = penalty * torch.eye(ones.shape[1], dtype=x.dtype)
    diagonal[-1, -1] = 0
    solution = torch.linalg.solve(ones.T @ ones + diagonal, ones.T @ y)
    return solution[:-1], solution[-1]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_solution_is_that_of_the_normal_equations(shape: tuple[int, int, int]):
    x, y = planted_examples(*shape)
    path = ridge_path(x, y, torch.tensor([0.7], dtype=torch.double))
    weight, bias = normal_equations(x, y, 0.7)
    torch.testing.assert_close(path.weight, weight.T, atol=1e-8, rtol=0)
    torch.testing.assert_close(path.bias, bias, atol=1e-8, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_leave_one_out_equals_leaving_one_out(shape: tuple[int, int, int]):
    x, y = planted_examples(*shape)
    lambdas = torch.tensor([0.01, 1.0, 100.0], dtype=torch.double)
    left_out = ridge_path(x, y, lambdas).left_out
    for value, error in zip(lambdas.tolist(), left_out.tolist(), strict=True):
        squares = []
        for i in range(len(x)):
            rest = torch.arange(len(x)) != i
            weight, bias = normal_equations(x[rest], y[rest], value)
            squares.append((y[i] - x[i] @ weight - bias).square().mean())
        assert error == pytest.approx(torch.stack(squares).mean().item(), abs=1e-8, rel=1e-8)


def test_noise_asks_for_a_penalty_and_an_identity_for_none():
    draw = generator(0, "noise")
    inputs = torch.randn(25, 60, generator=draw)
    noise = ridge_path(inputs, torch.randn(25, 2, generator=draw))
    identity = ridge_path(torch.randn(90, 8, generator=draw), torch.randn(90, 8, generator=draw))
    assert noise.best > noise.lambdas[len(noise.lambdas) // 2]
    assert identity.best > identity.lambdas[0]
    same = torch.randn(90, 8, generator=draw)
    assert ridge_path(same, same).best == ridge_path(same, same).lambdas[0]


def test_constant_features_predict_the_mean():
    path = ridge_path(torch.ones(6, 3), torch.arange(6.0)[:, None])
    torch.testing.assert_close(path.bias, torch.tensor([2.5], dtype=torch.double))
    assert not path.weight.any()


def test_descent_in_closed_form_equals_descent_step_by_step():
    inputs, targets = examples("mse")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    train, evaluated = (inputs[:30], targets[:30]), (inputs[30:], targets[30:])
    rates, steps = [0.01, 0.1, 1.0], [1, 5, 40]
    table = FullBatchDescent.of(start, train, evaluated).losses(rates, steps)
    for i, lr in enumerate(rates):
        for j, count in enumerate(steps):
            head = copy(start)
            every = [[torch.arange(30)] for _ in range(count)]
            train_head(head, *train, every, HeadSettings(loss="mse", optimizer="sgd", lr=lr))
            expected = (head(evaluated[0]).double() - evaluated[1]).square().mean()
            assert table[i, j].item() == pytest.approx(expected.item(), rel=1e-5)


def test_descent_in_closed_form_shows_a_rate_that_diverges():
    inputs, targets = examples("mse")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    (losses,) = FullBatchDescent.of(start, (inputs, targets), (inputs, targets)).losses([1e6], [1, 4000])
    assert losses[0].isfinite()
    assert not losses[1].isfinite()
