"""A coordinate's study: claim trials in blocks, finish them, read them back.

A trial has an *index* below the number of trials of the study. Each index is finished once: trials are
claimed under a lock of the storage, and where two machines claim an index at the same moment the trial with
the lower number stays. A trial whose owner died is failed, and its index is claimed again.
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
from mlproject.tuning.search.settings import Choices, Dimension, Tune, read_space
from mlproject.tuning.search.storage import OWNER, Storage, reaching

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
CHOSEN, REASON, SPACE, FACTS = "chosen", "reason", "space", "facts"


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """A finished trial: its knobs and its validation loss, or None and the reason."""

    index: int
    number: int
    state: str
    loss: float | None
    knobs: Mapping[str, Knob]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ClaimedTrial:
    """A trial that this process has claimed; ``shadow`` is its copy in the study in memory."""

    index: int
    number: int
    knobs: Mapping[str, Knob]
    shadow: Any = field(repr=False)
    trial: Any = field(repr=False)

    def report(self, step: int, loss: float) -> bool:
        """Report an intermediate loss; whether the trial is to be pruned."""
        self.trial.report(loss, step)
        self.shadow.report(loss, step)
        return bool(self.shadow.should_prune())


@dataclass(kw_only=True)
class TrialStudy:
    """The study called ``name`` of knobs sampled from ``space``; trial 0 has the knobs ``first``.

    Raises: WrongUse when earlier trials searched another space or the sampler cannot search this one;
    StoreUnreachable.
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
                sampler=optuna.samplers.RandomSampler(),  # unused: a study in memory suggests
            )
            self._check_space()
            if self._optuna.metric_names is None:  # else optuna-dashboard calls it "Objective 0"
                self._optuna.set_metric_names(["validation loss"])

    @property
    def timed_out(self) -> bool:
        """Whether this process has spent the study's time limit."""
        return bool(self.tune.timeout) and time.monotonic() - self._began > self.tune.timeout

    def claim(self) -> list[ClaimedTrial]:
        """Claim the free trials of the first block that has any; none when all are finished or running."""
        with reaching(self.storage.url), locked(self._lock):
            self._reconcile()
            live = _live(self._optuna)
            free = [index for index in range(self.tune.trials) if index not in live]
            if not free or self.timed_out:
                return []
            block = free[0] // BLOCK
            others = [trial for index, trial in live.items() if index // BLOCK != block]
            space = distributions(self.space)
            shadows = propose(self.tune, space, block, others, self.first, self.name)
            indexed = dict(enumerate(shadows, block * BLOCK))
            return self._take({i: indexed[i] for i in free if i in indexed}, space)

    def finish(
        self, trial: ClaimedTrial, loss: float | None, *, chosen: Mapping[str, Knob], reason: str
    ) -> None:
        """Finish a trial with its loss, or None and a reason; ``chosen`` are knobs read off its curve."""
        with reaching(self.storage.url):
            if chosen:
                trial.trial.set_user_attr(CHOSEN, dict(chosen))
            if reason:
                trial.trial.set_user_attr(REASON, reason)
            # A trial without a loss counts as pruned, since failed trials are repeated.
            state = TrialState.COMPLETE if loss is not None and not reason else TrialState.PRUNED
            self._optuna.tell(trial.number, loss if state == TrialState.COMPLETE else None, state)

    def give_up(self, trials: Iterable[ClaimedTrial]) -> None:
        """Fail trials that will not be finished, so that other processes can claim them at once."""
        for trial in trials:
            self._optuna.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def finished(self) -> list[FinishedTrial]:
        """All finished trials by index."""
        with reaching(self.storage.url):
            return _finished_trials(self._optuna)

    @property
    def done(self) -> bool:
        """Whether all trials are finished, or the time limit has passed and no trial is running."""
        with reaching(self.storage.url):
            states = [trial.state for trial in _live(self._optuna).values()]
        if TrialState.RUNNING in states:
            return False
        return len([s for s in states if s in FINISHED]) >= self.tune.trials or self.timed_out

    def importances(self) -> dict[str, float]:
        """Share of the loss' variance that each sampled knob explains (PED-ANOVA, arXiv 2304.10255)."""
        if len({t.loss for t in self.finished() if t.state == "complete"}) < 2 or not self.space:
            return {}
        if len(self.space) == 1:  # shares sum to 1, and Optuna's evaluators load scikit-learn
            return dict.fromkeys(self.space, 1.0)
        with reaching(self.storage.url):
            importances = optuna.importance.get_param_importances(self._optuna)
        return {name: float(value) for name, value in importances.items()}

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about the best trial that are stored with the study."""
        with reaching(self.storage.url):
            return dict(self._optuna.user_attrs.get(FACTS, {}))

    def keep_facts(self, facts: Mapping[str, Any]) -> None:
        """Store facts about the best trial."""
        with reaching(self.storage.url):
            self._optuna.set_user_attr(FACTS, dict(facts))

    @property
    def _lock(self) -> Any:
        return self.storage.lock("study-" + sha256(self.name.encode())[:16])

    def _take(self, shadows: Mapping[int, Any], space: Mapping[str, Any]) -> list[ClaimedTrial]:
        """Add running trials, each as one entry with its owner, so that no trial is ever without one."""
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
        live, claimed = _live(self._optuna), []
        for index, shadow in shadows.items():
            trial = live[index]
            if trial.user_attrs[OWNER] == self.storage.owner and trial.state == TrialState.RUNNING:
                claimed.append(self._claimed(index, trial, shadow))
        self._drop_surplus({trial.number for trial in claimed}, shadows)
        return claimed

    def _claimed(self, index: int, trial: FrozenTrial, shadow: Any) -> ClaimedTrial:
        storage = self.storage.optuna
        study_id = storage.get_study_id_from_name(self.name)
        trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
        return ClaimedTrial(
            index=index,
            number=trial.number,
            knobs=trial.params,
            shadow=shadow,
            trial=Trial(self._optuna, trial_id),
        )

    def _drop_surplus(self, kept: set[int], indices: Iterable[int]) -> None:
        """Fail trials of this process whose index another machine claimed at the same moment."""
        wanted = set(indices)
        for trial in self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            claimed_here = trial.user_attrs.get(OWNER) == self.storage.owner
            if claimed_here and trial.user_attrs[INDEX] in wanted and trial.number not in kept:
                self._optuna.tell(trial.number, state=TrialState.FAIL)

    def _reconcile(self) -> None:
        """Fail trials that a dead process left running."""
        for trial in self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER, "")
            if self.storage.abandoned(owner):
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
        if refusal := self._refusal([(old[n], self.tune.space[n]) for n in changed]):
            raise WrongUse(
                f"study {self.name!r} searched {before}, now {now} is asked for; {refusal}, or begin another"
                f" study with another tune_seed than {self.tune.seed}"
            )
        if not self.tune.widen:
            n = len(self.finished())
            raise WrongUse(
                f"study {self.name!r} searched {before}, now {now} is asked for;"
                f" widen=true keeps its {n} trials and searches the wider range"
            )

    @staticmethod
    def _refusal(changes: Iterable[tuple[Dimension, Dimension]]) -> str:
        """What to ask for instead, where a study cannot go on with its earlier trials; else empty."""
        for earlier, later in changes:
            if isinstance(earlier, Choices) or isinstance(later, Choices):
                return f"choices stay those of a study's first trial: ask for {earlier}"
            if (earlier.log, earlier.whole) != (later.log, later.whole):
                return f"a range keeps its scale: ask for log = {str(earlier.log).lower()} of {earlier.name}"
            if not later.widens(earlier):
                return f"ask for a range of {earlier.name} that holds {earlier}"
        return ""


def best_of(trials: Iterable[FinishedTrial]) -> FinishedTrial | None:
    """The trial with the smallest loss (the first of equals); None when no trial has a loss."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return min(complete, key=lambda trial: (trial.loss, trial.index), default=None)


def stored_trials(storage: Storage) -> dict[str, list[FinishedTrial]]:
    """The finished trials of all studies of a storage by the study's name; nothing is changed."""
    with reaching(storage.url):
        names = optuna.get_all_study_names(storage.optuna)
        studies = [optuna.load_study(study_name=name, storage=storage.optuna) for name in names]
        return {study.study_name: _finished_trials(study) for study in studies}


def _live(study: Any) -> dict[int, FrozenTrial]:
    """Valid trials by index: a finished one before a running one, then the lower number."""
    live: dict[int, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        index = trial.user_attrs.get(INDEX)
        if index is None or trial.state not in (*FINISHED, TrialState.RUNNING):
            continue
        kept = live.get(index)
        if kept is None or (kept.state == TrialState.RUNNING and trial.state in FINISHED):
            live[index] = trial
    return live


def _finished_trials(study: Any) -> list[FinishedTrial]:
    live = sorted(_live(study).items())
    return [_finished(index, trial) for index, trial in live if trial.state in FINISHED]


def _plain(dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return list(dimension.values)
    low, high = dimension.ends
    return {"low": low, "high": high, "log": dimension.log}


def _finished(index: int, trial: FrozenTrial) -> FinishedTrial:
    attributes = trial.user_attrs
    return FinishedTrial(
        index=index,
        number=trial.number,
        state="complete" if trial.state == TrialState.COMPLETE else "pruned",
        loss=trial.value,
        knobs={**trial.params, **attributes.get(CHOSEN, {})},
        reason=attributes.get(REASON, ""),
    )
