"""What every law promises, over the table of laws: planted parameters, units, signs, ceilings, priors."""

import numpy as np
import pytest

from mlproject.scaling import LAWS, fit
from mlproject.scaling.laws.derivatives import mean_slopes
from mlproject.scaling.laws.law import Span

PLANTED = {
    "power": {"alpha": 0.4, "k": 1.0},
    "power_floor": {"alpha": 0.5, "E": 0.2, "k": 0.8},
    "shifted": {"alpha": 0.6, "log_x0": -1.0, "k": 1.0},
    "zhai": {"alpha": 0.6, "log_x0": -1.0, "E": 0.3, "k": 0.7},
    "m3": {"alpha": 0.5, "log_g": -1.5, "k": 1.0},
    "log_linear": {"log_xc": 1.5, "log_f": -1.0, "k": 1.0},
    "bounded": {"alpha": 0.7, "log_xc": -1.0, "E": 0.2, "L0": 2.0},
    "m4": {"alpha": 0.7, "log_xc": -1.0, "log_a": 0.4, "E": 0.2, "L0": 2.0},
    "bnsl1": {"alpha": 0.1, "alpha1": 0.6, "log_d1": -0.5, "log_f1": -1.0, "E": 0.1, "k": 1.0},
    "bnsl1_no_floor": {"alpha": 0.1, "alpha1": 0.6, "log_d1": -0.5, "log_f1": -1.0, "k": 1.0},
    "separable": {"alpha": 0.35, "beta": 0.5, "E": 0.3, "A": 0.5, "B": 0.4},
    "product": {"alpha": 0.25, "beta": 0.3, "E": 0.3, "k": 0.8},
    "log_plane": {"alpha": 0.25, "beta": 0.3, "k": 1.1},
    "interaction": {"alpha": 0.35, "beta": 0.5, "E": 0.3, "A": 0.5, "B": 0.4, "G": 0.3},
    "coupled": {"alpha": 0.3, "beta": 0.4, "logit_r": 0.3, "log_c": -0.6, "E": 0.2, "k": 0.9},
    "kaplan": {"alpha": 0.3, "beta": 0.4, "logit_r": 0.3, "k": 1.0},
    "bounded_sum": {"alpha": 0.4, "beta": 0.6, "logit_r": 0.3, "ln_h": -0.5, "E": 0.2, "L0": 3.0},
    "rosenfeld": {"alpha": 0.4, "beta": 0.6, "logit_r": 0.3, "ln_h": -0.5, "ln_c": -2.0, "L0": 3.0},
    "separable3": {"alpha": 0.35, "beta": 0.5, "gamma": 0.4, "E": 0.3, "A": 0.5, "B": 0.4, "G": 0.3},
    "product3": {"alpha": 0.35, "beta": 0.2, "gamma": 0.3, "E": 0.3, "k": 0.8},
    "overfitting": {
        **{"alpha": 0.45, "beta": 0.5, "gamma": 0.35, "delta": 0.4},
        **{"logit_r": 0.3, "ln_h": -0.5, "logit_q": -1.0, "E": 0.2, "L0": 3.0},
    },
}
LINES = {1: np.geomspace(1e2, 1e5, 24)[:, None]}
LINES[2] = np.stack(
    [v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e2, 1e4, 6))], axis=1
)
LINES[3] = np.stack(
    [
        v.ravel()
        for v in np.meshgrid(
            np.geomspace(1e5, 1e8, 4), np.geomspace(1e2, 1e4, 4), [64.0, 128.0, 224.0, 448.0]
        )
    ],
    axis=1,
)


def planted(name, unit=1.0):
    law, x = LAWS[name], LINES[LAWS[name].axes]
    theta = np.array([[PLANTED[name][key] for key in law.names]])
    log_x = np.log(x) - np.log(x).mean(axis=0)
    return x, law.mean(theta, log_x)[0].real * unit, law.physical(theta, np.log(x).mean(axis=0), unit)


@pytest.mark.parametrize("name", [name for name in LAWS if not name.startswith("bnsl2")])
def test_planted_parameters_come_back(name):
    x, y, truth = planted(name)
    found = fit(x, y, law=name)
    assert np.max(np.abs(found.residuals)) < 1e-4
    if name != "rosenfeld":  # whose floor and ceiling trade off within rounding of the residuals
        for key, value in truth.items():
            assert found.parameters[key].value == pytest.approx(value[0], rel=1e-3), key


def test_two_breaks_fit_a_curve_with_two_breaks():
    x = np.geomspace(1.0, 1e6, 40)
    y = 0.05 + x**-0.1 / (1 + (x / 1e2) ** 2) ** 0.2 * (1 + (x / 1e4) ** 2) ** 0.15
    assert np.max(np.abs(fit(x, y, law="bnsl2").residuals)) < 0.02


@pytest.mark.parametrize("name", list(LAWS))
def test_means_are_positive_and_priors_are_finite(name):
    law, x = LAWS[name], LINES[LAWS[name].axes]
    log_x = np.log(x) - np.log(x).mean(axis=0)
    z = np.random.default_rng(0).standard_normal((500, law.n_prior))
    theta = law.prior(z, Span(low=log_x.min(axis=0), high=log_x.max(axis=0)))
    mean = law.mean(theta, log_x)
    assert theta.shape == (500, len(law.names))
    assert np.all(np.isfinite(theta))
    assert np.all(np.isfinite(mean))
    assert np.all(mean >= 0)


@pytest.mark.parametrize("name", ["separable", "product", "coupled", "bounded"])
def test_units_do_not_matter(name):
    x, y, _ = planted(name)
    y = y * np.exp(0.01 * np.random.default_rng(1).standard_normal(len(y)))
    here, there = fit(x, y, law=name), fit(x * 1e3, y * 50.0, law=name)
    for key in ("alpha", "beta"):
        if key in here.parameters:
            assert there.parameters[key].value == pytest.approx(here.parameters[key].value, rel=1e-5)
    assert there.parameters["E"].value == pytest.approx(50.0 * here.parameters["E"].value, rel=1e-4, abs=1e-6)


def test_a_known_ceiling_is_kept():
    x, y, truth = planted("bounded")
    ceiling = float(truth["L0"][0])
    found = fit(x, y, law="bounded", ceiling=ceiling)
    assert found.parameters["L0"].value == pytest.approx(ceiling)
    assert found.parameters["L0"].width == pytest.approx(0.0, abs=1e-9)
    assert found.dof == len(y) - 3


@pytest.mark.parametrize("name", LAWS)
def test_derivatives_are_those_of_complex_steps(name):
    law, rng = LAWS[name], np.random.default_rng(0)
    q, log_x = law.n_shapes, rng.normal(size=(7, law.axes))
    theta = rng.normal(size=(5, len(law.names)))
    theta[:, q:] = np.abs(theta[:, q:])
    mean, closed = mean_slopes(law, theta, log_x)
    assert np.allclose(mean, law.mean(theta, log_x), rtol=1e-12)
    for shape, slope in enumerate(closed):
        moved = theta + 1e-20j * (np.arange(theta.shape[1]) == shape)
        expected = law.mean(moved, log_x).imag / 1e-20
        assert np.allclose(slope, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())


def test_scales_and_ranges_may_differ_by_row_of_the_parameters():
    rng = np.random.default_rng(0)
    for law in LAWS.values():
        z, log_x = rng.normal(size=(3, law.n_prior)), rng.normal(size=(3, 6, law.axes))
        low, high = log_x.min(axis=1), log_x.max(axis=1)
        theta = law.prior(z, Span(low=low, high=high))
        single = [law.prior(z[i : i + 1], Span(low=low[i], high=high[i])) for i in range(3)]
        assert np.allclose(theta, np.concatenate(single), rtol=1e-12)
        mean = law.mean(theta, log_x)
        assert np.allclose(mean, [law.mean(theta[i : i + 1], log_x[i])[0] for i in range(3)], rtol=1e-12)
