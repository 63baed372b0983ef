"""Heads that are trained together have the losses of heads that are trained one by one."""

from __future__ import annotations

import pytest
import torch

from mlproject.training import (
    OPTIMIZERS,
    BatchedHeads,
    HeadSettings,
    generator,
    initial_head,
    loss_and_gradient,
    train_head,
)
from tests.training.heads.cases import LOSSES, N_OUT, WIDTH, copy, epochs, examples


@pytest.mark.parametrize("together", [1, 2, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_heads_side_by_side_have_the_losses_of_heads_trained_one_by_one(
    optimizer: str, loss: str, together: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "mlproject.training.heads.batched_heads.BLOCK_BYTES", 2 * together * 4 * WIDTH * N_OUT
    )
    inputs, targets = examples(loss)
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    trainings = [
        HeadSettings(loss=loss, optimizer=optimizer, lr=lr, weight_decay=decay)
        for lr, decay in ((0.1, 0.0), (0.01, 0.1), (0.001, 0.01))
    ]
    stack = BatchedHeads(start, inputs, targets, trainings)
    for epoch in epochs():
        stack.run(epoch)
    side_by_side = stack.losses(inputs, targets)
    for i, training in enumerate(trainings):
        alone = copy(start)
        train_head(alone, inputs, targets, epochs(), training)
        expected, _ = loss_and_gradient(loss, alone(inputs).double(), targets.double())
        torch.testing.assert_close(side_by_side[i], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_head_that_is_dropped_leaves_the_others_as_they_would_be(
    optimizer: str, together: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "mlproject.training.heads.batched_heads.BLOCK_BYTES", 2 * together * 4 * WIDTH * N_OUT
    )
    inputs, targets = examples("mse")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    trainings = [HeadSettings(loss="mse", optimizer=optimizer, lr=lr) for lr in (0.1, 0.01, 0.001)]
    dropping, whole = (
        BatchedHeads(start, inputs, targets, trainings),
        BatchedHeads(start, inputs, targets, trainings),
    )
    for number, epoch in enumerate(epochs()):
        dropping.run(epoch)
        whole.run(epoch)
        dropping.drop({1} if number == 0 else set())
    assert dropping.members == [0, 2]
    kept, expected = dropping.losses(inputs, targets), whole.losses(inputs, targets)
    for i in (0, 2):
        torch.testing.assert_close(kept[i], expected[i], atol=1e-6, rtol=1e-6)


def test_dropout_in_a_stack_is_that_of_a_head_alone():
    inputs, targets = examples("cross_entropy")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    trainings = [
        HeadSettings(loss="cross_entropy", optimizer="adam", lr=0.01, dropout=share) for share in (0.0, 0.3)
    ]
    stack = BatchedHeads(
        start, inputs, targets, trainings, dropouts=[generator(2, "dropout") for _ in trainings]
    )
    for epoch in epochs():
        stack.run(epoch)
    alone = copy(start)
    train_head(alone, inputs, targets, epochs(), trainings[1], dropout=generator(2, "dropout"))
    expected, _ = loss_and_gradient("cross_entropy", alone(inputs).double(), targets.double())
    torch.testing.assert_close(stack.losses(inputs, targets)[1], expected, atol=1e-6, rtol=1e-6)


def test_heads_of_a_stack_share_loss_and_optimizer():
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    different = [HeadSettings(loss="mse", optimizer=name, lr=0.1) for name in ("adam", "sgd")]
    with pytest.raises(ValueError, match="share"):
        BatchedHeads(start, *examples("mse"), different)
