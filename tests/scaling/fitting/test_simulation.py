"""Coverage of planted laws: a seeded part of what the benchmark runs with 500 data sets a row."""

import numpy as np
import pytest
from benchmarks.scaling_simulation import PLANTED, run, truth

from mlproject.scaling import LAWS, fit


@pytest.mark.parametrize("law", ["power", "power_floor", "product", "kaplan"])
def test_intervals_hold_planted_exponents_floors_and_losses_as_often_as_they_say(law):
    row = run(law, 0.01, 20)
    told = row.held[~np.isnan(row.held)]
    assert len(told) == {"power": 2, "power_floor": 3, "product": 4, "kaplan": 3}[law]
    assert np.all(told >= 0.9)  # of 20: at a coverage of 0.75 that has a chance of 9 %
    assert abs(row.bias) < 0.02
    assert row.refused == 0.0


@pytest.mark.parametrize("law", sorted(PLANTED))
def test_the_planted_truth_is_what_its_law_predicts(law):
    x, clean, ahead, loss, values = truth(law)
    assert set(values) >= {"alpha"}
    if LAWS[law].n_shapes <= 2:
        assert fit(x, clean, law=law).predict(ahead).mean[0] == pytest.approx(loss, rel=1e-4)
