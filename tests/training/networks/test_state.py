"""The state of a training survives its file; a file that cannot be used is as good as none."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
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


def small() -> State:
    """A state of a few hundred bytes beside its random numbers."""
    net = nn.Linear(1, 1)
    optimizer = build_optimizer("sgd", net.parameters(), lr=0.01, weight_decay=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return State(net=net, optimizer=optimizer, scaler=scaler, at=Position(step=3))


def is_read(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> bool:
    """Whether a checkpoint of this content is used; if not, one line says so and the file is gone."""
    caplog.clear()
    path.write_bytes(content)
    if read_checkpoint(path, "this") is not None:
        return True
    (record,) = caplog.records
    assert record.getMessage().startswith(f"checkpoint {path} is not used (")
    assert record.getMessage().endswith("; it is deleted, and training starts anew")
    assert not path.exists()
    return False


def test_a_changed_byte_anywhere_and_a_cut_anywhere_are_recognised_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    tensors, rest = small().pack()
    tensors["random.cpu"] = tensors["random.cpu"][:64]
    write_checkpoint(path, (tensors, rest), "this")
    content = path.read_bytes()
    assert len(content) < 2000
    assert is_read(path, content, caplog)
    for i in range(len(content)):
        flipped = bytearray(content)
        flipped[i] ^= 1 << i % 8
        assert not is_read(path, bytes(flipped), caplog), f"byte {i}"
        assert not is_read(path, content[:i], caplog), f"cut after {i} bytes"
    assert not is_read(path, content + b"x", caplog)


def test_a_pipe_in_place_of_a_checkpoint_is_deleted_and_not_waited_for(tmp_path: Path, caplog) -> None:
    os.mkfifo(tmp_path / "c")
    assert read_checkpoint(tmp_path / "c", "this") is None
    assert "is not used (c is no regular file)" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_version_0_2_is_not_used_since_it_has_no_digest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, rest = small().pack()
    header = {"format": "mlproject training 1", "identity": "this", "rest": json.dumps(rest)}
    assert not is_read(tmp_path / "c", save(tensors, header), caplog)
    assert "it has no digest, as those of version 0.2" in caplog.text


def test_a_checkpoint_of_another_training_is_not_used_and_none_is_silent(tmp_path: Path, caplog) -> None:
    write_checkpoint(tmp_path / "c", small().pack(), "that")
    assert not is_read(tmp_path / "c", (tmp_path / "c").read_bytes(), caplog)
    assert "it belongs to another training" in caplog.text
    caplog.clear()
    assert read_checkpoint(tmp_path / "absent", "this") is None
    assert caplog.text == ""


def test_a_checkpoint_of_a_network_that_has_changed_leaves_the_state_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c"
    running = state(steps=2)
    tensors, rest = running.pack()
    for packed in (small().pack(), ({**tensors, "optimizer.99.step": torch.ones(1)}, rest), (tensors, {})):
        caplog.clear()
        write_checkpoint(path, packed, "this")
        before = running.pack()
        kept = running.resume(path, "this")
        assert "it is of another version of this network" in caplog.text
        assert not path.exists()
        for found, values in (kept, running.pack()):
            assert values == before[1]
            assert found.keys() == before[0].keys()
            assert all(torch.equal(found[name], before[0][name]) for name in found)
