"""Heads trained by hand equal torch's own autograd and optimisers; stacked heads equal single ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlproject.training import OPTIMIZERS, Schedule, build_optimizer, generator
from mlproject.training.heads import (
    Diverged,
    FullDescent,
    LinearHead,
    Stack,
    Training,
    batch_gradient,
    initial_head,
    loss_and_gradient,
    train_head,
)

LOSSES = ("mse", "mae", "huber", "cross_entropy")
N, WIDTH, N_OUT, BATCH = 40, 24, 16, 8
# Powers of two: signs that cancel then sum to exactly 0 in any order, where Adam would blow up 1e-9.
TORCH_LOSSES = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
    "cross_entropy": F.cross_entropy,
}


def examples(loss: str) -> tuple[torch.Tensor, torch.Tensor]:
    draw = generator(7, "examples")
    inputs = torch.randn(N, WIDTH, generator=draw)
    if loss == "cross_entropy":
        return inputs, torch.eye(N_OUT)[torch.randint(N_OUT, (N,), generator=draw)]
    return inputs, 2 * torch.randn(N, N_OUT, generator=draw)


def epochs(n_epochs: int = 3) -> list[list[torch.Tensor]]:
    return Schedule(n_images=N, batch_size=BATCH, epochs=n_epochs).batches(generator(1, "order"))


def copy(head: LinearHead) -> LinearHead:
    return LinearHead(weight=head.weight.clone(), bias=head.bias.clone())


def plainly(head: LinearHead, training: Training) -> tuple[nn.Linear, torch.Tensor]:
    """The same training with autograd and torch.optim; the losses are means over each batch."""
    inputs, targets = examples(training.loss)
    linear = nn.Linear(WIDTH, N_OUT)
    linear.load_state_dict({"weight": head.weight, "bias": head.bias})
    optimizer = build_optimizer(
        training.optimizer, linear.parameters(), lr=training.lr, weight_decay=training.weight_decay
    )
    losses, masks, keep = [], generator(2, "dropout"), 1 - training.dropout
    for batch in (b for epoch in epochs() for b in epoch):
        x = inputs[batch]
        if training.dropout:
            x = x * torch.empty(x.shape).bernoulli_(keep, generator=masks) / keep
        optimizer.zero_grad()
        loss = TORCH_LOSSES[training.loss](linear(x), targets[batch])
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
    monkeypatch.setattr("mlproject.training.heads.loop.BLOCK_BYTES", block)
    training = Training(loss=loss, optimizer=optimizer, lr=0.01, weight_decay=0.02, dropout=dropout)
    head = initial_head(WIDTH, N_OUT, generator(0, "init"))
    linear, plain = plainly(head, training)
    seen = train_head(head, *examples(loss), epochs(), training, dropout=generator(2, "dropout"))
    torch.testing.assert_close(head.weight, linear.weight.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(head.bias, linear.bias.detach(), atol=1e-5, rtol=0)
    sizes = [len(b) for epoch in epochs() for b in epoch]
    means = torch.stack([part.mean() for part in seen.split(sizes)])
    torch.testing.assert_close(means, plain, atol=1e-5, rtol=1e-5)


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
        Training(loss=loss, optimizer=optimizer, lr=lr, weight_decay=decay)
        for lr, decay in ((0.1, 0.0), (0.01, 0.1), (0.001, 0.01))
    ]
    stack = Stack(start, inputs, targets, trainings)
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
    trainings = [Training(loss="mse", optimizer=optimizer, lr=lr) for lr in (0.1, 0.01, 0.001)]
    dropping, whole = Stack(start, inputs, targets, trainings), Stack(start, inputs, targets, trainings)
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
        Training(loss="cross_entropy", optimizer="adam", lr=0.01, dropout=share) for share in (0.0, 0.3)
    ]
    stack = Stack(start, inputs, targets, trainings, dropouts=[generator(2, "dropout") for _ in trainings])
    for epoch in epochs():
        stack.run(epoch)
    alone = copy(start)
    train_head(alone, inputs, targets, epochs(), trainings[1], dropout=generator(2, "dropout"))
    expected, _ = loss_and_gradient("cross_entropy", alone(inputs).double(), targets.double())
    torch.testing.assert_close(stack.losses(inputs, targets)[1], expected, atol=1e-6, rtol=1e-6)


def test_heads_of_a_stack_share_loss_and_optimizer():
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    different = [Training(loss="mse", optimizer=name, lr=0.1) for name in ("adam", "sgd")]
    with pytest.raises(ValueError, match="share"):
        Stack(start, *examples("mse"), different)


def test_descent_in_closed_form_equals_descent_step_by_step():
    inputs, targets = examples("mse")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    train, judged = (inputs[:30], targets[:30]), (inputs[30:], targets[30:])
    rates, steps = [0.01, 0.1, 1.0], [1, 5, 40]
    table = FullDescent.of(start, train, judged).losses(rates, steps)
    for i, lr in enumerate(rates):
        for j, count in enumerate(steps):
            head = copy(start)
            every = [[torch.arange(30)] for _ in range(count)]
            train_head(head, *train, every, Training(loss="mse", optimizer="sgd", lr=lr))
            expected = (head(judged[0]).double() - judged[1]).square().mean()
            assert table[i, j].item() == pytest.approx(expected.item(), rel=1e-5)


def test_descent_in_closed_form_shows_a_rate_that_diverges():
    inputs, targets = examples("mse")
    start = initial_head(WIDTH, N_OUT, generator(0, "init"))
    (losses,) = FullDescent.of(start, (inputs, targets), (inputs, targets)).losses([1e6], [1, 4000])
    assert losses[0].isfinite()
    assert not losses[1].isfinite()


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
    seen = train_head(head, inputs, None, epochs(), Training(loss="mse", optimizer="adam", lr=0.1))
    assert not seen.any()
    assert torch.equal(head.weight, before.weight)


def test_a_learning_rate_that_blows_up_is_named():
    head = initial_head(WIDTH, N_OUT, generator(0, "init"))
    with pytest.raises(Diverged, match=r"diverged in epoch \d+: sgd with lr=1e\+30; try a smaller lr"):
        train_head(head, *examples("mse"), epochs(9), Training(loss="mse", optimizer="sgd", lr=1e30))


def test_an_identity_is_learned():
    inputs, _ = examples("mse")
    head = initial_head(WIDTH, WIDTH, generator(0, "init"))
    seen = train_head(head, inputs, inputs, epochs(400), Training(loss="mse", optimizer="adam", lr=0.01))
    assert seen[-N:].max() < 1e-6
