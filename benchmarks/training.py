"""Steps per second of our training loop against a bare PyTorch loop, as ratios within one run.

    PYTHONPATH=src python benchmarks/training.py [model ...]

Same network, same initial weights, batches of 64, AdamW with the same cosine of rates, the data in memory as
 float32 for the bare loop (normalised beforehand) and as bytes for ours. One thread, process time, variants
interleaved, median of the ratios of five rounds. Ours also sums losses and hits, looks at the clock for
checkpoints, and ends an epoch.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

import torch
from torch.nn import functional

from mlproject.losses import Silent
from mlproject.models import find_model
from mlproject.recipes.scratch.run import Classifier, measure, smoothed
from mlproject.training import Examples, Settings, Task, seeded, train

N_IMAGES, BATCH, EPOCHS, N_ROUNDS, SIDE, CLASSES = 1280, 64, 6, 5, 28, 10
SETTINGS = Settings(
    optimizer="adamw", lr=1e-3, weight_decay=0.01, batch_size=BATCH, epochs=EPOCHS, warmup=0.0
)


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (N_IMAGES, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8)
    targets = torch.randint(0, CLASSES, (N_IMAGES,), generator=draw)
    examples = Examples(pixels=pixels, targets=targets, mean=(0.5,) * 3, std=(0.25,) * 3)
    print(f"{'model':20}{'bare steps/s':>14}{'ours steps/s':>14}{'ours/bare':>12}")
    for name in names:
        rounds = [(bare(network(name), examples), ours(network(name), examples)) for _ in range(N_ROUNDS)]
        n_steps = EPOCHS * N_IMAGES // BATCH
        fastest = [n_steps / min(seconds) for seconds in zip(*rounds, strict=True)]
        ratio = statistics.median(theirs / mine for theirs, mine in rounds)
        print(f"{name:20}{fastest[0]:14.1f}{fastest[1]:14.1f}{ratio:12.3f}", flush=True)


def network(name: str) -> torch.nn.Module:
    model = find_model(name)
    with seeded(0, "init"):
        net = Classifier(model.build(), model.width, CLASSES, (1.0,))
    return net.to(memory_format=torch.channels_last)


def bare(net: torch.nn.Module, examples: Examples) -> float:
    inputs = ((examples.pixels.float() / 255 - 0.5) / 0.25).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    n_steps = EPOCHS * N_IMAGES // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    net.train()
    start = time.process_time()
    for _ in range(EPOCHS):
        for rows in torch.randperm(N_IMAGES).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(net(inputs[rows]), examples.targets[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
    return time.process_time() - start


def ours(net: torch.nn.Module, examples: Examples) -> float:
    task = Task(objective=smoothed(0.0), measure=measure)
    start = time.process_time()
    train(net, task, SETTINGS, seed=0, examples=examples, evaluated={}, device="cpu", report=Silent())
    return time.process_time() - start


if __name__ == "__main__":
    main(sys.argv[1:] or ["resblock_w8_d1", "resblock_w16_d1", "resblock_w32_d1"])
