"""Suggest the next block of trials in memory from the trials of earlier blocks.

The sampler never sees the storage. Its seed derives from the study's seed and the block's number, and its
history is sorted, so that a search that was killed continues with the suggestions it would have had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from mlproject.cell import Knob
from mlproject.errors import WrongUse
from mlproject.tuning.search.settings import Choices, Dimension, Tune

BLOCK = 16
"""Trials suggested and trained together."""
INDEX = "index"


def distributions(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """The search space as Optuna distributions."""
    return {name: _distribution(dimension) for name, dimension in space.items()}


def check_sampler(name: str, space: Mapping[str, Dimension]) -> None:
    """Refuse a space that the sampler would search at random without notice. Raises: WrongUse."""
    ranges = [str(dimension) for dimension in space.values() if not isinstance(dimension, Choices)]
    if name == "cmaes" and len(ranges) < 2:
        available = f"only {ranges[0]}" if ranges else "none"
        raise WrongUse(f"sampler cmaes samples two or more ranges and has {available}; use tpe, gp or random")


def _distribution(dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def propose(
    tune: Tune,
    space: Mapping[str, Any],
    block: int,
    trials: Sequence[FrozenTrial],
    first: Mapping[str, Knob],
    study_name: str,
) -> list[Any]:
    """The trials of a block, as open trials of a study in memory that can be pruned.

    ``trials`` are all finished or running trials outside the block; ``first`` are the knobs of the very first
    trial.
    """
    digest = hashlib.sha256(f"{tune.seed}:{block}".encode()).digest()
    history = [_within(trial, space) for trial in sorted(trials, key=lambda t: t.user_attrs[INDEX])]
    shadow = optuna.create_study(
        sampler=_sampler(tune.sampler, int.from_bytes(digest[:4], "big"), history),
        pruner=_pruner(tune.pruner),
        study_name=study_name,
    )
    shadow.add_trials(history)
    if block == 0 and first:
        shadow.enqueue_trial(dict(first))
    return [shadow.ask(dict(space)) for _ in range(min(BLOCK, tune.trials - block * BLOCK))]


def _within(trial: FrozenTrial, space: Mapping[str, Any]) -> FrozenTrial:
    """The trial in the current space, which may be wider than the one that it was sampled from."""
    return create_trial(
        params=trial.params,
        distributions=dict(space),
        state=trial.state,
        intermediate_values=trial.intermediate_values,
        value=trial.value if trial.state == TrialState.COMPLETE else None,
    )


def _sampler(name: str, seed: int, history: Sequence[FrozenTrial]) -> Any:
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if name == "cmaes":
        return _evolution(seed, history)
    return optuna.samplers.TPESampler(seed=seed)


def _evolution(seed: int, history: Sequence[FrozenTrial]) -> Any:
    """CMA-ES that starts each block from the best earlier trials (WS-CMA-ES, Nomura et al. 2021).

    Optuna would store the state of the strategy pickled, in a storage to which others may write.
    Categorical knobs cannot be sampled from a normal distribution: they are drawn at random.
    """
    done = [_numbers(trial) for trial in history if trial.state == TrialState.COMPLETE]
    return optuna.samplers.CmaEsSampler(
        seed=seed, source_trials=done or None, warn_independent_sampling=False
    )


def _numbers(trial: FrozenTrial) -> FrozenTrial:
    kept = {n: d for n, d in trial.distributions.items() if not isinstance(d, CategoricalDistribution)}
    params = {name: trial.params[name] for name in kept}
    return create_trial(params=params, distributions=kept, value=trial.value)


def _pruner(name: str) -> Any:
    if name == "median":
        return optuna.pruners.MedianPruner()
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner()
    return optuna.pruners.NopPruner()
