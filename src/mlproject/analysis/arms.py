"""Arms: cells that differ from a baseline in a few knobs and are equal in everything else but the seed.

Found from the cells alone. A setting is all that arms must share: model, weights, data, sizes, the loss.
An arm is the rest: recipe, knobs and image scales. The baseline is the arm that has the most others close
to it over all settings, and asks for the least where two are alike in that. A model that was run with the
baseline's knobs alone is an arm as well.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.comparable import weights_kind
from mlproject.analysis.runs import Run
from mlproject.cell import LABELS_ONLY
from mlproject.files import sha256

FEW = 3
"""Knobs in which an arm may differ from the baseline."""
FACTORS = ("recipe", "recipe_version", "knobs", "image_scales")
MODEL = ("model", "weights", "weights_digest")

Key = str
Seeds = Mapping[int, Run]


@dataclass(frozen=True, kw_only=True)
class Contest:
    """A setting with its arms: ``arms`` are runs by seed under the arm's name, the baseline first."""

    setting: Mapping[str, Any]
    baseline: Mapping[str, Any]
    arms: Mapping[str, Seeds]


BASELINE = "baseline"


def contests(runs: Iterable[Run]) -> list[Contest]:
    """Every setting in which a baseline meets at least one other arm."""
    settings: dict[Key, dict[Key, dict[int, Run]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        settings[_key(setting_of(run))][_key(arm_of(run.cell.to_dict()))][run.cell.seed] = run
    score = _centrality(settings.values())
    found = []
    for key in sorted(settings):
        arms = settings[key]
        baseline = max(sorted(arms), key=lambda arm: (score[arm], _plainness(arm)))
        named = {BASELINE: arms[baseline]} | _others(arms, baseline) | _models(settings, key, baseline)
        if len(named) > 1:
            setting = setting_of(next(iter(arms[baseline].values())))
            found.append(Contest(setting=setting, baseline=json.loads(baseline), arms=named))
    return found


def setting_of(run: Run) -> dict[str, Any]:
    """What arms must share: all of the cell but its factors and its seed; the loss and the split."""
    own = {k: v for k, v in run.cell.to_dict().items() if k not in (*FACTORS, "seed")}
    return own | {"split": run.split, "kind": run.kind, "weights_kind": weights_kind(run.cell)}


def arm_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe, its version, image scales and knobs, flat, of a cell's (or a group's) fields."""
    plain = {name: fields[name] for name in FACTORS if name != "knobs"}
    return plain | {f"knobs.{name}": value for name, value in fields["knobs"].items()}


def differences(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """What an arm does otherwise, by name; of another recipe the knobs are no part of it."""
    names = [n for n in sorted({*arm, *baseline}) if arm.get(n) != baseline.get(n)]
    if arm["recipe"] != baseline["recipe"]:
        names = [n for n in names if n in ("recipe", "image_scales")]
    return {name.removeprefix("knobs."): arm.get(name) for name in names}


def name_of_arm(arm: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """``optimizer=sgd, lr=0.01``, or ``baseline``."""
    told = differences(arm, baseline)
    return ", ".join(f"{name}={_text(value)}" for name, value in told.items()) or BASELINE


def _text(value: Any) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)


def _key(fields: Mapping[str, Any]) -> Key:
    return json.dumps({k: v for k, v in fields.items() if k not in LABELS_ONLY}, sort_keys=True)


def _distance(first: Key, second: Key) -> int:
    """In how many ways two arms differ; another recipe is as much as an arm may do otherwise."""
    told = differences(json.loads(first), json.loads(second))
    return len(told) + (FEW - 1 if "recipe" in told else 0)


def _plainness(arm: Key) -> int:
    """How many knobs ask for nothing: of two arms alone, the one that does less is the baseline."""
    return sum(value in ("none", 0, False) for value in json.loads(arm).values())


def _centrality(settings: Iterable[Mapping[Key, Any]]) -> dict[Key, int]:
    """For every arm, how near it has others to it, summed over the settings that it is in."""
    score: dict[Key, int] = defaultdict(int)
    for arms in settings:
        for arm in arms:
            distances = [_distance(other, arm) for other in arms]
            score[arm] += sum(max(0, FEW + 1 - d) for d in distances)
    return score


def _others(arms: Mapping[Key, Seeds], baseline: Key) -> dict[str, Seeds]:
    """The arms that differ from the baseline in a few knobs, by name."""
    near = [arm for arm in arms if 0 < _distance(arm, baseline) <= FEW]
    names = {arm: name_of_arm(json.loads(arm), json.loads(baseline)) for arm in near}
    repeated = [name for name, n in Counter(names.values()).items() if n > 1]
    marks = {arm: f" [{sha256(arm.encode())[:6]}]" if names[arm] in repeated else "" for arm in near}
    return dict(sorted((names[arm] + marks[arm], arms[arm]) for arm in near))


def _models(settings: Mapping[Key, Mapping[Key, Seeds]], here: Key, baseline: Key) -> dict[str, Seeds]:
    """Other models that were run with the baseline's knobs alone, where this one has further arms."""
    if len(settings[here]) < 2:
        return {}
    found = {}
    for key, arms in settings.items():
        if key != here and _but_model(key) == _but_model(here) and list(arms) == [baseline]:
            found[f"model={next(iter(arms[baseline].values())).cell.model}"] = arms[baseline]
    return dict(sorted(found.items()))


def _but_model(key: Key) -> dict[str, Any]:
    return {name: value for name, value in json.loads(key).items() if name not in MODEL}
