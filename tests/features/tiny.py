"""A network of 250 parameters and a set of made-up pictures: real, and small enough to count."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from mlproject.models import Model, Preprocess, Weights

RANDOM = Weights("random", "random:0", "random:0")
EVERY_10 = Preprocess(resize=20, crop=16)


def build_tiny():
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def tiny_model(**changes):
    values = {
        "name": "tiny",
        "family": "tiny",
        "side": 16,
        "width": 8,
        "preprocess": EVERY_10,
        "n_params_body": 232,
        "imagenet": None,
        "classifier": "fc.",
        "build": build_tiny,
    }
    return Model(**{**values, **changes})


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (24, 30, 3), dtype=np.uint8)


@dataclass
class Pictures:
    """Picture i is drawn from seed ``numbers[i]``; reads are counted."""

    numbers: list[int]
    ids: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    reads: list[int] = field(default_factory=list)

    def __post_init__(self):
        self.ids = tuple(map(str, self.numbers))
        self.digests = tuple(hashlib.sha256(picture(n).tobytes()).hexdigest() for n in self.numbers)

    def read(self, i, /):
        self.reads.append(i)
        return picture(self.numbers[i])


class Loud:
    """A report that remembers what it was told."""

    def __init__(self):
        self.stages, self.done = [], 0

    def stage(self, name, total):
        self.stages.append((name, total))

    def advance(self, count):
        self.done += count

    def metrics(self, step, values):
        pass
