"""Device, threads, workers, precision, batch size and memory. All device handling is in this package.

``MLPROJECT_DEVICE`` (cpu, cuda, mps) overrides the choice of device, ``MLPROJECT_WORKERS`` the number of
processes that decode images, ``MLPROJECT_MEMORY`` (16GB) the main memory that images of a training may fill.
On a machine without a GPU's device file none of this imports torch, so that a warm run stays light.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from mlproject.device.capacity import (
    available_memory,
    find_n_cores,
    find_n_threads,
    image_memory,
    share_machine,
    workers_asked,
)
from mlproject.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
else:
    Module = Tensor = Any

__all__ = [
    "Device",
    "Precision",
    "available_memory",
    "describe",
    "deterministic",
    "find_batch_size",
    "find_device",
    "find_n_cores",
    "find_n_threads",
    "find_n_workers",
    "find_precision",
    "free_memory",
    "gpu_use",
    "image_memory",
    "inference",
    "is_out_of_memory",
    "keep",
    "mixed",
    "move",
    "n_gpus",
    "runs_ahead",
    "scaler",
    "send",
    "shares",
    "take_share",
    "workers_asked",
]

Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["fp32", "amp"]

SHARED_MEMORY = Path("/dev/shm")
GPU_FILES = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))

LEAST_CHANNELS = 8
"""Output channels below which a convolution is not trained in channels-last layout on a CPU: with fewer, the
backward pass of torch 2.14 with oneDNN writes beyond its buffers (seen as aborts on a CPU with AVX-512)."""


def find_device() -> Device:
    """The device that networks run on: cuda where there is one, else the CPU.

    Raises: WrongUse for an unknown ``MLPROJECT_DEVICE``.
    """
    asked = os.environ.get("MLPROJECT_DEVICE", "")
    if asked:
        if asked not in get_args(Device):
            raise unknown("MLPROJECT_DEVICE", asked, get_args(Device))
        return next(name for name in get_args(Device) if name == asked)
    if not any(path.exists() for path in GPU_FILES):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def find_n_workers(device: Device, n_bytes: int) -> int:
    """Processes that may decode images beside this one, each with ``n_bytes`` of batches in shared memory.

    As many as there are cores, up to 16 beside a GPU and 8 beside a CPU; none on a single core, and none
    where this process may start no others (a Dask worker by default). Containers often have 64 MB of shared
    memory: a worker that writes beyond it is killed.
    """
    if multiprocessing.current_process().daemon:
        return 0
    n_cores = find_n_cores()
    n_workers = 0 if n_cores == 1 else min(n_cores, 8 if device == "cpu" else 16)
    if SHARED_MEMORY.exists():
        free = os.statvfs(SHARED_MEMORY)
        n_workers = min(n_workers, free.f_bavail * free.f_frsize // 2 // max(1, n_bytes))
    return n_workers


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    if find_device() != "cuda":
        return []
    asked = os.environ.get("CUDA_VISIBLE_DEVICES")
    if asked is not None:
        return [name.strip() for name in asked.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def n_gpus() -> int:
    """The GPUs that this process may use."""
    return len(_gpus())


def shares(n_processes: int) -> list[dict[str, str]]:
    """The environment of each of so many processes that share this machine.

    Threads, and decoding processes where their number is given, are divided; where there are several GPUs,
    each process sees one.
    """
    n_threads = min(find_n_threads(), max(1, find_n_cores() // n_processes))
    common, asked, gpus = {"OMP_NUM_THREADS": str(n_threads)}, workers_asked(), _gpus()
    if asked is not None:
        common["MLPROJECT_WORKERS"] = str(asked // n_processes)
    visible = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] if len(gpus) > 1 else [{}]
    return [common | visible[i % len(visible)] for i in range(n_processes)]


def take_share(n_processes: int) -> None:
    """Let this process, which has the environment of a share, use no more of the machine than that."""
    from threadpoolctl import threadpool_limits

    share_machine(n_processes)
    threadpool_limits(find_n_threads())  # of libraries that were loaded before they could read it
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(find_n_threads())


def find_batch_size(device: Device) -> int:
    """Images per forward pass: 8 on a CPU, where larger batches cause page faults; 64 to 256 on a GPU."""
    if device != "cuda":
        return 8 if device == "cpu" else 64
    import torch

    n_bytes = torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else 0
    return 64 if n_bytes < 16e9 else 128 if n_bytes < 40e9 else 256


def runs_ahead(device: Device) -> bool:
    """Whether calls return before the device is done, so that there is work to do meanwhile."""
    return device != "cpu"


def find_precision(name: str) -> Precision:
    """The precision of that name: ``fp32``, or ``amp`` (mixed).

    Raises: WrongUse for a precision that does not exist.
    """
    for known in get_args(Precision):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise unknown("precision", name, get_args(Precision))


def move(net: Module, device: Device) -> Module:
    """The network on its device, in the memory layout that convolutions run fastest in there."""
    import torch

    if device == "cuda":
        # fp32 means fp32: TensorFloat-32 keeps 10 bits of mantissa and is on for convolutions.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    if device == "cpu" and _has_narrow_convolution(net):
        net.register_forward_pre_hook(_contiguous_inputs)
        return net.to(device)
    return net.to(device).to(memory_format=torch.channels_last)


def _has_narrow_convolution(net: Module) -> bool:
    from torch import nn

    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    return any(conv.out_channels < LEAST_CHANNELS for conv in convolutions)


def _contiguous_inputs(net: Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(value.contiguous() for value in inputs)


def send(batch: Tensor, device: Device) -> Tensor:
    """A batch on its device; to a GPU from pinned memory, while the CPU prepares the next one."""
    import torch

    if device == "cuda" and not batch.is_cuda:
        batch = batch.pin_memory()  # a copy of torch's, which keeps it until the GPU has read it
    floats = batch.dim() == 4 and batch.is_floating_point()
    layout = torch.channels_last if floats else torch.contiguous_format
    return batch.to(device, non_blocking=True).contiguous(memory_format=layout)


def keep(images: Tensor, device: Device) -> Tensor:
    """All images on the GPU where a quarter of its free memory holds them; else unchanged."""
    import torch

    if device != "cuda" or 4 * images.nbytes > torch.cuda.mem_get_info()[0]:
        return images
    return images.to(device)


@contextlib.contextmanager
def inference(device: Device, precision: Precision) -> Iterator[None]:
    """No gradients; with ``amp``, float16 on a GPU and bfloat16 (often slower) on a CPU."""
    import torch

    half = torch.bfloat16 if device == "cpu" else torch.float16
    with torch.inference_mode(), torch.autocast(device, dtype=half, enabled=precision == "amp"):
        yield


def mixed(device: Device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Gradients stay; with ``amp``, float16 on a GPU and bfloat16 on a CPU."""
    import torch

    half = torch.bfloat16 if device == "cpu" else torch.float16
    return torch.autocast(device, dtype=half, enabled=precision == "amp")


def scaler(device: Device, precision: Precision) -> Any:
    """Gradient scaler, which keeps float16 gradients from underflow; inactive for other types."""
    import torch

    return torch.amp.GradScaler(device, enabled=precision == "amp" and device == "cuda")


@contextlib.contextmanager
def deterministic(asked: bool) -> Iterator[None]:
    """Where asked: the same bits from the same numbers, or torch's RuntimeError naming the operation.

    A CPU gives the same bits without it as long as the threads are as many.
    """
    if not asked:
        yield
        return
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory for this batch."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)
    )


def free_memory(device: Device) -> None:
    """Release the memory that a failed batch left allocated."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()


def gpu_use() -> str:
    """How busy the GPU is, or how full without nvidia-ml-py, which knows; empty where none is in use."""
    torch = sys.modules.get("torch")  # not imported for this
    if torch is None or not torch.cuda.is_initialized():
        return ""
    if importlib.util.find_spec("pynvml"):
        return f"GPU {torch.cuda.utilization()} %"
    free, total = torch.cuda.mem_get_info()
    return f"GPU memory {(total - free) / 1e9:.1f} of {total / 1e9:.0f} GB"


def describe() -> dict[str, str]:
    """Device, threads and batch size as text, for display and provenance."""
    device = find_device()
    return {"device": device, "threads": str(find_n_threads()), "batch size": str(find_batch_size(device))}
