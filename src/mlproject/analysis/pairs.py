"""Two sets of runs compared pairwise: the same settings and seeds, on the images that both evaluated.

What the two sets differ in is read from their cells: a field or knob in which they have no value in common.
Everything else has to be equal within a pair, so that two cells, two models of a study and two studies are
one case. Seeds pair where any is shared, else runs pair in the order of their seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlproject.analysis.ablations import PairedDifference
from mlproject.analysis.comparable import comparison_key, flat_fields, shared_by_runs
from mlproject.analysis.effects import Discordant, Effect, effect, holm, mcnemar
from mlproject.analysis.pair_exponents import (
    PairedExponent,
    Pairs,
    paired_exponents,
    values_of,
)
from mlproject.analysis.runs import ERROR, EvaluatedRun, read_runs
from mlproject.errors import BadInput
from mlproject.losses import Observation

UNSHARED = frozenset({"data_digest", "split", "kind"})
"""What pairs cannot differ in: the images, whether they were trained on, and the loss."""
HIDDEN = frozenset(
    {"model_digest", "weights_digest", "weights_kind", "recipe_version", "region_digest", "data"}
)
"""Fields that only repeat what another one says."""


@dataclass(frozen=True, kw_only=True)
class PairedSetting:
    """The runs of one setting: the loss of either, and first minus second in loss and in errors.

    ``shared`` are the fields that tell settings apart; ``first_lower`` is the share of images whose loss,
    averaged over seeds, is lower in the first. ``seeds_shared`` is False where runs pair by order.
    """

    shared: Mapping[str, Any]
    first: Effect
    second: Effect
    loss: PairedDifference
    error: PairedDifference | None
    mcnemar: Discordant | None
    first_lower: float
    seeds_shared: bool


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """Two sets of runs, by name: what they differ in (field to both values), and every setting they share.

    ``n_alone`` counts the cells of either that have no partner.
    """

    names: tuple[str, str]
    kind: str
    differing: Mapping[str, tuple[str, str]]
    settings: tuple[PairedSetting, ...]
    exponents: tuple[PairedExponent, ...]
    n_alone: tuple[int, int]


def compare_runs(
    first: Iterable[Observation],
    second: Iterable[Observation],
    *,
    names: tuple[str, str],
    n_draws: int = 1000,
    seed: int = 0,
) -> PairComparison:
    """Compare two sets of finished runs. Raises: BadInput, which says why where nothing is shared."""
    sets = read_runs(first)[0], read_runs(second)[0]
    differing = _differing(*sets)
    groups = _grouped(sets, set(differing))
    settings: list[tuple[Mapping[str, Any], Pairs, bool]] = []
    for shared, (of_first, of_second) in groups:
        pairs, seeds_shared = _pair(of_first, of_second)
        if any(set(a.image_ids) & set(b.image_ids) for a, b in pairs):
            settings.append((shared, pairs, seeds_shared))
    if not settings:
        raise BadInput(f"{names[0]} and {names[1]} share nothing that can be compared: {_why(*sets, names)}")
    rows = [_setting(*setting, n_draws=n_draws, seed=seed) for setting in settings]
    n_paired = [len({pair[i].run_id for _, pairs, _ in settings for pair in pairs}) for i in (0, 1)]
    return PairComparison(
        names=names,
        kind=sets[0][0].kind,
        differing={name: values for name, values in differing.items() if name not in HIDDEN},
        settings=tuple(_corrected(rows)),
        exponents=tuple(paired_exponents(settings, n_draws=n_draws, seed=seed)),
        n_alone=(len(sets[0]) - n_paired[0], len(sets[1]) - n_paired[1]),
    )


def _fields(run: EvaluatedRun) -> dict[str, str]:
    return {name: json.dumps(value, default=str) for name, value in flat_fields(shared_by_runs(run)).items()}


def _differing(first: Sequence[EvaluatedRun], second: Sequence[EvaluatedRun]) -> dict[str, tuple[str, str]]:
    """The fields in which two sets have no value in common, with the values of either as text."""
    values: list[dict[str, set[str]]] = []
    fields = [[_fields(run) for run in runs] for runs in (first, second)]
    names = sorted({name for rows in fields for row in rows for name in row})
    for rows in fields:
        values.append({name: {row.get(name, "null") for row in rows} for name in names})
    return {
        name: (_listed(values[0][name]), _listed(values[1][name]))
        for name in names
        if not values[0][name] & values[1][name] and name not in UNSHARED
    }


def _listed(values: Iterable[str]) -> str:
    """Values as text: ``0.001``, ``resnet18, resnet50``."""
    return ", ".join(sorted(value.strip('"') for value in values)).replace("null", "none")


def _grouped(
    sets: tuple[Sequence[EvaluatedRun], Sequence[EvaluatedRun]], differing: set[str]
) -> list[tuple[dict[str, Any], tuple[list[EvaluatedRun], list[EvaluatedRun]]]]:
    """Runs that are equal in all but what the sets differ in and the seed, with the fields that vary."""
    groups: dict[str, tuple[list[EvaluatedRun], list[EvaluatedRun]]] = {}
    fields: dict[str, dict[str, Any]] = {}
    for place, runs in enumerate(sets):
        for run in runs:
            shared = flat_fields(shared_by_runs(run))
            rest = {name: value for name, value in shared.items() if name not in differing}
            key = comparison_key(rest)
            fields[key] = rest
            groups.setdefault(key, ([], []))[place].append(run)
    keys = [key for key, group in groups.items() if all(group) and not _same_cells(*group)]
    vary = _varying([fields[key] for key in keys])
    rows = [({name: fields[key][name] for name in vary if name in fields[key]}, groups[key]) for key in keys]
    return sorted(rows, key=lambda row: [(str(type(v)), v) for v in row[0].values()])


def _same_cells(first: Sequence[EvaluatedRun], second: Sequence[EvaluatedRun]) -> bool:
    return {run.cell.key for run in first} == {run.cell.key for run in second}


def _varying(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fields that differ between settings, without those that only repeat another."""
    names = sorted({name for row in rows for name in row} - HIDDEN)
    return [name for name in names if len({json.dumps(row.get(name), default=str) for row in rows}) > 1]


def _pair(first: Sequence[EvaluatedRun], second: Sequence[EvaluatedRun]) -> tuple[Pairs, bool]:
    """Runs of the same seed, or where none is shared in the order of seeds; whether seeds are shared."""
    by_seed = [{run.cell.seed: run for run in runs} for runs in (first, second)]
    shared = sorted(set(by_seed[0]) & set(by_seed[1]))
    if shared:
        return [(by_seed[0][seed], by_seed[1][seed]) for seed in shared], True
    ordered = [[runs[seed] for seed in sorted(runs)] for runs in by_seed]
    return list(zip(*ordered, strict=False)), False


def _why(first: Sequence[EvaluatedRun], second: Sequence[EvaluatedRun], names: tuple[str, str]) -> str:
    """The first reason why no runs pair."""
    if {run.cell.key for run in first} == {run.cell.key for run in second}:
        return "they are the same cells"
    words = {"kind": "the loss", "data": "the images", "split": "the split"}
    for field, what in words.items():
        values = [{str(shared_by_runs(run)[field]) for run in runs} for runs in (first, second)]
        digests = [{run.cell.data_digest for run in runs} for runs in (first, second)]
        if not values[0] & values[1] or (field == "data" and not digests[0] & digests[1]):
            texts = (", ".join(sorted(value)) for value in values)
            return f"{what} of {names[0]} is {{}}, of {names[1]} {{}}".format(*texts)
    if {run.cell.key for run in first} & {run.cell.key for run in second}:
        return "where their settings agree they are the same cells"
    images = [{image for run in runs for image in run.image_ids} for runs in (first, second)]
    if not images[0] & images[1]:
        return "they evaluated different images"
    return "no setting (sizes and knobs) is in both"


def _setting(
    shared: Mapping[str, Any], pairs: Pairs, seeds_shared: bool, *, n_draws: int, seed: int
) -> PairedSetting:
    losses, wrong = values_of(pairs), values_of(pairs, ERROR)
    assert losses is not None
    (a, b), error, counts = losses, None, None
    if wrong is not None:
        difference = effect(wrong[0] - wrong[1], n_draws=n_draws, seed=seed, within="difference of shares")
        error, counts = PairedDifference(effect=difference), mcnemar(wrong[0], wrong[1])
    return PairedSetting(
        shared=shared,
        first=effect(a, n_draws=n_draws, seed=seed, within="positive"),
        second=effect(b, n_draws=n_draws, seed=seed, within="positive"),
        loss=PairedDifference(effect=effect(a - b, n_draws=n_draws, seed=seed)),
        error=error,
        mcnemar=counts,
        first_lower=float((np.nanmean(a, axis=0) < np.nanmean(b, axis=0)).mean()),
        seeds_shared=seeds_shared,
    )


def _corrected(rows: Sequence[PairedSetting]) -> list[PairedSetting]:
    """p-values adjusted for all settings that have one."""
    losses = iter(holm([row.loss.p for row in rows if row.loss.effect.n_seeds > 1]))
    errors = iter(holm([row.error.p for row in rows if row.error and row.error.effect.n_seeds > 1]))
    corrected = []
    for row in rows:
        loss, error = row.loss, row.error
        if loss.effect.n_seeds > 1:
            loss = replace(loss, holm=next(losses))
        if error is not None and error.effect.n_seeds > 1:
            error = replace(error, holm=next(errors))
        corrected.append(replace(row, loss=loss, error=error))
    return corrected
