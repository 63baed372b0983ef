"""The device is chosen in one place, without torch on a machine that has no GPU."""

import pytest

from mlproject import device
from mlproject.errors import WrongUse


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
