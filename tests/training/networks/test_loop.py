"""The training loop: exact resume, frozen parts, smaller batches, divergence, schedules."""

from __future__ import annotations

import signal
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from mlproject.errors import MLProjectError
from mlproject.losses import Silent
from mlproject.training import Diverged, Task, evaluate, train
from mlproject.training.networks.state import snapshot
from tests import processes
from tests.training.blobs import TASK, blobs, network, settings, values

EPOCHS = 40
"""Of a training that is killed: it takes several times as long as the test waits."""


def run(net=None, task=TASK, checkpoint=None, save_seconds=0.0, evaluated=None, **changes):
    return train(
        net or network(),
        task,
        settings(**changes),
        seed=0,
        examples=blobs(),
        evaluated={"validation": blobs(20, 1), "eval": blobs(30, 2)} if evaluated is None else evaluated,
        device="cpu",
        report=Silent(),
        checkpoint=checkpoint,
        identity="it",
        save_seconds=save_seconds,
    )


def numbers(trained) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trained.history]


class Killed(Exception):
    pass


def fails_after(n: int, error: Exception, task: Task = TASK) -> Task:
    """The task, with an error in the n-th batch (once)."""
    left = [n]

    def objective(net, inputs, targets):
        left[0] -= 1
        if left[0] == 0:
            raise error
        return task.objective(net, inputs, targets)

    return Task(objective=objective, measure=task.measure, augment=task.augment)


@cache
def unbroken(**knobs):
    """A run to its end, made once for all runs that are compared with it."""
    return run(**knobs)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("n", [1, 2, 4, 11])
def test_a_run_that_died_anywhere_and_is_run_again_ends_as_one_that_did_not(tmp_path, n, optimizer, ema):
    knobs = dict(optimizer=optimizer, momentum=0.9, ema=ema)
    whole = unbroken(**knobs)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        run(task=fails_after(n, Killed()), checkpoint=path, **knobs)
    again = run(checkpoint=path, **knobs)
    assert numbers(again) == numbers(whole)
    assert again.best_epoch == whole.best_epoch
    for name, value in whole.best.items():
        assert torch.equal(value, again.best[name])
    for name, value in whole.final.items():
        assert torch.equal(value, again.final[name])


def run_in_one_thread(checkpoint: Path) -> None:
    torch.set_num_threads(1)
    run(checkpoint=checkpoint, epochs=EPOCHS)


@pytest.mark.slow
def test_a_process_killed_outright_is_resumed_bit_for_bit(tmp_path, one_thread):
    path = tmp_path / "killed.safetensors"
    killed = processes.started(run_in_one_thread, path)
    processes.wait_for(path.exists, killed)
    time.sleep(0.1)
    killed.kill()
    assert processes.ended(killed) == -signal.SIGKILL
    resumed, whole = run(checkpoint=path, epochs=EPOCHS), run(epochs=EPOCHS)
    assert numbers(resumed) == numbers(whole)


def test_a_checkpoint_that_cannot_be_used_is_as_good_as_none(tmp_path, caplog):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"no tensors here")
    assert numbers(run(checkpoint=path)) == numbers(run())
    assert "training starts anew" in caplog.text


def test_memory_that_runs_out_halves_the_batch_and_is_recorded():
    task = fails_after(1, torch.OutOfMemoryError("CUDA out of memory"))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    start = snapshot(plain)
    found = run(net=plain, task=task, ema=0.0)
    assert (found.accumulate, found.n_out_of_memory, len(found.history)) == (2, 1, 4)
    plain.load_state_dict(start)
    pieces = run(net=plain, accumulate=2, ema=0.0)
    assert numbers(found) == numbers(pieces)


def test_memory_that_no_image_fits_is_a_problem_in_one_line():
    def objective(net, inputs, targets):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(MLProjectError, match="one image at a time"):
        run(task=Task(objective=objective, measure=values))


def pooled() -> nn.Module:
    """A network whose BatchNorm gets one value per channel of an image."""
    return nn.Sequential(
        nn.AvgPool2d(8), nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)
    )


@pytest.mark.parametrize(
    "changes", [{"batch_size": 13}, {"batch_size": 39}, {"batch_size": 16, "accumulate": 16}, {"steps": 5}]
)
def test_no_image_is_alone_where_a_batch_norm_would_get_one_value_per_channel(changes):
    seen = []

    def objective(net, inputs, targets):
        seen.append(len(inputs))
        return values(net, inputs, targets)

    task = Task(objective=objective, measure=values)
    found = run(net=pooled(), task=task, **{"batch_size": 13, "epochs": 2} | changes)
    assert min(seen) >= 2
    assert found.n_seen == sum(seen)
    if "steps" not in changes:
        assert found.n_seen == 2 * 40


def test_memory_that_two_images_do_not_fit_is_reported_where_a_batch_norm_needs_two():
    def objective(net, inputs, targets):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(MLProjectError, match=r"two images .* at a time"):
        run(net=pooled(), task=Task(objective=objective, measure=values))


def test_pieces_of_a_batch_give_the_gradient_of_the_whole():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    start = snapshot(plain)
    task = Task(objective=values, measure=values)
    whole = run(net=plain, task=task)
    plain.load_state_dict(start)
    pieces = run(net=plain, task=task, accumulate=4)
    for name, value in whole.final.items():
        torch.testing.assert_close(value, pieces.final[name], rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    left = [7]

    def objective(net, inputs, targets):
        left[0] -= 1
        found = values(net, inputs, targets)
        return found | {"loss": found["loss"] * (float("nan") if left[0] <= 0 else 1.0)}

    with pytest.raises(Diverged, match=r"train loss is nan at step .* last good state is kept"):
        run(task=Task(objective=objective, measure=values), checkpoint=path, save_seconds=1e9)
    again = run(task=Task(objective=values, measure=values), checkpoint=path)
    assert numbers(again) == numbers(run(task=Task(objective=values, measure=values)))


def test_frozen_parts_are_bit_identical_after_training():
    net = network()
    for module in list(net)[:2]:
        module.requires_grad_(False)
    before = snapshot(net)
    final = run(net=net, ema=0.0).final
    frozen = [name for name in before if name.startswith(("0.", "1."))]
    assert "1.running_mean" in frozen
    assert all(torch.equal(before[name], final[name]) for name in frozen)
    assert not torch.equal(before["5.weight"], final["5.weight"])


def test_the_best_epoch_is_the_one_of_least_validation_loss_and_the_last_without_validation():
    found = run(lr=0.3, epochs=8, ema=0.0)
    losses = [row["validation.loss"] for row in found.history]
    assert found.best_epoch == 1 + losses.index(min(losses))
    net = network()
    net.load_state_dict(found.best)
    measured = evaluate(net, blobs(20, 1), values, device="cpu", batch_size=16)
    assert measured["loss"].mean().item() == pytest.approx(min(losses), rel=1e-12)
    unseen = run(evaluated={"eval": blobs(30, 2)})
    assert unseen.best_epoch == 4
    assert all(torch.equal(unseen.best[name], value) for name, value in unseen.final.items())


def test_evaluation_changes_nothing_of_what_is_trained():
    once, never = run(judged_epochs=1), run(evaluated={})
    assert [row["epoch"] for row in once.history] == [4]
    assert all(torch.equal(value, never.final[name]) for name, value in once.final.items())
    assert all(torch.equal(value, run().final[name]) for name, value in once.final.items())


def test_the_average_of_the_weights_is_that_of_its_recurrence():
    seen: list[dict[str, torch.Tensor]] = []

    def objective(net, inputs, targets):
        seen.append(snapshot(net))
        return values(net, inputs, targets)

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    found = run(net=net, task=Task(objective=objective, measure=values), ema=0.5, epochs=1)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    plain.load_state_dict(seen[0])
    last = run(net=plain, task=Task(objective=values, measure=values), ema=0.0, epochs=1).final
    weights = [state["1.weight"] for state in [*seen[1:], last and {"1.weight": last["1.weight"]}]]
    average = weights[0]
    for weight in weights[1:]:
        average = 0.5 * average + 0.5 * weight
    torch.testing.assert_close(found.final["1.weight"], average)


def test_rates_are_those_of_torchs_schedulers():
    chosen = settings(lr=0.3, warmup=0.25)
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.3)
    rising = torch.optim.lr_scheduler.LinearLR(optimizer, 0.2, 1.0, total_iters=4)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[5])
    for step in range(20):
        rate = optimizer.param_groups[0]["lr"]
        assert chosen.rate(step, 20) == pytest.approx(rate, abs=1e-12), step
        optimizer.step()
        both.step()


def test_random_numbers_of_others_go_on_as_if_nothing_had_been():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run()
    assert torch.equal(torch.rand(3), expected)


def test_mixed_precision_and_determinism_on_request():
    found = run(precision="amp", deterministic=True)
    assert found.history[-1]["eval.accuracy"] > 0.8
    assert not torch.are_deterministic_algorithms_enabled()
