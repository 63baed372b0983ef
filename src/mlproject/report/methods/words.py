"""Words of methods: data sets, networks, recipes, knobs and laws, with what they cite; lists as text."""

from __future__ import annotations

from collections.abc import Iterable

from mlproject.cell import Cell
from mlproject.report.methods.references import cite

MOST_LISTED = 10
"""Values that a sentence lists before it gives their number and ends."""
FASHION = ("xiao2017",)
DATA: dict[str, tuple[str, tuple[str, ...]]] = {
    "embedded": ("4,200 images of Fashion-MNIST", FASHION),
    "fashion-mnist-subset": ("4,200 images of Fashion-MNIST", FASHION),
    "fashion-mnist": ("Fashion-MNIST", FASHION),
    "embedded-scenes-32": ("scenes of 32 pixels composed of images of Fashion-MNIST", FASHION),
    "embedded-scenes-64": ("scenes of 64 pixels composed of images of Fashion-MNIST", FASHION),
    "mnist": ("MNIST", ("lecun1998",)),
    "cifar10": ("CIFAR-10", ("krizhevsky2009",)),
    "cifar100": ("CIFAR-100", ("krizhevsky2009",)),
    "voc2012": ("PASCAL VOC 2012", ("everingham2010",)),
    "oxford-pets": ("the Oxford-IIIT Pet data", ("parkhi2012",)),
}
"""Data sets in words, and what they cite."""
NETWORKS = {
    "efficientnet_lite": ("tan2019",),
    "resnext": ("xie2016",),
    "resnet": ("he2015",),
    "wide_resnet": ("he2015",),
    "resblock": ("he2015",),
    "vit": ("dosovitskiy2020",),
    "segmenter": ("ronneberger2015",),
    "timm:": ("wightman2019timm",),
}
"""What models cite, by the beginning of their name."""
DRAWS = {
    "balanced": "drawn at random by the seed, alike from every class",
    "prefix": "taken in their natural order",
}
REGIONS = {
    "full": "whole",
    "blobs": "the object alone, found by thresholds of colour and brightness",
    "sam": f"the object alone, found by Segment Anything {cite('kirillov2023')}",
    "background": "the background alone",
}
RECIPE_WORDS = {
    "probe": f"a linear head is trained on the features of a frozen backbone {cite('alain2016')}",
    "finetune": f"a pretrained network is trained on the classes {cite('yosinski2014')}",
    "scratch": "a whole network is trained from random weights",
    "segment": "a whole network is trained from random weights to predict the class of every pixel "
    f"{cite('ronneberger2015')}",
    "memorise": "a head is trained on the features of a frozen backbone to tell the training images apart "
    f"{cite('wu2018')}",
    "reconstruct": "a linear map predicts the features of another network from those of the model "
    f"{cite('shi2024')}",
}
TARGETS = {
    "labels": "to predict the class",
    "features": "to predict its own input features, whose best loss is 0 at every size",
    "pixels": "to predict the first 512 values of the image",
    "self": "to predict its own output",
}
OPTIMIZERS = {
    "adam": f"Adam {cite('kingma2014')}",
    "adamw": f"AdamW {cite('loshchilov2017')}",
    "sgd": "stochastic gradient descent",
}
KNOBS = {
    "lr": "learning rate {}",
    "schedule": "a schedule that is {}",
    "warmup": "a warm-up of {} of the steps",
    "momentum": "momentum {}",
    "batch_size": "batches of {} images",
    "steps": "{} steps",
    "epochs": "{} epochs",
    "weight_decay": "weight decay {}",
    "dropout": "dropout {}",
    "label_smoothing": "label smoothing {}",
    "augmentation": "augmentation {}",
    "side": "inputs of {} pixels",
    "precision": "arithmetic {}",
}
"""Knobs in words, in the order in which they are read."""
ABSENT_AT_ZERO = {"steps", "epochs", "dropout", "label_smoothing", "warmup"}
NOT_USED_BY_RIDGE = {"optimizer", "lr", "steps", "epochs", "batch_size", "shuffle", "weight_decay"}
SAID_ELSEWHERE = {"target", "optimizer", "loss", "solver", "allow_degenerate", "online_losses"}
LAW_SOURCES = {
    "power": ("hestness2017",),
    "power_floor": ("rosenfeld2020",),
    "m3": ("alabdulmohsin2022",),
    "bnsl1": ("caballero2023",),
    "separable": ("hoffmann2022",),
    "coupled": ("hoffmann2022", "kaplan2020"),
    "bounded_sum": ("bryant2026",),
}


def joined(values: Iterable[object], last: str = "and") -> str:
    """``a, b and c``; a long list keeps its first values and its end."""
    words = list(dict.fromkeys(map(str, values)))
    if len(words) > MOST_LISTED:
        words = [*words[: MOST_LISTED - 2], "…", f"{words[-1]} ({len(words)} in all)"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def counts(numbers: Iterable[int]) -> str:
    """Distinct whole numbers, ascending, with thousands separated."""
    return joined(f"{number:,}" for number in sorted(set(numbers)))


def knob_text(value: object) -> str:
    """A knob's value: numbers short, truth values in words."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def data_words(cell: Cell) -> str:
    """The data set of a cell in words, with what it cites."""
    name, _, part = cell.data.partition(":")
    if name not in DATA:
        folder = cell.data.rstrip("/").rpartition("/")[2]
        return f"images of the folder {folder}"
    words, keys = DATA[name]
    of_class = f"the class {part} of " if part else ""
    return f"{of_class}{words} {cite(*keys)}"
