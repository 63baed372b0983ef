"""The optimisers of linear heads take torch.optim's steps; rates of rows are those of heads apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.errors import WrongUse
from mlproject.training import OPTIMIZERS, Diverged, build_optimizer
from mlproject.training.schedule import HEAD_UPDATES

RATES = st.floats(1e-5, 1.0)
DECAYS = st.floats(0.0, 0.5)


def start(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(4, 3, generator=draw, dtype=dtype), torch.randn(4, 1, generator=draw, dtype=dtype)]


def gradients(step: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(100 + step)
    return [torch.randn(4, 3, generator=draw, dtype=dtype), torch.randn(4, 1, generator=draw, dtype=dtype)]


def of_torch(
    name: str, values: list[torch.Tensor], lr: float, decay: float, steps: int
) -> list[torch.Tensor]:
    parameters = [torch.nn.Parameter(v.clone()) for v in values]
    optimizer = OPTIMIZERS[name](parameters, lr=lr, weight_decay=decay)  # type: ignore[call-arg]
    for step in range(steps):
        for parameter, gradient in zip(parameters, gradients(step, values[0].dtype), strict=True):
            parameter.grad = gradient
        optimizer.step()
    return [p.detach() for p in parameters]


@settings(max_examples=15)
@given(lr=RATES, decay=DECAYS, name=st.sampled_from(sorted(OPTIMIZERS)))
def test_a_head_with_shared_rates_takes_torchs_steps(lr: float, decay: float, name: str) -> None:
    values = start()
    expected = of_torch(name, values, lr, decay, 4)
    update = HEAD_UPDATES[name, False](values, lr, decay)
    for step in range(4):
        update(gradients(step))
    for value, reference in zip(values, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=2e-5, atol=2e-6)


@settings(max_examples=15)
@given(
    rates=st.lists(RATES, min_size=4, max_size=4),
    decays=st.lists(DECAYS, min_size=4, max_size=4),
    name=st.sampled_from(sorted(OPTIMIZERS)),
)
def test_rows_with_rates_of_their_own_move_as_separate_heads(
    rates: list[float], decays: list[float], name: str
) -> None:
    values = start(torch.float64)
    expected = [of_torch(name, values, lr, decay, 4) for lr, decay in zip(rates, decays, strict=True)]
    columns = [torch.tensor(c, dtype=torch.float64)[:, None] for c in (rates, decays)]
    update = HEAD_UPDATES[name, True](values, *columns)
    for step in range(4):
        update(gradients(step, torch.float64))
    for row in range(4):
        for value, reference in zip(values, expected[row], strict=True):
            torch.testing.assert_close(value[row], reference[row], rtol=1e-9, atol=1e-10)


def test_every_optimizer_has_an_update_for_shared_rates_and_for_rows() -> None:
    assert set(HEAD_UPDATES) == {(name, rows) for name in OPTIMIZERS for rows in (False, True)}


def test_momentum_is_used_by_sgd_alone() -> None:
    parameter = [torch.nn.Parameter(torch.ones(1))]
    rates = {"lr": 0.1, "weight_decay": 0.0, "momentum": 0.9}
    assert build_optimizer("sgd", parameter, **rates).param_groups[0]["momentum"] == 0.9
    assert "momentum" not in build_optimizer("adamw", parameter, **rates).param_groups[0]


def test_momentum_accumulates_the_gradients_of_earlier_steps() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer("sgd", [parameter], lr=1.0, weight_decay=0.0, momentum=0.5)
    for _ in range(3):
        parameter.grad = torch.ones(1)
        optimizer.step()
    assert parameter.item() == -(1 + 1.5 + 1.75)


def test_an_unknown_optimizer_has_the_status_of_wrong_use() -> None:
    with pytest.raises(WrongUse) as refused:
        build_optimizer("rmsprop", [], lr=1.0, weight_decay=0.0)
    assert str(refused.value) == "unknown optimizer 'rmsprop'; known: adam, adamw, sgd"
    assert (refused.value.status, Diverged("x").status) == (2, 1)
