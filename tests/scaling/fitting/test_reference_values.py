"""Certified and published numbers, agreement counted in digits."""

from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from mlproject.scaling import fit
from mlproject.scaling.fitting.fit import physical_values
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.robust import huber
from mlproject.scaling.laws import find_law

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


# NIST Bennett5, higher difficulty: y = b1 (b2 + x)^(-1/b3), a shifted power law once the sign is turned.
BENNETT5 = {"b1": 2.5235058043e03, "b2": 4.6736564644e01, "b3": 9.3218483193e-01, "ss": 5.2404744073e-04}


def test_bennett5_matches_the_certified_parameters():
    numbers = np.array((Path(__file__).parent / "bennett5.txt").read_text().split("\n", 2)[2].split(), float)
    y, x = -numbers[0::2], numbers[1::2]
    assert len(y) == 154
    found = fit(x, y, law="shifted", space="linear")
    assert digits(found.parameters["x0"].value, BENNETT5["b2"]) > 5
    assert digits(1.0 / found.parameters["alpha"].value, BENNETT5["b3"]) > 6
    assert digits(found.parameters["k"].value, BENNETT5["b1"]) > 5
    residual = y - found.predict(x).mean
    assert digits(float(residual @ residual), BENNETT5["ss"]) > 8


# Cherti et al. 2023 (arXiv 2212.07143), ImageNet zero-shot error against compute in GMACs: OpenAI's three
# models, and the least error of OpenCLIP models in five equal bins of log compute, as in the paper.
OPENAI = ([1.122944e12, 2.63296e11, 9.472e10], [0.2451, 0.31648, 0.36666])
OPENCLIP = (
    [33401015102.770027, 113924155760.17279, 388572419902.0453, 1325342500903.7065, 4520477148492.662],
    [0.37316, 0.36772, 0.29778, 0.26904, 0.22028],
)


@pytest.mark.parametrize(("points", "slope"), [(OPENAI, 0.1638), (OPENCLIP, 0.1114)])
def test_published_vision_slopes_come_back(points, slope):
    assert round(fit(*points, law="power").parameters["alpha"].value, 4) == slope


def test_three_published_points_do_not_settle_a_slope():
    found = fit(*OPENAI, law="power").parameters["alpha"]
    assert found.low < 0.06
    assert found.high > 0.27


def test_huber_is_the_minimum_of_the_summed_huber_loss():
    rng = np.random.default_rng(0)
    x = np.geomspace(1.0, 1e3, 40)
    y = (0.5 + 2.0 * x**-0.4) * np.exp(0.01 * rng.standard_t(2, len(x)))

    def objective(p):
        residual = np.log(y) - np.log(p[0] + np.exp(p[1]) * x ** -p[2])
        size = np.abs(residual)
        return float(np.sum(np.where(size <= 1e-3, 0.5 * size**2, 1e-3 * (size - 0.5e-3))))

    best = optimize.minimize(
        objective,
        [0.5, np.log(2.0), 0.4],
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-14, "maxiter": 8000},
    )
    points, law = read_points(x, y), find_law("power_floor")
    found = physical_values(points, law, huber(points.problem(law), delta=1e-3))
    assert found["E"] == pytest.approx(best.x[0], rel=1e-4)
    assert found["alpha"] == pytest.approx(best.x[2], rel=1e-4)
    assert objective([found["E"], np.log(found["k"]), found["alpha"]]) <= best.fun * (1 + 1e-9)
