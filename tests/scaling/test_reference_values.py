"""Certified and published numbers, agreement counted in digits."""

import numpy as np
import pytest

from mlproject.scaling import fit

# NIST Statistical Reference Datasets, DanWood (radiated energy of a carbon filament, 6 points), y = b1 x^b2.
# https://www.itl.nist.gov/div898/strd/nls/data/danwood.shtml
DANWOOD_X = [1.309, 1.471, 1.490, 1.565, 1.611, 1.680]
DANWOOD_Y = [2.138, 3.421, 3.597, 4.340, 4.882, 5.660]
DANWOOD = {"b1": (7.6886226176e-01, 1.8281973860e-02), "b2": (3.8604055871e00, 5.1726610913e-02)}


def digits(value, certified):
    """Matching significant digits, as NIST counts them."""
    return -np.log10(max(abs(value - certified) / abs(certified), 1e-15))


def test_danwood_in_linear_space_matches_the_certified_parameters():
    found = fit(DANWOOD_X, DANWOOD_Y, law="power", space="linear")
    assert digits(found.parameters["k"].value, DANWOOD["b1"][0]) > 9
    assert digits(-found.parameters["alpha"].value, DANWOOD["b2"][0]) > 9


def test_danwood_intervals_match_the_certified_standard_errors():
    found = fit(DANWOOD_X, DANWOOD_Y, law="power", space="linear")
    half = 2.7764451 * DANWOOD["b2"][1]  # t with 4 degrees of freedom
    assert found.parameters["alpha"].width / 2.0 == pytest.approx(half, rel=0.01)


def test_danwood_in_log_space_is_the_straight_line():
    found = fit(DANWOOD_X, DANWOOD_Y, law="power")
    slope, level = np.polyfit(np.log(DANWOOD_X), np.log(DANWOOD_Y), 1)
    assert -found.parameters["alpha"].value == pytest.approx(slope, rel=1e-9)
    assert np.log(found.parameters["k"].value) == pytest.approx(level, rel=1e-8)
    assert round(slope, 4) == 3.9172
