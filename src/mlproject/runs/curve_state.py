"""State of a curve while a plan is run until its prediction is narrow, and why a plan stops, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlproject.analysis import (
    Batch,
    Candidate,
    Design,
    PredictedTarget,
    Spent,
    Until,
    key_of_curve,
    next_batch,
)
from mlproject.cell import Cell


@dataclass(frozen=True, kw_only=True)
class CurveState:
    """A curve or grid of a plan: its prediction and its design as far as it has any, and cells that wait."""

    name: str
    design: Design | None
    target: PredictedTarget | None
    waiting: tuple[Cell, ...]

    @property
    def width(self) -> float:
        """The relative width of the interval at the target."""
        return math.inf if self.target is None else self.target.width

    @property
    def few(self) -> bool:
        """Whether there are too few scales to expect what others will show."""
        return self.target is None or self.target.few

    def candidates(self) -> dict[Candidate, list[Cell]]:
        """The cells that wait by their places in the design, seeds ascending."""
        places = (
            {key_of_curve(cell): place for place, cell in enumerate(self.design.cells)} if self.design else {}
        )
        cells: dict[Candidate, list[Cell]] = {}
        for cell in sorted(self.waiting, key=lambda cell: cell.seed):
            if (place := places.get(key_of_curve(cell))) is not None:
                cells.setdefault((place, cell.dataset_size), []).append(cell)
        return cells

    def batch(self, until: Until, left: float, share: float, least: int) -> tuple[Batch | None, list[Cell]]:
        """The cells to run next for a share of what is left, and what is expected of them and of all."""
        waiting = self.candidates()
        if self.design is None or not waiting:
            return None, []
        prices = self.design.costs(list(waiting), until.unit)
        counts = {candidate: len(cells) for candidate, cells in waiting.items()}
        every, cheapest = float(prices @ list(counts.values())), float(prices.min())
        batch = next_batch(
            self.design,
            until.aim(min(max(share, cheapest), every)),
            counts,
            log_width=math.inf if self.target is None or self.few else self.target.log_width,
            of_images=math.inf if self.target is None else self.target.of_images,
            wanted=until.log_width,
            least=least,
        )
        return batch, [
            waiting[each].pop(0) for each in batch.cells if waiting[each]
        ] if cheapest <= left else []


def narrow_reason(until: Until, states: Iterable[CurveState]) -> str:
    """All curves are narrow enough."""
    return f"Narrow enough at {until.aim(1.0).words}: {_widths(states)}; {until.width:g} was asked for."


def budget_reason(until: Until, wide: Sequence[CurveState], spent: Spent) -> str:
    """The budget buys no further cell that narrows a prediction."""
    if math.isinf(until.budget):
        return f"No cell that is left narrows {_widths(wide)}; {until.width:g} was asked for.{_floors(wide)}"
    return (
        f"The budget is spent, {spent.budgeted:,.6g} of {until.budget_words}: {_widths(wide)};"
        f" {until.width:g} was asked for.{_floors(wide)}"
    )


def exhausted_reason(until: Until, wide: Sequence[CurveState], spent: Spent) -> str:
    """No cell of the plan is left."""
    return (
        f"All {spent.n_cells} cells of the plan that can be run are finished: {_widths(wide)};"
        f" {until.width:g} was asked for.{_floors(wide)}"
    )


def never_reason(until: Until, never: Sequence[tuple[CurveState, Batch]]) -> str:
    """All cells that are left are expected to leave the interval too wide."""
    parts = []
    for state, batch in never:
        expected, images = math.expm1(batch.expected_of_all), math.expm1(batch.of_images)
        alone = (
            f", {images:.2g} of it by the evaluation images alone"
            if batch.of_images > until.log_width
            else ""
        )
        parts.append(
            f"{state.name} is {_width(state)} and is expected to be {expected:.2g} after all its"
            f" {len(state.waiting)} cells that are left{alone}"
        )
    floors = _floors([state for state, _ in never])
    return f"It never will be {until.width:g} at {until.aim(1.0).words}: {'; '.join(parts)}.{floors}"


def _widths(states: Iterable[CurveState]) -> str:
    return ", ".join(f"{state.name} {_width(state)}" for state in states)


def _width(state: CurveState) -> str:
    return f"{state.width:.2g}" if math.isfinite(state.width) else "not predicted"


def _floors(states: Iterable[CurveState]) -> str:
    """Curves whose floor the data do not tell from none."""
    open_floors = [
        f"{state.name} (between 0 and {state.target.floor.high:.3g})"
        for state in states
        if state.target is not None and state.target.floor is not None and state.target.floor.low <= 0.0
    ]
    return f" Not identified: the floor of {', '.join(open_floors)}." if open_floors else ""
