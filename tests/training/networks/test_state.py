"""The state of a training survives its file; a file that cannot be used is as good as none."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from mlproject.training import build_optimizer
from mlproject.training.networks.state import Position, State, read_checkpoint, write_checkpoint
from tests.training.blobs import network


def state(seed: int = 0, steps: int = 0) -> State:
    net = network(seed)
    optimizer = build_optimizer("adamw", net.parameters(), lr=0.01, weight_decay=0.1)
    new = State(
        net=net, optimizer=optimizer, scaler=torch.amp.GradScaler("cpu", enabled=False), at=Position()
    )
    for step in range(steps):
        optimizer.zero_grad()
        net(torch.full((2, 3, 8, 8), float(step))).square().mean().backward()
        optimizer.step()
        new.follow(0.5)
        new.at.step += 1
    return new


def test_a_state_read_back_is_the_state_written(tmp_path: Path) -> None:
    before = state(steps=3)
    before.at.history.append({"epoch": 1, "train.loss": 0.5})
    write_checkpoint(tmp_path / "c", before.pack(), "this training")
    packed = read_checkpoint(tmp_path / "c", "this training")
    assert packed is not None
    after = state(seed=9)
    after.unpack(*packed)
    assert after.at == before.at
    first, second = before.pack(), after.pack()
    assert first[1] == second[1]
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_a_packed_state_is_a_copy_that_later_steps_leave_alone() -> None:
    running = state(steps=1)
    tensors, _ = running.pack()
    kept = {name: value.clone() for name, value in tensors.items()}
    for parameter in running.net.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


def test_the_state_of_another_network_is_refused() -> None:
    tensors, rest = state(steps=1).pack()
    other = nn.Linear(2, 2)
    optimizer = build_optimizer("adamw", other.parameters(), lr=0.1, weight_decay=0.0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    with pytest.raises(RuntimeError, match="Missing key"):
        State(net=other, optimizer=optimizer, scaler=scaler, at=Position()).unpack(tensors, rest)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_average_is_the_recurrence_of_the_weights_and_counters_are_copied(decay: float) -> None:
    running = state()
    weight = running.net.get_parameter("0.weight")
    expected = weight.detach().clone()
    running.follow(decay)
    for _ in range(3):
        weight.data.add_(1.0)
        running.net.get_buffer("1.num_batches_tracked").add_(1)
        expected = decay * expected + (1 - decay) * weight.detach()
        running.follow(decay)
    if not decay:
        assert running.average == {}
        return
    torch.testing.assert_close(running.average["0.weight"], expected)
    assert running.average["1.num_batches_tracked"] == 3


def test_the_average_is_evaluated_and_the_trained_weights_come_back_even_after_an_error() -> None:
    running = state(steps=2)
    trained = running.net.get_parameter("0.weight").detach().clone()
    with contextlib.suppress(ZeroDivisionError), running.evaluated() as net:
        assert torch.equal(net.get_parameter("0.weight"), running.average["0.weight"])
        raise ZeroDivisionError
    assert torch.equal(running.net.get_parameter("0.weight"), trained)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [cut, lambda _: b"", lambda _: b"{}", lambda c: c[:8] + b"x" + c[9:]])
def test_a_damaged_checkpoint_is_reported_and_not_used(tmp_path: Path, caplog, damage) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, state(steps=1).pack(), "this")
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert read_checkpoint(path, "this") is None
    (record,) = caplog.records
    assert record.getMessage().startswith(f"checkpoint {path} is not used (")
    assert record.getMessage().endswith("; training starts anew")


def test_a_checkpoint_of_another_training_is_not_used_and_none_is_silent(tmp_path: Path, caplog) -> None:
    write_checkpoint(tmp_path / "c", state().pack(), "this")
    assert read_checkpoint(tmp_path / "c", "that") is None
    assert "it belongs to another training" in caplog.text
    caplog.clear()
    assert read_checkpoint(tmp_path / "absent", "this") is None
    assert caplog.text == ""
