"""What to run next: the cells whose losses would narrow the prediction at a stated target the most.

Where a plan's finished cells carry a joint law of model size and images, both axes are chosen along;
elsewhere each model is a curve over images. Sizes that may be run next lie between the smallest finished
one and the target, as far as the images go; models are those of the plan. The budget is shared equally
between fields. The choice itself is ``scaling.plan_next``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mlproject.errors import BadInput, WrongUse
from mlproject.losses import Observation
from mlproject.next_experiments.aim import UNITS, Aim
from mlproject.next_experiments.choice import Choice, New, choose_of
from mlproject.next_experiments.field import Field
from mlproject.next_experiments.fields import FEWEST_SIZES, fields
from mlproject.next_experiments.writing import write_plan
from mlproject.plans import Plan

__all__ = ["UNITS", "Aim", "Choice", "Field", "New", "choose", "write_plan"]


def choose(plan: Plan, observations: Iterable[Observation], aim: Aim) -> tuple[Choice, ...]:
    """The cells to run next of every field of a plan.

    Raises: BadInput where nothing has three sizes, the budget buys no cell, or no cell that it buys narrows
    the prediction; WrongUse for a target model size where no field has model size as an axis.
    """
    found = fields(plan, observations)
    if not found:
        raise BadInput(f"no group of {plan.name} has {FEWEST_SIZES} finished sizes; run the plan first")
    if aim.params and not any(field.joint for field in found):
        raise WrongUse("a target in parameters needs three finished models by three sizes that compare")
    share = replace(aim, budget=aim.budget / len(found))
    choices = tuple(choose_of(field, share) for field in found)
    if not any(choice.found.cells for choice in choices):
        raise BadInput(f"no cell within {aim.budget:g} {aim.unit} narrows the loss at {aim.words}")
    return choices
