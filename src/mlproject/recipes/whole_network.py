"""Shared steps of recipes that train whole networks: training, evaluation, the outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlproject.cell import Cell
from mlproject.data import SplitIndices
from mlproject.device import Device, find_n_threads
from mlproject.errors import WrongUse
from mlproject.features import unfinished
from mlproject.losses import Floats, Outcome, PerImageLosses, Split, predictions_table
from mlproject.models import Model, Preprocess, count
from mlproject.multiscale import crop_side, n_splits
from mlproject.recipes.examples import choice, training_device
from mlproject.training import (
    CHECKPOINT,
    CONFIDENCE,
    PREDICTED,
    Examples,
    Settings,
    Task,
    Trained,
    Values,
    evaluate,
    keep_speed,
    train,
)

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.losses import Report
else:
    ImageSet = Report = Any

BACKWARD = 2.0
"""A backward pass costs twice a forward pass (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedTraining:
    """A training and the values of every row, under the best weights and under the last ones.

    ``images`` says where its images were.
    """

    trained: Trained
    settings: Settings
    best: Values
    final: Values
    images: str


def require_two_classes(recipe: str, images: ImageSet, rows: Sequence[int]) -> None:
    """Refuse to train on images [n] of one class, by the class that they are of. Raises: WrongUse."""
    present = np.unique(images.labels[np.asarray(rows)])
    if len(present) < 2:
        number = "the one training image" if len(rows) == 1 else f"all {len(rows)} training images"
        remedy = "use a folder for each class" if len(images.classes) == 1 else "raise dataset_size"
        raise WrongUse(
            f"recipe={recipe!r} needs at least 2 classes to train on; {number} of {images.name} "
            f"{'is' if len(rows) == 1 else 'are'} of class {images.classes[int(present[0])]!r}: {remedy}"
        )


def sized(model: Model, side: int) -> Preprocess:
    """The model's preprocessing for another input side."""
    return replace(model.preprocess, resize=side, crop=side)


def split_rows(rows: SplitIndices, examples: Examples) -> dict[Split, Examples]:
    """The examples of every split that is not empty, in the order of ``rows.every``."""
    targets = examples.targets
    by_split: dict[Split, Examples] = {}
    for split in dict.fromkeys(rows.splits):
        start = rows.splits.index(split)
        part = slice(start, start + rows.splits.count(split))
        labels = None if targets is None else targets[part]
        by_split[split] = replace(examples, pixels=examples.pixels[part], targets=labels)
    return by_split


def train_and_evaluate(
    net: nn.Module,
    task: Task,
    settings: Settings,
    cell: Cell,
    examples: Mapping[Split, Examples],
    report: Report,
    *,
    watched: Collection[Split] = ("validation", "eval"),
) -> EvaluatedTraining:
    """Train on ``train``, then evaluate all splits twice: with the best weights and with the last.

    ``watched`` splits are evaluated after epochs as well. The network is left with the best weights.
    Raises: MLProjectError where training fails.
    """
    device = training_device()
    with unfinished(cell.key) as folder:
        trained = train(
            net,
            task,
            settings,
            seed=cell.seed,
            examples=examples["train"],
            evaluated={split: part for split, part in examples.items() if split in watched},
            device=device,
            report=report,
            checkpoint=folder / CHECKPOINT if folder else None,
            identity=cell.key,
        )
    if trained.seconds:
        keep_speed(cell, trained.n_seen / trained.seconds)
    final, best = (
        _evaluate_all(net, weights, examples.values(), task, settings, device)
        for weights in (trained.final, trained.best)
    )
    return EvaluatedTraining(
        trained=trained, settings=settings, final=final, best=best, images=choice(examples["train"])
    )


def _evaluate_all(
    net: nn.Module,
    weights: Mapping[str, Tensor],
    parts: Iterable[Examples],
    task: Task,
    settings: Settings,
    device: Device,
) -> Values:
    """Values of all rows under these weights, which the network keeps."""
    net.load_state_dict(weights)
    size, precision = settings.batch_size, settings.precision
    values = [
        evaluate(net, part, task.measure, device=device, batch_size=size, precision=precision)
        for part in parts
    ]
    return {name: torch.cat([part[name] for part in values]) for name in values[0]}


def forward_flops(model: Model, side: int, image_scales: Sequence[float]) -> float:
    """Operations of the body for one image of ``side`` pixels at these scales."""
    return float(sum(count(model, crop_side(side, s)).flops * n_splits(side, s) ** 2 for s in image_scales))


def outcome(
    training: EvaluatedTraining,
    cell: Cell,
    model: Model,
    images: ImageSet,
    rows: SplitIndices,
    net: nn.Module,
    *,
    flops_per_image: float,
    tables: Mapping[str, Mapping[str, Sequence[object]]] | None = None,
    facts: Mapping[str, float] | None = None,
) -> Outcome:
    """The outcome of a cell: losses of the best epoch, and in further columns those of the last epoch."""
    trained, splits = training.trained, rows.splits
    numbers = {n: values.numpy() for n, values in training.best.items() if n not in NOT_LOSSES}
    values: dict[str, Floats] = {KIND: numbers.pop("loss"), **numbers}
    values[f"final_{KIND}"] = training.final["loss"].numpy()
    if "error" in training.final:
        values["final_error"] = training.final["error"].numpy()
    evaluated = torch.tensor([split == ("train" if cell.in_sample else "eval") for split in splits])
    parameters = [p.numel() for p in net.parameters()]
    losses = PerImageLosses(
        kind=KIND, image_ids=tuple(images.ids[i] for i in rows.every), splits=splits, values=values
    )
    all_tables = {"epochs": _epochs(trained), **(tables or {})}
    if PREDICTED in training.best:
        predicted, confidence = (training.best[name].numpy() for name in (PREDICTED, CONFIDENCE))
        labels, classes = images.labels[rows.every], images.classes
        all_tables |= predictions_table(losses, labels, predicted, classes, confidence)
    return Outcome(
        losses=losses,
        n_params=sum(parameters),
        n_params_trained=sum(p.numel() for p in net.parameters() if p.requires_grad),
        flops_per_image=flops_per_image,
        flops_total=(1 + BACKWARD) * flops_per_image * trained.n_seen,
        facts=_facts(training, evaluated) | dict(facts or {}),
        provenance=_provenance(cell, model, training),
        tensors={name.removeprefix("body."): value.cpu().numpy() for name, value in trained.best.items()},
        tables=all_tables,
    )


KIND = "cross_entropy"
COUNTS = ("correct", "total")
NOT_LOSSES = (*COUNTS, PREDICTED, CONFIDENCE)


def _facts(training: EvaluatedTraining, evaluated: Tensor) -> dict[str, float]:
    """Numbers of a run; ``evaluated`` marks the rows whose loss counts."""
    trained = training.trained
    facts = {"epochs": float(trained.history[-1]["epoch"]), "steps": float(trained.history[-1]["step"])}
    facts |= {"samples": float(trained.n_seen), "best_epoch": float(trained.best_epoch)}
    facts |= {"seconds_trained": trained.seconds, "accumulated": float(trained.accumulate)}
    facts |= {"out_of_memory": float(trained.n_out_of_memory)}
    for ending, values in (("", training.best), ("_final", training.final)):
        correct, total = (values[name][evaluated].sum().item() for name in COUNTS)
        facts |= {f"n_correct{ending}": correct, f"accuracy{ending}": correct / total}
    facts["n_total"] = total
    facts["eval_loss_final"] = training.final["loss"][evaluated].mean().item()
    return facts


def _provenance(cell: Cell, model: Model, training: EvaluatedTraining) -> dict[str, str]:
    iteration = {"parent": model.parent, "change": model.change} if model.parent else {}
    source = {"model_source": model.source} if model.source else {}
    return (
        iteration
        | source
        | {
            "weights": f"{cell.weights}, drawn from seed {cell.seed}",
            "device": training_device(),
            "threads": str(find_n_threads()),
            "precision": training.settings.precision,
            "images": training.images,
            "torch": torch.__version__,
        }
    )


def _epochs(trained: Trained) -> dict[str, list[object]]:
    """The history as columns: ``validation_loss`` for ``validation.loss``; counts as whole numbers."""
    names = list(dict.fromkeys(name for row in trained.history for name in row))
    whole = ("epoch", "step", "samples", "correct", "total")
    return {
        name.replace(".", "_"): [
            int(row[name]) if name.rpartition(".")[2] in whole else row[name] for row in trained.history
        ]
        for name in names
    }
