"""One coordinate's study: trials claimed in blocks, told, reconciled and read back.

A trial has an *index* below the number asked for. Each index is finished once: claims are made under a
lock of the storage's own, and where two machines claimed one index at once the trial of the lower number
stays. A trial whose owner died is failed, and its index is claimed again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from mlproject.cell import Knob
from mlproject.errors import WrongUse
from mlproject.files import locked, sha256
from mlproject.tuning.search.sampling import BLOCK, INDEX, check_sampler, distributions, propose
from mlproject.tuning.search.settings import Tune
from mlproject.tuning.search.space import Dimension, read_space
from mlproject.tuning.search.storage import Storage, reaching

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
OWNER, CHOSEN, REASON, SPACE, FACTS = "owner", "chosen", "reason", "space", "facts"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A finished trial: the knobs it stands for, its validation loss (None where it has none), and why."""

    index: int
    number: int
    state: str
    loss: float | None
    knobs: Mapping[str, Knob]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A trial that this process has claimed; ``shadow`` is its twin in the sampler's memory."""

    index: int
    number: int
    knobs: Mapping[str, Knob]
    shadow: Any = field(repr=False)
    trial: Any = field(repr=False)

    def report(self, step: int, loss: float) -> bool:
        """Tell a loss on the way; whether the trial is to be given up."""
        self.trial.report(loss, step)
        self.shadow.report(loss, step)
        return bool(self.shadow.should_prune())


@dataclass(kw_only=True)
class Study:
    """The study called ``name``; ``space`` is what is sampled, ``first`` what trial 0 tries.

    Raises: WrongUse when earlier trials searched another space or the sampler cannot; StoreUnreachable.
    """

    storage: Storage
    name: str
    tune: Tune
    space: Mapping[str, Dimension]
    first: Mapping[str, Knob] = field(default_factory=dict)
    _optuna: Any = None
    _began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        check_sampler(self.tune.sampler, self.space)
        with reaching(self.storage.url), locked(self._lock):
            self._optuna = optuna.create_study(
                storage=self.storage.optuna,
                study_name=self.name,
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(),  # never asked: suggestions come from memory
            )
            self._check_space()

    @property
    def late(self) -> bool:
        """Whether this process has spent the time that a study may take."""
        return bool(self.tune.timeout) and time.monotonic() - self._began > self.tune.timeout

    def claim(self) -> list[Asked]:
        """The free trials of the first block that has any; none when all are finished or at work."""
        with reaching(self.storage.url), locked(self._lock):
            self._reconcile()
            live = self._live()
            free = [index for index in range(self.tune.trials) if index not in live]
            if not free or self.late:
                return []
            block = free[0] // BLOCK
            others = [trial for index, trial in live.items() if index // BLOCK != block]
            space = distributions(self.space)
            shadows = propose(self.tune, space, block, others, self.first, self.name)
            asked = dict(enumerate(shadows, block * BLOCK))
            return self._take({i: asked[i] for i in free if i in asked}, space)

    def finish(self, asked: Asked, loss: float | None, *, chosen: Mapping[str, Knob], reason: str) -> None:
        """Tell how a trial ended: its loss, or None and why; ``chosen`` are knobs read off its curve."""
        with reaching(self.storage.url):
            if chosen:
                asked.trial.set_user_attr(CHOSEN, dict(chosen))
            if reason:
                asked.trial.set_user_attr(REASON, reason)
            # A trial without a loss counts as pruned: failed ones are those that are to be tried again.
            state = TrialState.COMPLETE if loss is not None and not reason else TrialState.PRUNED
            self._optuna.tell(asked.number, loss if state == TrialState.COMPLETE else None, state)

    def give_up(self, asked: Iterable[Asked]) -> None:
        """Fail trials that will not be finished, so that others may have them at once."""
        for one in asked:
            self._optuna.tell(one.number, state=TrialState.FAIL, skip_if_finished=True)

    def tried(self) -> list[Tried]:
        """Every finished trial, by index."""
        with reaching(self.storage.url):
            live = sorted(self._live().items())
        return [_tried(index, trial) for index, trial in live if trial.state in FINISHED]

    def best(self) -> Tried | None:
        """The finished trial of the least loss (the first of equals); None when none has one."""
        found = [t for t in self.tried() if t.state == "complete"]
        return min(found, key=lambda t: (t.loss, t.index), default=None)

    @property
    def done(self) -> bool:
        """Whether all trials are finished, or time is up and nobody is at work."""
        with reaching(self.storage.url):
            states = [trial.state for trial in self._live().values()]
        if TrialState.RUNNING in states:
            return False
        return len([s for s in states if s in FINISHED]) >= self.tune.trials or self.late

    def importances(self) -> dict[str, float]:
        """How much of the loss' variation each sampled knob explains (PED-ANOVA, arXiv 2304.10255)."""
        if len({t.loss for t in self.tried() if t.state == "complete"}) < 2 or not self.space:
            return {}
        if len(self.space) == 1:  # shares sum to 1, and Optuna's evaluators load scikit-learn
            return dict.fromkeys(self.space, 1.0)
        with reaching(self.storage.url):
            found = optuna.importance.get_param_importances(self._optuna)
        return {name: float(value) for name, value in found.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """What was found out about the study's best trial, kept with it."""
        with reaching(self.storage.url):
            return dict(self._optuna.user_attrs.get(FACTS, {}))

    def keep_facts(self, facts: Mapping[str, Any]) -> None:
        """Keep what was found out about the best trial."""
        with reaching(self.storage.url):
            self._optuna.set_user_attr(FACTS, dict(facts))

    @property
    def _lock(self) -> Any:
        return self.storage.lock("study-" + sha256(self.name.encode())[:16])

    def _live(self) -> dict[int, FrozenTrial]:
        """Trials that count, by index: finished ones before running ones, then the lower number."""
        found: dict[int, FrozenTrial] = {}
        for trial in self._optuna.get_trials(deepcopy=False):
            index = trial.user_attrs.get(INDEX)
            if index is None or trial.state not in (*FINISHED, TrialState.RUNNING):
                continue
            kept = found.get(index)
            if kept is None or (kept.state == TrialState.RUNNING and trial.state in FINISHED):
                found[index] = trial
        return found

    def _take(self, shadows: Mapping[int, Any], space: Mapping[str, Any]) -> list[Asked]:
        """Enter trials as running; each is one entry, owner included, so that none is ever nobody's."""
        for index, shadow in shadows.items():
            attributes = {INDEX: index, OWNER: self.storage.owner}
            self._optuna.add_trial(
                create_trial(
                    state=TrialState.RUNNING,
                    params=shadow.params,
                    distributions=dict(space),
                    user_attrs=attributes,
                )
            )
        mine, asked = self._live(), []
        for index, shadow in shadows.items():
            trial = mine[index]
            if trial.user_attrs[OWNER] == self.storage.owner and trial.state == TrialState.RUNNING:
                twin = Trial(self._optuna, trial._trial_id)
                asked.append(
                    Asked(index=index, number=trial.number, knobs=trial.params, shadow=shadow, trial=twin)
                )
        self._drop_surplus({one.number for one in asked}, shadows)
        return asked

    def _drop_surplus(self, kept: set[int], indices: Iterable[int]) -> None:
        """Fail trials of ours whose index another machine claimed at the same moment."""
        wanted = set(indices)
        for trial in self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            ours = trial.user_attrs.get(OWNER) == self.storage.owner
            if ours and trial.user_attrs[INDEX] in wanted and trial.number not in kept:
                self._optuna.tell(trial.number, state=TrialState.FAIL)

    def _reconcile(self) -> None:
        """Fail trials that a dead process left running."""
        for trial in self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER, "")
            if self.storage.abandoned(owner, take_over=self.tune.take_over):
                self._optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _check_space(self) -> None:
        text = json.dumps({n: _plain(d) for n, d in self.tune.space.items()}, sort_keys=True)
        earlier = self._optuna.user_attrs.get(SPACE)
        if earlier == text:
            return
        if earlier is not None:
            self._check_wider(json.loads(earlier))
        self._optuna.set_user_attr(SPACE, text)

    def _check_wider(self, earlier: Mapping[str, Any]) -> None:
        defaults = {n: d.ends[0] for n, d in self.tune.space.items()}
        old = read_space(earlier, defaults)
        changed = [n for n, d in self.tune.space.items() if str(d) != str(old[n])]
        before = "; ".join(str(old[n]) for n in changed)
        now = "; ".join(str(self.tune.space[n]) for n in changed)
        if not all(self.tune.space[n].widens(old[n]) for n in changed):
            raise WrongUse(
                f"study {self.name!r} searched {before}, and {now} does not hold all of it;"
                " take a wider range, or begin another study with another tune_seed"
            )
        if not self.tune.widen:
            n = len(self.tried())
            raise WrongUse(
                f"study {self.name!r} searched {before}, now {now} is asked for;"
                f" widen=true keeps its {n} trials and searches the wider range"
            )


def _plain(dimension: Dimension) -> Any:
    if isinstance(dimension.ends, tuple) and hasattr(dimension, "values"):
        return list(dimension.values)
    low, high = dimension.ends
    return {"low": low, "high": high, "log": getattr(dimension, "log", False)}


def _tried(index: int, trial: FrozenTrial) -> Tried:
    attributes = trial.user_attrs
    return Tried(
        index=index,
        number=trial.number,
        state="complete" if trial.state == TrialState.COMPLETE else "pruned",
        loss=trial.value,
        knobs={**trial.params, **attributes.get(CHOSEN, {})},
        reason=attributes.get(REASON, ""),
    )
