"""The device is chosen in one place, without torch on a machine that has no GPU."""

import contextlib
import os
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mlproject import device
from mlproject.device import move
from mlproject.errors import WrongUse
from mlproject.models import find_model
from tests import processes


def test_a_machine_without_a_gpu_file_uses_its_cpu(monkeypatch, tmp_path):
    monkeypatch.delenv("MLPROJECT_DEVICE", raising=False)
    monkeypatch.setattr(device, "GPU_FILES", (tmp_path / "absent",))
    assert device.find_device() == "cpu"
    assert device.find_batch_size("cpu") == 8
    assert device.describe()["device"] == "cpu"


def test_the_choice_can_be_overridden_by_a_known_name(monkeypatch):
    monkeypatch.setenv("MLPROJECT_DEVICE", "cuda")
    assert device.find_device() == "cuda"
    monkeypatch.setenv("MLPROJECT_DEVICE", "gpu")
    with pytest.raises(WrongUse, match="unknown MLPROJECT_DEVICE"):
        device.find_device()


def test_threads_are_those_asked_for_or_the_cores_at_hand(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert device.find_n_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert device.find_n_threads() >= 1


@pytest.mark.parametrize("width", [2, 7])
def test_a_narrow_network_is_trained_in_contiguous_layout_on_a_cpu(width: int) -> None:
    net = move(nn.Sequential(nn.Conv2d(3, width, 3)), "cpu")
    layouts = []
    net[0].register_forward_pre_hook(lambda _, inputs: layouts.append(inputs[0].is_contiguous()))
    net(torch.zeros(2, 3, 8, 8).to(memory_format=torch.channels_last)).sum().backward()
    assert net[0].weight.is_contiguous()
    assert layouts == [True]


def test_a_wide_network_keeps_the_layout_that_convolutions_run_fastest_in() -> None:
    net = move(nn.Sequential(nn.Conv2d(3, 8, 3)), "cpu")
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)


def pass_backward_many_times() -> None:
    net = move(find_model("resblock_w4_d1").build(), "cpu")
    for _ in range(20):
        x = torch.randn(64, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        net(x).square().mean().backward()


def test_a_network_narrower_than_eight_channels_survives_many_backward_passes() -> None:
    assert processes.ended(processes.started(pass_backward_many_times)) == 0


@pytest.mark.parametrize("text", ["", "0", "-1", "many", "²"])
def test_a_number_of_threads_that_is_none_is_not_used(monkeypatch, text):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert device.find_n_threads() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["fp32", "amp"])
def test_a_precision_is_known_by_its_name(name):
    assert device.find_precision(name) == name


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(WrongUse, match="unknown precision 'fp16'; known: amp, fp32"):
        device.find_precision("fp16")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_runs_out_is_told_from_other_errors(error, expected):
    assert device.is_out_of_memory(error) is expected


def test_determinism_is_as_before_even_after_an_error():
    before = torch.are_deterministic_algorithms_enabled()
    with contextlib.suppress(ZeroDivisionError), device.deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        raise ZeroDivisionError
    assert torch.are_deterministic_algorithms_enabled() == before


def test_inference_keeps_no_gradient_and_mixed_precision_is_bfloat16_on_a_cpu():
    x = torch.ones(2, 2, requires_grad=True)
    with device.inference("cpu", "fp32"):
        assert not (x @ x).requires_grad
    with device.inference("cpu", "amp"):
        assert (x @ x).dtype == torch.bfloat16
    with device.mixed("cpu", "amp"):
        product = x @ x
    assert product.dtype == torch.bfloat16
    assert product.requires_grad
    assert not device.scaler("cpu", "amp").is_enabled()


def test_images_are_sent_in_the_layout_of_convolutions_and_labels_unchanged():
    images = torch.rand(2, 3, 4, 4)
    sent = device.send(images, "cpu")
    assert torch.equal(sent, images)
    assert sent.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(device.send(torch.arange(3), "cpu"), torch.arange(3))
    assert device.keep(images, "cpu") is images


def test_memory_is_that_of_the_machine_or_of_the_narrowest_group_around_this_process(monkeypatch, tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    (tmp_path / "own").write_text("0::/job/step\n")
    for name, path in {"MEMINFO": "meminfo", "OWN_GROUPS": "own", "CONTROL_GROUPS": "groups"}.items():
        monkeypatch.setattr(device.capacity, name, tmp_path / path)
    assert device.available_memory() == 8000 * 1024
    step = tmp_path / "groups" / "job" / "step"
    step.mkdir(parents=True)
    for group, limit in ((step, "max"), (step.parent, "3000000")):
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text("2500000")
        (group / "memory.stat").write_text("anon 1\ninactive_file 500000\n")
    assert device.available_memory() == 1_000_000
    assert device.image_memory() == 500_000


@pytest.mark.parametrize(("text", "expected"), [("16GB", 16e9), ("1.5 MB", 1.5e6), ("0", 0), ("2T", 2e12)])
def test_memory_for_images_can_be_set(monkeypatch, text, expected):
    monkeypatch.setenv("MLPROJECT_MEMORY", text)
    assert device.image_memory() == expected


@pytest.mark.parametrize("name", ["MLPROJECT_MEMORY", "MLPROJECT_WORKERS"])
def test_memory_and_workers_that_are_no_numbers_are_refused(monkeypatch, name):
    monkeypatch.setenv(name, "much")
    with pytest.raises(WrongUse, match=f"{name} must be .* not 'much'"):
        (device.image_memory if name == "MLPROJECT_MEMORY" else device.workers_asked)()


def test_workers_fit_into_the_shared_memory_of_a_container(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "find_n_cores", lambda: 4)
    monkeypatch.setattr(device, "SHARED_MEMORY", tmp_path)
    room = os.statvfs(tmp_path)
    assert device.find_n_workers("cuda", 1) == 4
    assert device.find_n_workers("cuda", room.f_bavail * room.f_frsize // 4) <= 2
    monkeypatch.setattr(device.multiprocessing, "current_process", lambda: SimpleNamespace(daemon=True))
    assert device.find_n_workers("cuda", 1) == 0, "a daemon may start no processes"
    monkeypatch.undo()
    monkeypatch.setattr(device, "find_n_cores", lambda: 1)
    assert device.find_n_workers("cuda", 1) == 0


def test_processes_that_share_a_machine_divide_threads_decoders_and_gpus(monkeypatch):
    for name, value in {
        "OMP_NUM_THREADS": "6",
        "MLPROJECT_WORKERS": "5",
        "CUDA_VISIBLE_DEVICES": "2, 3",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(device, "find_n_cores", lambda: 8)
    monkeypatch.setattr(device, "find_device", lambda: "cpu")
    assert device.shares(2) == [{"OMP_NUM_THREADS": "4", "MLPROJECT_WORKERS": "2"}] * 2
    assert device.shares(16)[15] == {"OMP_NUM_THREADS": "1", "MLPROJECT_WORKERS": "0"}
    monkeypatch.delenv("MLPROJECT_WORKERS")
    monkeypatch.setattr(device, "find_device", lambda: "cuda")
    assert device.n_gpus() == 2
    assert [share["CUDA_VISIBLE_DEVICES"] for share in device.shares(3)] == ["2", "3", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert device.shares(2) == [{"OMP_NUM_THREADS": "4"}] * 2, "a single one is everybody's"


def test_a_share_of_a_machine_has_its_part_of_cores_and_memory(monkeypatch):
    whole = device.find_n_cores()
    monkeypatch.setattr(device.capacity, "_free_of_machine", lambda: 3000)
    monkeypatch.setattr(device.capacity, "_memory_groups", lambda: iter(()))
    monkeypatch.setattr(device.capacity, "_n_sharing", 1)  # as it is afterwards
    device.capacity.share_machine(3)
    assert device.find_n_cores() == max(1, whole // 3)
    assert device.available_memory() == 1000
