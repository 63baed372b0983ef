"""A tiny thing to learn: which half of a small picture is brighter."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlproject.training import Examples, Settings, Task, seeded


def blobs(n: int = 40, seed: int = 0, side: int = 8) -> Examples:
    draw = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % 2
    pixels = torch.randint(0, 120, (n, 3, side, side), generator=draw, dtype=torch.uint8)
    for i in range(n):
        half = slice(0, side // 2) if targets[i] else slice(side // 2, side)
        pixels[i, :, :, half] += 100
    return Examples(pixels=pixels, targets=targets, mean=(0.5,) * 3, std=(0.25,) * 3)


def network(seed: int = 0, dropout: float = 0.2) -> nn.Module:
    with seeded(seed, "init"):
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(256, 2),
        )


def values(net: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    outputs = net(inputs)
    correct = (outputs.argmax(1) == targets).float()
    loss = functional.cross_entropy(outputs, targets, reduction="none")
    return {"loss": loss, "correct": correct, "total": torch.ones_like(correct)}


def jitter(pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return pixels.float() + 10 * torch.randn(len(pixels), 1, 1, 1), targets


TASK = Task(objective=values, measure=values, augment=jitter)


def settings(**changes: object) -> Settings:
    known = dict(optimizer="adamw", lr=0.01, weight_decay=0.01, batch_size=16, epochs=4, schedule="cosine")
    return Settings(**known | dict(warmup=0.2, ema=0.9) | changes)  # type: ignore[arg-type]
