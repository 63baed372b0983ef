"""A library as the prior: a mixture with the usual one, that data outweigh and that is never silent."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import special, stats

from mlproject.errors import BadInput
from mlproject.scaling import Assessment, assess, find_library
from mlproject.scaling.averaging.importance_sampling import first_samples
from mlproject.scaling.averaging.library_prior import LIBRARY_SHARE, share_of, with_library
from mlproject.scaling.laws import LAWS
from mlproject.scaling.laws.law import Span

LIBRARY = find_library("vision", "images", "error")
X = 1000.0 * 2.5 ** np.arange(8)
SPAN = Span(low=np.array([-1.0]), high=np.array([1.0]), reached=0.4)


@cache
def planted(alpha: float, n: int, floor: float = 0.0) -> Assessment:
    y = floor + 0.5 * (X[:n] / X[0]) ** -alpha
    return assess(X[:n], y, library=LIBRARY)


@pytest.mark.parametrize(("law", "median", "spread"), [("power_floor", 0.4, 0.8), ("m3", 0.5, 0.8)])
def test_exponents_before_the_data_are_the_stated_mixture(law: str, median: float, spread: float) -> None:
    made = with_library({law: LAWS[law]}, LIBRARY)[law]
    alpha = made.prior(first_samples(LAWS[law].n_prior, 1), SPAN)[:, 0]
    logs = np.log(alpha)
    mixture = LIBRARY_SHARE * LIBRARY.log_exponent.below(logs)
    mixture += (1 - LIBRARY_SHARE) * special.ndtr((logs - np.log(median)) / spread)
    assert stats.kstest(mixture, "uniform").statistic < 0.01


def test_shares_of_the_floor_are_the_stated_mixture_cut_at_the_loss_that_was_reached() -> None:
    law = with_library({"power_floor": LAWS["power_floor"]}, LIBRARY)["power_floor"]
    shares = law.prior(first_samples(2, 1), SPAN)[:, 1]
    pooled = LIBRARY.arc_floor
    assert pooled is not None
    zero, last = pooled.below(np.arcsin(np.sqrt([0.0, 0.4])))
    inside = (pooled.below(np.arcsin(np.sqrt(0.4 * shares))) - zero) / (last - zero)
    mixture = LIBRARY_SHARE * inside + (1 - LIBRARY_SHARE) * stats.beta(2, 2).cdf(shares)
    assert stats.kstest(mixture, "uniform").statistic < 0.01
    members = share_of("power_floor", pooled, 0.4).membership(np.array([0.05, 0.95]))
    assert members[0] > members[1]


def test_broken_laws_keep_the_usual_prior() -> None:
    assert with_library({"bnsl1": LAWS["bnsl1"]}, LIBRARY)["bnsl1"] is LAWS["bnsl1"]


def test_three_scales_carry_an_answer_that_names_its_prior_and_the_nearest_studies() -> None:
    assessment, usual = planted(0.3, 3), assess(X[:3], 0.5 * (X[:3] / X[0]) ** -0.3)
    assert usual.verdict == "not identifiable"
    assert assessment.verdict == "scaling"
    assert "with the prior of 3 vision studies (error along images" in assessment.reason
    assert any(flag.startswith("nearest known studies by exponent: ") for flag in assessment.flags)
    assert usual.local is not None
    assert assessment.local is not None
    assert assessment.local.holds(0.3)
    assert assessment.local.width < usual.local.width


def test_what_is_given_without_the_library_is_what_an_assessment_without_it_gives() -> None:
    y = 0.1 + 0.5 * (X[:6] / X[0]) ** -0.5
    use, usual = assess(X[:6], y, library=LIBRARY).library, assess(X[:6], y)
    assert use is not None
    assert usual.local is not None
    assert use.local.without.value == pytest.approx(usual.local.value, abs=0.01)
    assert use.local.without.width == pytest.approx(usual.local.width, rel=0.1)


def test_an_exponent_like_the_others_raises_the_weight_of_the_library_and_a_strange_one_is_a_conflict() -> (
    None
):
    like, strange = planted(0.35, 6).library, planted(3.0, 6).library
    assert like is not None
    assert strange is not None
    assert like.weight > LIBRARY_SHARE
    assert not like.conflict
    assert strange.conflict
    assert strange.local.estimate.holds(3.0)
    assert any("disagree with the library vision" in flag for flag in planted(3.0, 6).flags)


def test_an_exponent_that_the_data_do_not_narrow_is_called_the_librarys() -> None:
    use = planted(0.3, 3).library
    assert use is not None
    unsure = replace(use, local=replace(use.local, variance_ratio=0.9))
    verdict, reason = unsure.qualified("scaling", "the loss falls")
    assert verdict == "not identifiable"
    assert "comes from the library, not from these data" in reason


def test_a_library_is_for_curves_and_for_losses_that_fall() -> None:
    with pytest.raises(BadInput, match="laws of one axis"):
        assess([[n, d] for n in X[:4] for d in X[:4]], 1.0 / np.arange(1, 17), library=LIBRARY)
    rising = assess(X[:4], 0.1 * (X[:4] / X[0]) ** 0.3, library=LIBRARY)
    assert rising.library is None
    assert any("is not used" in flag for flag in rising.flags)


def test_error_rates_in_per_cent_have_the_same_floors() -> None:
    shares, cents = (
        planted(0.35, 4, 0.1),
        assess(X[:4], 100 * (0.1 + 0.5 * (X[:4] / X[0]) ** -0.35), library=LIBRARY),
    )
    assert shares.floor is not None
    assert cents.floor is not None
    assert cents.floor.high == pytest.approx(100 * shares.floor.high, rel=1e-6)
