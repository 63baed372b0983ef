"""Sequential design: spend a plan's cells until the interval of a prediction is narrow enough.

A condition is stated once; each round chooses the cells that narrow the prediction most for what they cost
(``Design.choose``, linear Bayes design), and expects how far they and all others narrow it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlproject.analysis.design import UNITS, Aim, Candidate, Design, FinishedRun
from mlproject.analysis.targets import PredictedTarget
from mlproject.errors import BadInput, WrongUse, shown, unknown

EXAMPLE = "width <= 0.1 at 100000 images"
NUMBER = r"([0-9][0-9_,]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
FORM = re.compile(
    rf"\s*width\s*(?:<=?|≤)\s*{NUMBER}\s*(%?)\s*at\s+{NUMBER}\s+images?(?:\s+and\s+{NUMBER}\s+param(?:eter)?s?)?\s*"
)
GROWTH = 0.25
"""A round may cost this share of what was spent on its curve before, so that rounds are few."""
MARGIN = 2.0
"""How many times the log width must exceed what is wanted, after all cells, before none of them is run.

Set by simulation (``benchmarks/never.py``): of widths that all cells reach just so it gives up 3 % wrongly,
and where half of that is asked for it stops after a sixth of the cost.
"""


@dataclass(frozen=True, kw_only=True)
class Until:
    """The condition to stop at, and the budget.

    ``width`` is relative: the upper limit of the 95 % interval of the mean loss at the target over the lower
    limit, minus 1. ``target`` counts images; ``params`` is a model size, for plans whose models are an axis.
    """

    width: float
    target: int
    params: float = 0.0
    budget: float = math.inf
    unit: str = "images"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width > 0):
            raise WrongUse(f"the width must be above zero, not {self.width:g}; for example: {EXAMPLE}")
        if not self.budget > 0:
            raise WrongUse(f"the budget must be above zero, not {self.budget:g}")
        if self.unit not in UNITS:
            raise unknown("unit", self.unit, UNITS)
        self.aim(1.0)

    def aim(self, budget: float) -> Aim:
        """The target with what may be spent next."""
        return Aim(target=self.target, budget=budget, unit=self.unit, params=self.params)

    @property
    def log_width(self) -> float:
        """The width as that of the interval of ln loss."""
        return math.log1p(self.width)

    @property
    def words(self) -> str:
        """The condition as people say it."""
        return f"width <= {self.width:g} at {self.aim(1.0).words}"

    @property
    def budget_words(self) -> str:
        """The budget as people say it."""
        return "no budget" if math.isinf(self.budget) else f"{self.budget:,.6g} {self.unit}"


def read_until(text: str, budget: str = "", unit: str = "images") -> Until:
    """A condition such as ``width <= 0.1 at 100000 images and 5e6 parameters``, with its budget.

    Raises: WrongUse with an example.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise WrongUse(
            f"the condition {shown(text)} cannot be read; write it as {EXAMPLE!r}, and for a plan of several"
            f" model sizes {EXAMPLE + ' and 5e6 parameters'!r}"
        )
    width, images, params = (_number(word) for word in (match[1], match[3], match[4] or "0"))
    try:
        most = float(budget.replace(",", "").replace("_", "")) if budget else math.inf
    except ValueError:
        raise WrongUse(f"budget must be a number of {unit}, not {shown(budget)}") from None
    percent = 100.0 if match[2] else 1.0
    return Until(
        width=width / percent, target=round(min(images, 1e18)), params=params, budget=most, unit=unit
    )


def _number(word: str) -> float:
    return float(word.replace(",", "").replace("_", ""))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The cells of one curve or grid to run next, the best first; a cell that repeats is run with more seeds.

    Log widths of the interval at the target are those expected after them, after all that wait, and of the
    evaluation images alone, which no cell narrows.
    """

    cells: tuple[Candidate, ...]
    cost: float
    expected: float
    expected_of_all: float
    of_images: float


def next_batch(
    design: Design,
    aim: Aim,
    waiting: Mapping[Candidate, int],
    *,
    log_width: float,
    of_images: float = math.inf,
    wanted: float,
    least: int,
) -> Batch:
    """The cells to run next among those that wait (by their number of seeds), for a width that is wanted.

    As many as are expected to reach it, at least ``least`` and no more than ``GROWTH`` allows.
    ``log_width`` is that of the interval as it is reported, over evaluation images too, which no cell
    narrows: its square is more than that of the design by their part, at most ``of_images``, as the noise
    of few scales and the choice of the law widen it too. Raises: BadInput below the cheapest.
    """
    plan, chosen = design.choose(aim, waiting)

    def expected(after: float) -> float:
        if not math.isfinite(log_width):
            return after
        scale = min(1.0, log_width / plan.width_before) if plan.width_before > 0 else 1.0
        images = math.sqrt(max(0.0, log_width**2 - (scale * plan.width_before) ** 2))
        return math.hypot(min(images, of_images), scale * after)

    spent = sum(run.cost(aim.unit) for run in design.runs)
    cost, n = 0.0, 0
    for n, cell in enumerate(plan.cells, 1):
        cost += cell.cost
        if expected(cell.width_after) <= wanted or (n >= least and cost >= GROWTH * spent):
            break
    return Batch(
        cells=tuple(chosen[:n]),
        cost=cost,
        expected=expected(plan.cells[n - 1].width_after) if n else log_width,
        expected_of_all=expected(plan.width_of_all),
        of_images=expected(0.0),
    )


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What cells cost in all: their number, training images, seconds, and the unit of the budget.

    Seconds of cells that were not run are expected as those of the finished ones grow, not a number where
    they are not known.
    """

    n_cells: int
    images: float
    seconds: float
    budgeted: float

    @classmethod
    def on(cls, runs: Sequence[FinishedRun], unit: str) -> Spent:
        """What finished runs cost, as they logged it."""
        images, seconds, budgeted = (
            sum(run.cost(each) for run in runs) for each in ("images", "seconds", unit)
        )
        return cls(n_cells=len(runs), images=images, seconds=seconds, budgeted=budgeted)

    @classmethod
    def expected(cls, design: Design | None, waiting: Mapping[Candidate, int], unit: str) -> Spent:
        """What cells that wait are expected to cost."""
        n, counts = sum(waiting.values()), np.array(list(waiting.values()), dtype=np.float64)

        def cost(of: str) -> float:
            try:
                return float(design.costs(list(waiting), of) @ counts) if design and n else math.nan * bool(n)
            except BadInput:  # not logged
                return math.nan

        images = float(sum(size * count for (_, size), count in waiting.items()))
        return cls(n_cells=n, images=images, seconds=cost("seconds"), budgeted=cost(unit))

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(
            n_cells=self.n_cells + other.n_cells,
            images=self.images + other.images,
            seconds=self.seconds + other.seconds,
            budgeted=self.budgeted + other.budgeted,
        )


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was spent up to the end of a round, and the relative width of each curve by name then.

    A width is infinite where nothing is predicted yet.
    """

    spent: Spent
    widths: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Spending:
    """How a plan was spent: the rounds (the first is what was finished before), and why it stopped.

    ``whole`` is what all cells of the plan cost; ``targets`` are the predictions at the end by curve.
    """

    until: Until
    rounds: tuple[Round, ...]
    whole: Spent
    targets: Mapping[str, PredictedTarget | None]
    narrow: bool
    reason: str

    @property
    def known_widths(self) -> dict[str, list[tuple[float, float]]]:
        """Images spent and width after each round that has one, by curve."""
        known: dict[str, list[tuple[float, float]]] = {}
        for done in self.rounds:
            for name, width in done.widths.items():
                if math.isfinite(width):
                    known.setdefault(name, []).append((done.spent.images, width))
        return known

    @property
    def spent(self) -> Spent:
        """What was spent in all."""
        return self.rounds[-1].spent
