"""What image scales cost beyond their forward passes: extraction for scales 1, 2 against five bare forwards.

    PYTHONPATH=src python benchmarks/s2.py [model ...]

One thread, CPU seconds, within one run. The FeatureStore reads, resizes, enlarges, cuts, embeds, merges and
writes N_IMAGES embedded images at scales 1, 2; bare is the same engine on as many base-side inputs that lie
ready, five for each image. The engine is made before both. Rounds are interleaved, the best of each counts.
Asked: at most 1.15.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import numpy as np
import torch

from mlproject.data import load_images
from mlproject.features import FeatureStore, onnx_engine
from mlproject.losses import Silent
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.multiscale import n_crops

SCALES, N_IMAGES, BATCH, N_ROUNDS = (1.0, 2.0), 32, 8, 3


def main(names: list[str]) -> None:
    print(f"CPU seconds an image; scales {SCALES}, {N_IMAGES} images")
    print(f"{'model':20}{'store':>8}{'bare':>8}{'ratio':>8}")
    for name in names:
        store, bare = measure(name)
        print(f"{name:20}{store:8.3f}{bare:8.3f}{store / bare:8.3f}", flush=True)


def measure(name: str) -> tuple[float, float]:
    model = find_model(name)
    shipped = model.imagenet is not None and model.imagenet.package is not None
    weights = find_weights(model, "imagenet" if shipped else "random")
    images, silent = load_images("embedded"), Silent()
    inputs = np.random.default_rng(0).normal(size=(BATCH, 3, model.side, model.side)).astype(np.float32)
    forward = onnx_engine(load_backbone(model, weights), inputs).forward
    n_calls = n_crops(model.side, SCALES) * N_IMAGES // BATCH
    best = [float("inf")] * 2
    with tempfile.TemporaryDirectory() as folder:
        # The network that the process keeps is loaded, exported and checked here, with other images.
        warm = np.arange(2)
        FeatureStore(Path(folder)).features(model, weights, images, warm, image_scales=SCALES, report=silent)
        for number in range(N_ROUNDS):
            rows = np.arange(2 + number * N_IMAGES, 2 + (number + 1) * N_IMAGES)
            start = time.process_time()
            FeatureStore(Path(folder)).features(
                model, weights, images, rows, image_scales=SCALES, report=silent
            )
            middle = time.process_time()
            for _ in range(n_calls):
                forward(torch.from_numpy(inputs))
            end = time.process_time()
            best = [min(best[0], middle - start), min(best[1], end - middle)]
    return best[0] / N_IMAGES, best[1] / N_IMAGES


if __name__ == "__main__":
    main(sys.argv[1:] or ["efficientnet_lite0", "efficientnet_lite2"])
