"""The next cells to run: what narrows the target within the budget."""

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import average, plan_next

SIZES = np.geomspace(100.0, 6400.0, 7)


def test_the_next_cell_shrinks_the_interval_within_the_budget():
    y = (0.3 + 10.0 * SIZES**-0.5) * np.exp(0.01 * np.random.default_rng(4).standard_normal(7))
    found = average(SIZES, y)
    plan = plan_next(
        found, target=1e5, candidates=[200.0, 12800.0, 51200.0], costs=[1.0, 10.0, 40.0], budget=100.0
    )
    assert plan.spent <= 100.0
    assert plan.width_after < plan.width_before
    assert plan.cells[0].x[0] > 6400.0  # beyond the data, where laws part


def test_a_budget_below_every_cell_is_refused():
    found = average(SIZES, 0.3 + 10.0 * SIZES**-0.5)
    with pytest.raises(BadInput, match="budget"):
        plan_next(found, target=1e5, candidates=[200.0], costs=[1.0], budget=0.5)
