"""Training without autograd equals torch's autograd and optimisers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlproject.training import (
    OPTIMIZERS,
    Diverged,
    HeadSettings,
    LinearHead,
    batch_gradient,
    build_optimizer,
    generator,
    initial_head,
    train_head,
)
from tests.training.heads.cases import LOSSES, N_OUT, TORCH_LOSSES, WIDTH, N, copy, epochs, examples


def plainly(head: LinearHead, settings: HeadSettings) -> tuple[nn.Linear, torch.Tensor]:
    """The same training with autograd and torch.optim; the losses are means over each batch."""
    inputs, targets = examples(settings.loss)
    linear = nn.Linear(WIDTH, N_OUT)
    linear.load_state_dict({"weight": head.weight, "bias": head.bias})
    optimizer = build_optimizer(
        settings.optimizer, linear.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    losses, masks, keep = [], generator(2, "dropout"), 1 - settings.dropout
    for batch in (b for epoch in epochs() for b in epoch):
        x = inputs[batch]
        if settings.dropout:
            x = x * torch.empty(x.shape).bernoulli_(keep, generator=masks) / keep
        optimizer.zero_grad()
        loss = TORCH_LOSSES[settings.loss](linear(x), targets[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return linear, torch.stack(losses)


@pytest.mark.parametrize("block", [1 << 20, 5 * WIDTH * 4])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_by_hand_equals_autograd(
    optimizer: str, loss: str, dropout: float, block: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("mlproject.training.heads.linear.BLOCK_BYTES", block)
    training = HeadSettings(loss=loss, optimizer=optimizer, lr=0.01, weight_decay=0.02, dropout=dropout)
    head = initial_head(WIDTH, N_OUT, generator(0, "init"))
    linear, plain = plainly(head, training)
    seen = train_head(head, *examples(loss), epochs(), training, dropout=generator(2, "dropout"))
    torch.testing.assert_close(head.weight, linear.weight.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(head.bias, linear.bias.detach(), atol=1e-5, rtol=0)
    sizes = [len(b) for epoch in epochs() for b in epoch]
    means = torch.stack([part.mean() for part in seen.split(sizes)])
    torch.testing.assert_close(means, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_batch_gradient_equals_autograd(loss: str):
    inputs, targets = examples(loss)
    head = initial_head(WIDTH, N_OUT, generator(0, "init"))
    leaves = [head.weight.clone().requires_grad_(), head.bias.clone().requires_grad_()]
    expected = TORCH_LOSSES[loss](F.linear(inputs, *leaves), targets)
    expected.backward()
    mean, norm = batch_gradient(head, inputs, targets, loss)
    assert mean == pytest.approx(expected.item(), rel=1e-5)
    assert norm == pytest.approx(torch.cat([v.grad.flatten() for v in leaves]).norm().item(), rel=1e-5)


def test_a_head_starts_as_nn_linear_does():
    torch.manual_seed(5)
    linear = nn.Linear(WIDTH, N_OUT)
    head = initial_head(WIDTH, N_OUT, torch.Generator().manual_seed(5))
    torch.testing.assert_close(head.weight, linear.weight.detach())
    torch.testing.assert_close(head.bias, linear.bias.detach())


def test_its_own_output_as_target_gives_exactly_zero():
    inputs, _ = examples("mse")
    head = initial_head(WIDTH, WIDTH, generator(0, "init"))
    before = copy(head)
    seen = train_head(head, inputs, None, epochs(), HeadSettings(loss="mse", optimizer="adam", lr=0.1))
    assert not seen.any()
    assert torch.equal(head.weight, before.weight)


def test_a_learning_rate_that_blows_up_is_named():
    head = initial_head(WIDTH, N_OUT, generator(0, "init"))
    with pytest.raises(Diverged, match=r"diverged in epoch \d+: sgd with lr=1e\+30; try a smaller lr"):
        train_head(head, *examples("mse"), epochs(9), HeadSettings(loss="mse", optimizer="sgd", lr=1e30))


def test_an_identity_is_learned():
    inputs, _ = examples("mse")
    head = initial_head(WIDTH, WIDTH, generator(0, "init"))
    seen = train_head(head, inputs, inputs, epochs(400), HeadSettings(loss="mse", optimizer="adam", lr=0.01))
    assert seen[-N:].max() < 1e-6
