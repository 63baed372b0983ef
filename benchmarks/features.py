"""Images per CPU-second of the three ways to a feature, as ratios within one run.

    PYTHONPATH=src python benchmarks/features.py [model ...]

One thread, 64 images in batches of 8, variants interleaved, best of three rounds, process time; inputs
are prepared beforehand. Seen on a virtual core: onnxruntime 2.7 to 3.5 times eager for EfficientNet-Lite
and 1.7 times for ResNet18, folded with channels last 1.5 to 1.8 times.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import torch

from mlproject.features import eager_engine, onnx_engine
from mlproject.models import Model, find_model, find_weights, load_backbone

N_IMAGES, BATCH, N_ROUNDS = 64, 8, 3

Forward = Callable[[torch.Tensor], torch.Tensor]


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    print("images per CPU-second")
    print(f"{'model':20}{'eager':>8}{'folded':>8}{'onnx':>8}{'folded/eager':>14}{'onnx/eager':>12}")
    for name in names:
        model = find_model(name)
        images = torch.randn(N_IMAGES, 3, model.side, model.side, generator=torch.Generator().manual_seed(0))
        eager, folded, onnx = rates(variants(model, images), images)
        ratios = f"{folded / eager:14.2f}{onnx / eager:12.2f}"
        print(f"{name:20}{eager:8.1f}{folded:8.1f}{onnx:8.1f}{ratios}", flush=True)


def variants(model: Model, images: torch.Tensor) -> list[Forward]:
    shipped = model.imagenet is not None and model.imagenet.package is not None
    backbone = load_backbone(model, find_weights(model, "imagenet" if shipped else "random"))

    def plain(batch: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return backbone(batch)

    return [
        plain,
        eager_engine(backbone, "cpu", "fp32").forward,
        onnx_engine(backbone, images[:BATCH].numpy()).forward,
    ]


def rates(forwards: list[Forward], images: torch.Tensor) -> list[float]:
    best = [float("inf")] * len(forwards)
    for forward in forwards:
        forward(images[:BATCH])
    for _ in range(N_ROUNDS):
        for i, forward in enumerate(forwards):
            start = time.process_time()
            for first in range(0, N_IMAGES, BATCH):
                forward(images[first : first + BATCH])
            best[i] = min(best[i], time.process_time() - start)
    return [N_IMAGES / seconds for seconds in best]


if __name__ == "__main__":
    main(sys.argv[1:] or ["efficientnet_lite0", "resnet18"])
