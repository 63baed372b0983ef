"""Arms: cells that differ from a baseline in a few knobs and are equal in everything else but the seed.

Derived from the cells alone. A setting is all that arms must share: model, weights, data, sizes, the loss.
An arm is the rest: recipe, knobs and image scales. Another target, and a length counted in steps and not in
epochs, are another protocol, whose losses answer another question, and no arm. The baseline is the arm that
is closest to the others over all settings, and has the fewest options switched on where two are equally
close. A model that was run with the baseline's knobs alone is an arm as well.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.axes import MODEL_FIELDS
from mlproject.analysis.comparable import ARM_FIELDS, comparison_key, shared_by_runs
from mlproject.analysis.runs import EvaluatedRun
from mlproject.files import sha256

FEW = 3
"""Knobs in which an arm may differ from the baseline."""
BASELINE = "baseline"

Key = str
"""An arm or a setting as JSON."""
RunsBySeed = Mapping[int, EvaluatedRun]


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """A setting with its arms: ``arms`` are runs by seed under the arm's name, the baseline first."""

    setting: Mapping[str, Any]
    baseline: Mapping[str, Any]
    arms: Mapping[str, RunsBySeed]


def arm_comparisons(runs: Iterable[EvaluatedRun]) -> list[ArmComparison]:
    """Every setting in which a baseline can be compared to at least one other arm."""
    settings: dict[Key, dict[Key, dict[int, EvaluatedRun]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        arm = comparison_key(arm_of(shared_by_runs(run)))
        settings[comparison_key(setting_of(run))][arm][run.cell.seed] = run
    score = _centrality(settings.values())
    comparisons = []
    for key in sorted(settings):
        arms = settings[key]
        baseline = max(sorted(arms), key=lambda arm: (score[arm], _switched_off(arm)))
        named = {BASELINE: arms[baseline]} | _others(arms, baseline) | _models(settings, key, baseline)
        if len(named) > 1:
            setting = setting_of(next(iter(arms[baseline].values())))
            comparisons.append(ArmComparison(setting=setting, baseline=json.loads(baseline), arms=named))
    return comparisons


def setting_of(run: EvaluatedRun) -> dict[str, Any]:
    """What arms must share: all of the cell but the fields of arms and the seed; loss, split and protocol."""
    knobs = run.cell.knobs
    length = "steps" if knobs.get("steps") else "epochs"
    return shared_by_runs(run, ARM_FIELDS) | {"target": knobs.get("target", ""), "length": length}


def arm_of(shared: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe, its version, image scales and knobs, flat, of the fields that comparable runs share."""
    plain = {name: shared[name] for name in ("recipe", "recipe_version", "image_scales")}
    return plain | {f"knobs.{name}": value for name, value in shared["knobs"].items()}


def differences(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the baseline, by name; the knobs of another recipe are not compared."""
    names = [n for n in sorted({*arm, *baseline}) if arm.get(n) != baseline.get(n)]
    if arm["recipe"] != baseline["recipe"]:
        names = [n for n in names if n in ("recipe", "image_scales")]
    return {name.removeprefix("knobs."): arm.get(name) for name in names}


def name_of_arm(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """``optimizer=sgd, lr=0.01``, or ``baseline``."""
    changed = differences(arm, baseline)
    return ", ".join(f"{name}={value_text(value)}" for name, value in changed.items()) or BASELINE


def value_text(value: Any) -> str:
    """The value of a field or knob in the name of an arm."""
    return ",".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


def _distance(first: Key, second: Key) -> int:
    """In how many ways two arms differ; another recipe counts as one less than the most allowed."""
    changed = differences(json.loads(first), json.loads(second))
    return len(changed) + (FEW - 1 if "recipe" in changed else 0)


def _switched_off(arm: Key) -> int:
    """How many knobs are switched off: of two arms alone, the one that does less is the baseline."""
    return sum(value in ("none", 0, False) for value in json.loads(arm).values())


def _centrality(settings: Iterable[Mapping[Key, Any]]) -> dict[Key, int]:
    """For every arm, how close the others are to it, summed over the settings that it is in."""
    score: dict[Key, int] = defaultdict(int)
    for arms in settings:
        for arm in arms:
            distances = [_distance(other, arm) for other in arms]
            score[arm] += sum(max(0, FEW + 1 - d) for d in distances)
    return score


def _others(arms: Mapping[Key, RunsBySeed], baseline: Key) -> dict[str, RunsBySeed]:
    """The arms that differ from the baseline in a few knobs, by name."""
    near = [arm for arm in arms if 0 < _distance(arm, baseline) <= FEW]
    names = {arm: name_of_arm(json.loads(arm), json.loads(baseline)) for arm in near}
    repeated = [name for name, n in Counter(names.values()).items() if n > 1]
    marks = {arm: f" [{sha256(arm.encode())[:6]}]" if names[arm] in repeated else "" for arm in near}
    return dict(sorted((names[arm] + marks[arm], arms[arm]) for arm in near))


def _models(
    settings: Mapping[Key, Mapping[Key, RunsBySeed]], setting: Key, baseline: Key
) -> dict[str, RunsBySeed]:
    """Other models that were run with the baseline's knobs alone, where this one has further arms."""
    if len(settings[setting]) < 2:
        return {}
    models = {}
    for key, arms in settings.items():
        if key != setting and _without_model(key) == _without_model(setting) and list(arms) == [baseline]:
            models[f"model={next(iter(arms[baseline].values())).cell.model}"] = arms[baseline]
    return dict(sorted(models.items()))


def _without_model(key: Key) -> Key:
    return comparison_key(json.loads(key), MODEL_FIELDS)
