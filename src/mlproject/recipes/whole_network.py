"""What recipes that train whole networks share: images in memory, training with a checkpoint, the outcome."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlproject.cell import Cell
from mlproject.data.splits import Rows
from mlproject.device import Device, find_device, find_n_threads
from mlproject.features import unfinished_folder
from mlproject.losses import Floats, Outcome, PerImageLosses, Split
from mlproject.models.counting import count
from mlproject.models.model import Model, Preprocess
from mlproject.models.preprocess import prepare
from mlproject.multiscale import crop_side, n_splits
from mlproject.training import Examples, Settings, Task, Trained, Values, judge, train

if TYPE_CHECKING:
    from mlproject.data import ImageSet
    from mlproject.progress import Report
else:
    ImageSet = Report = Any

BACKWARD = 2.0
"""A backward pass costs twice a forward pass (Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """A training and its judgement: values of every row, under the best and under the last weights."""

    trained: Trained
    settings: Settings
    best: Values
    final: Values


def settings_of(recipe: Any) -> Settings:
    """The loop's settings among a recipe's knobs."""
    return Settings(**{f.name: getattr(recipe, f.name) for f in fields(Settings)})


def training_device() -> Device:
    """Where networks are trained: a cuda device where there is one, else the CPU."""
    return "cuda" if find_device() == "cuda" else "cpu"  # losses are float64, which mps lacks


def sized(model: Model, side: int) -> Preprocess:
    """The model's preprocessing for another input side."""
    return replace(model.preprocess, resize=side, crop=side)


def pixels_of(images: ImageSet, rows: Sequence[int], preprocess: Preprocess) -> Tensor:
    """Prepared pixels of some images, uint8 [n, 3, side, side]."""
    side = preprocess.crop
    pixels = np.empty((len(rows), side, side, 3), np.uint8)
    for place, row in enumerate(rows):
        pixels[place] = prepare(preprocess, images.read(int(row)))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def labelled(images: ImageSet, rows: Rows, preprocess: Preprocess) -> Examples:
    """All rows of a cell in memory, each with its class to be learned."""
    return Examples(
        pixels=pixels_of(images, rows.every.tolist(), preprocess),
        targets=torch.from_numpy(images.labels[rows.every]),
        mean=preprocess.mean,
        std=preprocess.std,
    )


def split_rows(rows: Rows, examples: Examples) -> dict[Split, Examples]:
    """The examples of every split that has some; they stand in the order of ``rows.every``."""
    found: dict[Split, Examples] = {}
    for split in dict.fromkeys(rows.splits):
        where = [i for i, one in enumerate(rows.splits) if one == split]
        part = slice(where[0], where[-1] + 1)
        found[split] = replace(examples, pixels=examples.pixels[part], targets=examples.targets[part])
    return found


def learn(
    net: nn.Module,
    task: Task,
    recipe: Any,
    cell: Cell,
    examples: Mapping[Split, Examples],
    report: Report,
    *,
    watched: Collection[Split] = ("validation", "eval"),
) -> Learned:
    """Train on ``train``, then judge all splits twice: with the best weights and with the last.

    ``watched`` splits are judged after epochs as well. The network is left with the best weights.
    Raises: MLProjectError where training fails.
    """
    settings, device = settings_of(recipe), training_device()
    trained = train(
        net,
        task,
        settings,
        seed=cell.seed,
        examples=examples["train"],
        judged={split: some for split, some in examples.items() if split in watched},
        device=device,
        report=report,
        checkpoint=unfinished_folder(cell.key) / "training.safetensors",
        identity=cell.key,
    )
    found = []
    for weights in (trained.final, trained.best):
        net.load_state_dict(weights)
        parts = [_judged(net, some, task, settings, device) for some in examples.values()]
        found.append({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    return Learned(trained=trained, settings=settings, final=found[0], best=found[1])


def _judged(net: nn.Module, examples: Examples, task: Task, settings: Settings, device: Device) -> Values:
    size = settings.batch_size
    return judge(net, examples, task.measure, device=device, batch_size=size, precision=settings.precision)


def forward_flops(model: Model, side: int, image_scales: Sequence[float]) -> float:
    """Operations of the body for one image of ``side`` pixels at these scales."""
    return float(sum(count(model, crop_side(side, s)).flops * n_splits(side, s) ** 2 for s in image_scales))


def outcome(
    learned: Learned,
    cell: Cell,
    model: Model,
    images: ImageSet,
    rows: Rows,
    net: nn.Module,
    *,
    flops_per_image: float,
    tables: Mapping[str, Mapping[str, Sequence[object]]] | None = None,
    facts: Mapping[str, float] | None = None,
) -> Outcome:
    """The outcome of a cell: losses of the best epoch, and of the last one beside them."""
    trained, splits = learned.trained, rows.splits
    numbers = {name: values.numpy() for name, values in learned.best.items() if name not in COUNTS}
    values: dict[str, Floats] = {KIND: numbers.pop("loss"), **numbers}
    values[f"final_{KIND}"] = learned.final["loss"].numpy()
    if "error" in learned.final:
        values["final_error"] = learned.final["error"].numpy()
    judged = torch.tensor([split == ("train" if cell.in_sample else "eval") for split in splits])
    parameters = [p.numel() for p in net.parameters()]
    return Outcome(
        losses=PerImageLosses(
            kind=KIND, image_ids=tuple(images.ids[i] for i in rows.every), splits=splits, values=values
        ),
        n_params=sum(parameters),
        n_params_trained=sum(p.numel() for p in net.parameters() if p.requires_grad),
        flops_per_image=flops_per_image,
        flops_total=(1 + BACKWARD) * flops_per_image * trained.n_seen,
        facts=_facts(learned, judged) | dict(facts or {}),
        provenance=_provenance(cell, model, learned),
        tensors={name.removeprefix("body."): value.cpu().numpy() for name, value in trained.best.items()},
        tables={"epochs": _epochs(trained), **(tables or {})},
    )


KIND = "cross_entropy"
COUNTS = ("correct", "total")


def _facts(learned: Learned, judged: Tensor) -> dict[str, float]:
    trained = learned.trained
    facts = {"epochs": float(trained.history[-1]["epoch"]), "steps": float(trained.history[-1]["step"])}
    facts |= {"samples": float(trained.n_seen), "best_epoch": float(trained.best_epoch)}
    facts |= {"seconds_trained": trained.seconds, "accumulated": float(trained.accumulate)}
    facts |= {"out_of_memory": float(trained.n_out_of_memory)}
    for ending, values in (("", learned.best), ("_final", learned.final)):
        correct, total = (values[name][judged].sum().item() for name in COUNTS)
        facts |= {f"n_correct{ending}": correct, f"accuracy{ending}": correct / total}
    facts["n_total"] = total
    facts["eval_loss_final"] = learned.final["loss"][judged].mean().item()
    return facts


def _provenance(cell: Cell, model: Model, learned: Learned) -> dict[str, str]:
    grown = {"parent": model.parent, "change": model.change} if model.parent else {}
    return grown | {
        "weights": f"{cell.weights}, drawn from seed {cell.seed}",
        "device": training_device(),
        "threads": str(find_n_threads()),
        "precision": learned.settings.precision,
        "torch": torch.__version__,
    }


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
