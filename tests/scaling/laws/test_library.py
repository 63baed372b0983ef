"""The law library: its rows have sources, and studies are pooled as a numerical integration pools them."""

import numpy as np
import pytest
from scipy import stats

from mlproject.errors import BadInput, WrongUse
from mlproject.scaling.laws import LAWS
from mlproject.scaling.laws.library import (
    AXES,
    LOSSES,
    OMEGA,
    TAU,
    PriorChoice,
    find_library,
    holdings,
    pool,
    read_library,
)


def test_every_law_of_the_library_is_a_fall_with_its_source() -> None:
    for law in read_library("vision"):
        assert 0.0 < law.exponent < 2.0
        assert law.floor is None or 0.0 <= law.floor < 1.0
        assert law.source
        assert law.law in LAWS
        assert law.fitted in ("study", "mlproject")
        assert law.axis in AXES
        assert law.loss in LOSSES
        assert law.least is None or law.most is None or law.least < law.most


def test_published_values_are_those_of_the_papers() -> None:
    values = {(law.study, law.dataset, law.model): law for law in read_library("vision")}
    assert values["Hestness 2017", "ImageNet top-1", "ResNet"].exponent == 0.309
    assert values["Zhai 2022", "ImageNet 10-shot", "ViT"].exponent == 0.32
    assert values["Zhai 2022", "ImageNet 10-shot", "ViT"].floor == 0.12
    assert values["Cherti 2023", "ImageNet zero-shot", "OpenCLIP"].exponent == 0.11


def test_a_loss_that_the_library_lacks_is_refused_with_what_it_has() -> None:
    with pytest.raises(BadInput, match=r"no cross_entropy along images; it has error along images \(3 stud"):
        find_library("vision", "images", "cross_entropy")
    with pytest.raises(WrongUse, match="did you mean vision"):
        find_library("visoin", "images", "error")
    assert "nats_per_token along compute (1 study)" in holdings("vision")


def test_studies_pool_as_by_integration_over_the_mean_and_both_spreads() -> None:
    studies = [np.array([-1.2, -0.7]), np.array([-1.4, -1.1, -1.3]), np.array([-0.4])]
    n, means = np.array([2, 3, 1]), np.array([values.mean() for values in studies])
    within = sum(((v - v.mean()) ** 2).sum() for v in studies) / 3
    tau, mu = np.linspace(0, 4 * TAU, 801), np.linspace(-9, 7, 2001)
    sd = np.sqrt(within / n + tau[:, None] ** 2)
    density = np.exp(stats.norm.logpdf(means, mu[:, None, None], sd).sum(axis=-1))
    density *= stats.halfnorm.pdf(tau, scale=TAU)
    for y in (-3.0, -1.5, -1.0, 0.5):
        below = stats.norm.cdf(y, mu[:, None], np.sqrt(tau**2 + within))
        expected = (density * below).sum() / density.sum()
        pooled = pool(studies)
        assert pooled.below(np.array([y]))[0] == pytest.approx(expected, abs=2e-3)
        assert pooled.above(np.array([y]))[0] == pytest.approx(1 - expected, abs=2e-3)


def test_a_single_study_leaves_the_spread_between_studies_to_its_prior() -> None:
    pooled = pool([np.array([-1.0])])
    assert pooled.below(np.array([-1.0]))[0] == pytest.approx(0.5)
    assert (pooled.weights @ (pooled.sds**2)) == pytest.approx(2 * (TAU**2 + OMEGA**2), rel=0.05)


def test_a_study_that_is_left_out_informs_nothing_and_the_last_cannot_be() -> None:
    library = find_library("vision", "images", "error")
    rest = library.without(["Gokce 2025"])
    assert "Gokce 2025" not in rest.studies
    assert all(law.study != "Gokce 2025" for law in rest.floors)
    with pytest.raises(BadInput, match="no study"):
        rest.without(rest.studies)


def test_the_nearest_laws_are_those_of_different_studies_by_distance() -> None:
    library = find_library("vision", "images", "error")
    nearest = library.nearest(0.31)
    assert nearest[0].exponent == 0.309
    assert len({law.study for law in nearest}) == len(nearest) == 3
    assert library.nearest(-0.1) == ()


def test_a_prior_is_chosen_by_name_axis_and_loss() -> None:
    assert PriorChoice.of("vision:error:images") == PriorChoice(name="vision", axis="images", loss="error")
    assert PriorChoice.of("vision").find("compute", "error").axis == "compute"
    with pytest.raises(WrongUse, match="did you mean images"):
        PriorChoice.of("vision:image")
    with pytest.raises(WrongUse, match="two axes or two losses"):
        PriorChoice.of("vision:images:compute")
