"""Rounds of a plan that is run until a prediction is narrow enough: which cells are next, when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from mlproject.analysis import (
    MARGIN,
    Batch,
    Round,
    Spending,
    Spent,
    Until,
    comparison_key,
    finished_run,
    key_of_curve,
    known_cost,
    predict_targets,
    shared_by_cells,
    target_axes,
)
from mlproject.cell import Cell
from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.losses import Observation
from mlproject.plans import Plan
from mlproject.runs.cell_run import CellRun
from mlproject.runs.curve_state import (
    CurveState,
    budget_reason,
    exhausted_reason,
    narrow_reason,
    never_reason,
)
from mlproject.runs.next_experiments import FEWEST_SIZES, designs
from mlproject.tracking import Store


def start_cells(plan: Plan, until: Until) -> list[Cell]:
    """The cells of the first round where nothing is finished.

    Raises: WrongUse for a tuned plan, for curves of fewer than three sizes, and where a target model size is
    asked of fewer than three models.
    """
    if plan.tune:
        raise WrongUse(
            "a tuned plan cannot be run with --until: each of its searches needs all seeds at once"
        )
    groups = _groups(plan, until)
    for cells in groups.values():
        if until.params and len({cell.model for cell in cells}) < FEWEST_SIZES:
            raise WrongUse(
                f"a target in parameters needs three models that compare; {plan.name} has"
                f" {', '.join(sorted({cell.model for cell in cells}))}: leave out 'and ... parameters'"
            )
    curves = [curve for cells in groups.values() for curve in _curves(cells)]
    for curve in curves:
        if len(sizes := {cell.dataset_size for cell in curve}) < FEWEST_SIZES:
            raise WrongUse(
                f"{plan.naming.name(curve[0])}: {len(sizes)} sizes in the plan carry no law; three are needed"
            )
    return [cell for curve in curves for cell in _first(curve, set())]


def _groups(plan: Plan, until: Until) -> dict[str, list[Cell]]:
    """The cells of each curve, or of each grid where the target is a model size too."""
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(_key(cell, until), []).append(cell)
    return groups


def _key(cell: Cell, until: Until) -> str:
    return comparison_key(shared_by_cells(cell, target_axes(until.aim(1.0))))


def _curves(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells of each model, sizes ascending, and seeds of a size."""
    curves: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.dataset_size, cell.seed)):
        curves.setdefault(key_of_curve(cell), []).append(cell)
    return list(curves.values())


def _first(curve: Sequence[Cell], finished: set[int]) -> list[Cell]:
    """The cells that give a curve three sizes, the smallest that are not finished, a seed of each."""
    by_size = {cell.dataset_size: cell for cell in reversed(curve) if cell.dataset_size not in finished}
    return [by_size[size] for size in sorted(by_size)][: max(0, FEWEST_SIZES - len(finished))]


@dataclass(kw_only=True)
class RoundPlanner:
    """Chooses the cells of each round from what is finished, and records what was spent."""

    plan: Plan
    store: Store
    until: Until
    done: set[str]
    on_round: Callable[[Round], None]
    spending: Spending = field(init=False)
    _rounds: list[Round] = field(default_factory=list)
    _unusable: dict[str, str] = field(default_factory=dict)
    _runs: dict[str, Observation] = field(default_factory=dict)

    def take(self, results: Iterable[CellRun]) -> None:
        """Take the results of a round; what failed, or is run by other processes, is not chosen again."""
        for result in results:
            if result.status in ("done", "was done"):
                self.done.add(result.cell.key)
            else:
                self._unusable[result.cell.key] = result.status

    def next(self, least: int) -> list[Cell]:
        """The cells of the next round, ``least`` or more as far as there are any; none at the end.

        Raises: MLProjectError where failed cells leave a curve fewer than three sizes, BadInput where other
        processes run them, or where the budget does not buy them.
        """
        self._read()
        if cells := self._missing():
            return cells
        states = self._states()
        self._record(states)
        wide = [state for state in states if state.width > self.until.width]
        cells, reason = self._choose(wide, least) if wide else ([], narrow_reason(self.until, states))
        self.spending = Spending(
            until=self.until,
            rounds=tuple(self._rounds),
            whole=self._whole(states),
            targets={state.name: state.target for state in states},
            narrow=not wide,
            reason=reason,
        )
        return cells

    def _read(self) -> None:
        """Read the runs that finished since the last round; their losses stay in memory."""
        new = self.done - set(self._runs)
        for run in self.store.observations(keys=new) if new else ():
            if not run.damage:
                self._runs.setdefault(run.cell.key, replace(run, load_losses=cache(run.load_losses)))

    def _missing(self) -> list[Cell]:
        """The cells that are missing for three sizes of every curve. Raises: BadInput, MLProjectError."""
        missing = []
        for curve in _curves(self.plan.cells):
            finished = {cell.dataset_size for cell in curve if cell.key in self._runs}
            first = _first([cell for cell in curve if self._is_waiting(cell)], finished)
            if len(finished) + len(first) < FEWEST_SIZES:
                raise self._too_few(curve, len(finished))
            missing += first
        cost = sum(known_cost(cell.dataset_size, self.until.unit) or 0 for cell in missing)
        if missing and cost > self._left:
            raise BadInput(
                f"the budget of {self.until.budget_words} does not buy three sizes of each curve: give at"
                f" least --budget {cost + self._spent.budgeted:.6g}"
            )
        return missing

    def _is_waiting(self, cell: Cell) -> bool:
        return cell.key not in self.done and cell.key not in self._unusable

    def _too_few(self, curve: Sequence[Cell], n_finished: int) -> MLProjectError:
        """Why a curve cannot have three sizes; where cells failed, with the status of a failed cell."""
        statuses = [self._unusable[cell.key] for cell in curve if cell.key in self._unusable]
        n_failed = statuses.count("failed")
        counts = [(n_failed, "failed"), (len(statuses) - n_failed, "are run by others")]
        why = " and ".join(f"{n} cells {what}" for n, what in counts if n)
        name = self.plan.naming.name(curve[0])
        text = f"{name}: {n_finished} sizes are finished, and no others can be run here"
        text += f", for {why}: a law needs three" if why else ": a law needs three"
        return MLProjectError(text) if n_failed else BadInput(text)

    @property
    def _spent(self) -> Spent:
        return Spent.on([finished_run(run) for run in self._runs.values()], self.until.unit)

    @property
    def _left(self) -> float:
        return self.until.budget - self._spent.budgeted

    def _states(self) -> list[CurveState]:
        """What is known of every curve, in the order of the plan."""
        aim, runs = self.until.aim(1.0), list(self._runs.values())
        predicted = predict_targets(runs, aim, mix_weights=self.plan.mix_weights)
        planned = {
            _key(design.cells[0], self.until): design
            for design in designs(self.plan, runs, joint=bool(aim.params))
            if design.joint == bool(aim.params)
        }
        return [
            CurveState(
                name=predicted[key].name if key in predicted else self.plan.naming.name(cells[0]),
                design=planned.get(key),
                target=predicted.get(key),
                waiting=tuple(filter(self._is_waiting, cells)),
            )
            for key, cells in _groups(self.plan, self.until).items()
        ]

    def _record(self, states: Iterable[CurveState]) -> None:
        self._rounds.append(Round(spent=self._spent, widths={state.name: state.width for state in states}))
        self.on_round(self._rounds[-1])

    def _whole(self, states: Iterable[CurveState]) -> Spent:
        """What all cells of the plan cost, those that were not run as the finished ones let expect."""
        whole = self._spent
        for state in states:
            counts = {candidate: len(cells) for candidate, cells in state.candidates().items()}
            whole = whole.plus(Spent.expected(state.design, counts, self.until.unit))
        return whole

    def _choose(self, wide: Sequence[CurveState], least: int) -> tuple[list[Cell], str]:
        """The cells of the next round, or why there is none."""
        left, cells, batches = self._left, list[Cell](), list[tuple[CurveState, Batch]]()
        for place, state in enumerate(sorted(wide, key=lambda state: -state.width)):
            n_others = len(wide) - place
            batch, chosen = state.batch(self.until, left, left / n_others, math.ceil(least / len(wide)))
            if batch is not None:
                batches.append((state, batch))
                left -= batch.cost if chosen else 0.0
                cells += chosen
        most = MARGIN * self.until.log_width
        if never := [(s, each) for s, each in batches if not s.few and each.expected_of_all > most]:
            return [], never_reason(self.until, never)
        if cells:
            return cells, ""
        return [], (budget_reason if batches else exhausted_reason)(self.until, wide, self._spent)
