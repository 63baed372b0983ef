"""Laws of one axis against their published formulas, written out a second time in the unit of the data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.scaling import LAWS

X = np.geomspace(50.0, 5e4, 12)
UNIT = np.log(X).mean()
LOG_X = (np.log(X) - UNIT)[:, None]


def hestness(p):
    return p["k"] * X ** -p["alpha"]


def hestness_floor(p):
    return p["E"] + p["k"] * X ** -p["alpha"]


def shifted(p):
    return p["k"] * (X + p["x0"]) ** -p["alpha"]


def zhai(p):
    return p["E"] + p["k"] * (X + p["x0"]) ** -p["alpha"]


def alabdulmohsin(p):
    return p["k"] * (1 / X + p["g"]) ** p["alpha"]


def caballero(p):
    """Equation 1 of arXiv 2210.14891: c_i is the change of the exponent at break i."""
    total, before, i = p["k"] * X ** -p["alpha"], p["alpha"], 1
    while f"d{i}" in p:
        change, d, f = p[f"alpha{i}"] - before, p[f"d{i}"], p[f"f{i}"]
        total = total * (1 + (X / d) ** (1 / f)) ** (-change * f)
        before, i = p[f"alpha{i}"], i + 1
    return p.get("E", 0.0) + total


PUBLISHED = {
    "power": hestness, "power_floor": hestness_floor, "shifted": shifted, "zhai": zhai,
    "m3": alabdulmohsin, "bnsl1": caballero, "bnsl2": caballero,
    "bnsl1_no_floor": caballero, "bnsl2_no_floor": caballero,
}  # fmt: skip


def drawn(law, seed):
    """Scaled parameters inside the grid of every shape, with amplitudes of the size of the loss."""
    rng = np.random.default_rng(seed)
    shapes = [rng.uniform(max(shape.low, -1.0), min(shape.high, 2.0)) for shape in law.shapes]
    return np.array([[*shapes, *rng.uniform(0.1, 1.0, len(law.amplitudes))]])


@pytest.mark.parametrize("name", list(PUBLISHED))
@settings(max_examples=30)
@given(seed=st.integers(min_value=0, max_value=10_000), loss_unit=st.floats(min_value=0.01, max_value=100))
def test_a_law_in_units_of_the_data_is_its_published_formula(name, seed, loss_unit):
    law = LAWS[name]
    theta = drawn(law, seed)
    physical = {
        key: float(value[0]) for key, value in law.physical(theta, np.array([UNIT]), loss_unit).items()
    }
    assert loss_unit * law.mean(theta, LOG_X)[0] == pytest.approx(PUBLISHED[name](physical), rel=1e-8)


@pytest.mark.parametrize("name", ["power", "power_floor", "shifted", "zhai", "m3"])
@settings(max_examples=30)
@given(seed=st.integers(min_value=0, max_value=10_000))
def test_a_law_with_a_positive_exponent_falls_towards_its_floor(name, seed):
    law = LAWS[name]
    theta = drawn(law, seed)
    theta[0, 0] = abs(theta[0, 0]) + 0.05
    losses = law.mean(theta, LOG_X)[0]
    floor = theta[0, law.names.index("E")] if "E" in law.names else 0.0
    assert np.all(np.diff(losses) < 0)
    assert np.all(losses > floor)


def test_local_exponents_of_a_broken_law_go_from_one_exponent_to_the_other():
    law = LAWS["bnsl1"]
    theta = np.array([[0.2, 0.9, 0.0, np.log(0.3), 0.0, 1.0]])
    far = np.array([[-6.0], [-5.9], [5.9], [6.0]])
    log_loss = np.log(law.mean(theta, far)[0])
    assert -(log_loss[1] - log_loss[0]) / 0.1 == pytest.approx(0.2, abs=1e-6)
    assert -(log_loss[3] - log_loss[2]) / 0.1 == pytest.approx(0.9, abs=1e-6)


def test_laws_are_nested_where_their_formulas_say_so():
    power = LAWS["power"].mean(np.array([[0.4, 1.0]]), LOG_X)
    assert LAWS["power_floor"].mean(np.array([[0.4, 0.0, 1.0]]), LOG_X) == pytest.approx(power)
    assert LAWS["shifted"].mean(np.array([[0.4, -40.0, 1.0]]), LOG_X) == pytest.approx(power)
    assert LAWS["m3"].mean(np.array([[0.4, -40.0, 1.0]]), LOG_X) == pytest.approx(power)
    unbroken = np.array([[0.4, 0.4, 0.0, 0.0, 0.0, 1.0]])
    assert LAWS["bnsl1"].mean(unbroken, LOG_X) == pytest.approx(power)
    broken = [0.2, 0.9, 0.5, -1.0]
    without = LAWS["bnsl1_no_floor"].mean(np.array([[*broken, 1.0]]), LOG_X)
    assert LAWS["bnsl1"].mean(np.array([[*broken, 0.0, 1.0]]), LOG_X) == pytest.approx(without)
