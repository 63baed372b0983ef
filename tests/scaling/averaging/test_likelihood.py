"""The likelihood of points, against a second implementation; and that of many points, in few dimensions."""

import numpy as np
import pytest

from mlproject.scaling.averaging.averaged_points import average_repeats
from mlproject.scaling.averaging.discrepancy import condition, discrepancies
from mlproject.scaling.averaging.importance_sampling import first_samples
from mlproject.scaling.averaging.likelihood import MANY, Likelihood
from mlproject.scaling.averaging.posterior import log_mean, parameters_of, span_of
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws import LAWS


def grid(n_models, n_sizes):
    n, d = np.meshgrid(np.geomspace(1e6, 3e7, n_models), np.geomspace(100, 51200, n_sizes), indexing="ij")
    x = np.stack([n.ravel(), d.ravel()], axis=1)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(len(x)))
    points = average_repeats(Points(x=x, y=(0.3 + 40 * x[:, 0] ** -0.35 + 8 * x[:, 1] ** -0.3) * noise))
    return points, Likelihood(points=points, given=condition(points, discrepancies(points)))


def shapes(points, law, n=512):
    z = first_samples(LAWS[law].n_prior, LAWS[law].axes)[:n]
    return log_mean(LAWS[law], parameters_of(LAWS[law], z, span_of(points)), points.log_x)


@pytest.mark.parametrize("level", [None, 0.1])
def test_noise_and_level_are_integrated_out(level):
    points, likelihood = grid(3, 3)
    shape = shapes(points, "separable", 4)
    density = likelihood.log_density(shape, level)
    for h, discrepancy in enumerate(discrepancies(points)):
        covariance = points.noise + discrepancy.covariance(points.log_x, points.log_x)
        inverse, ones = np.linalg.inv(covariance), np.ones(len(points.log_y))
        for s in range(len(shape)):
            residual = points.log_y - shape[s]
            weight = ones @ inverse @ ones
            best = ones @ inverse @ residual / weight if level is None else level
            squares = (residual - best) @ inverse @ (residual - best) + points.prior_squares
            dof = points.dof + len(ones) - (level is None)
            expected = discrepancy.log_prior - 0.5 * np.linalg.slogdet(covariance)[1]
            expected -= 0.5 * dof * np.log(squares) + 0.5 * (level is None) * np.log(weight)
            assert density[s, h] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("law", ["separable", "log_plane", "bounded_sum"])
def test_many_points_have_the_likelihood_of_their_residuals_in_few_dimensions(law):
    points, full = grid(10, 12)
    shape = shapes(points, law)
    reduced = full.reduced(shape, None)
    assert reduced.space is not None
    assert reduced.space.basis.shape[1] < len(points.log_y)
    density = full.log_density(shape, None)
    matters = density > density.max() - 20.0
    assert np.abs(reduced.log_density(shape, None) - density)[matters].max() < 0.05


def test_residuals_outside_of_the_space_are_computed_in_full():
    points, full = grid(10, 12)
    reduced = full.reduced(shapes(points, "log_plane"), None)
    rough = np.random.default_rng(1).standard_normal((3, len(points.log_y)))
    assert reduced.log_density(rough, None) == pytest.approx(full.log_density(rough, None), rel=1e-12)


def test_few_points_are_computed_in_full():
    points, full = grid(3, 4)
    assert len(points.log_y) < MANY
    assert full.reduced(shapes(points, "product"), None) is full
