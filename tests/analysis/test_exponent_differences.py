"""Exponents of regions: planted differences are found, equal ones are not; all else must be equal."""

import pytest

from mlproject.analysis import Study
from tests.studies import cell, planted, with_two_laws

SIZES = (100, 200, 400, 700, 1200, 2000)
OF = {"full": "", "blobs": "digest", "background": "digest"}


def study(alphas: dict[str, float], **fields) -> Study:
    cells = (
        (cell(size=size, seed=seed, region=region, region_digest=OF[region], **fields), alpha)
        for region, alpha in alphas.items()
        for size in SIZES
        for seed in range(3)
    )
    return with_two_laws([planted(one, alpha=alpha, floor=0.0) for one, alpha in cells], n_draws=300)


@pytest.fixture(scope="module")
def found() -> Study:
    return study({"full": 0.5, "blobs": 0.5, "background": 0.2})


def test_a_planted_difference_of_exponents_is_found_and_none_is_made_up(found: Study) -> None:
    power = {
        one.regions: one for one in found.region_contrasts if (one.statistic, one.law) == ("mean", "power")
    }
    assert set(power) == {("full", "blobs"), ("full", "background"), ("blobs", "background")}
    assert all(one.difference.paired for one in power.values())
    assert power["full", "blobs"].difference.verdict == "no difference seen"
    for pair in (("full", "background"), ("blobs", "background")):
        estimate = power[pair].difference.difference
        assert power[pair].difference.verdict == "first larger"
        assert estimate.low < 0.3 < estimate.high
        ratio = power[pair].loss_ratio
        assert ratio.low < 2000**-0.3 < ratio.high
    assert power["full", "blobs"].scale == 2000


def test_the_difference_is_narrower_than_its_parts_would_allow_unpaired(found: Study) -> None:
    one = next(c for c in found.region_contrasts if c.regions == ("full", "blobs") and c.statistic == "mean")
    points = [curve.points[-1] for curve in (one.first, one.second)]
    low, high = zip(*(point.interval("mean") for point in points), strict=True)
    assert one.loss_ratio.high - one.loss_ratio.low < 0.7 * (high[0] / low[1] - low[0] / high[1])


def test_other_data_or_knobs_are_never_contrasted() -> None:
    one = study({"full": 0.5})
    assert one.region_contrasts == ()
    cells = [cell(size=s, seed=0, knobs={"target": "labels", "lr": lr}, region=r, region_digest=OF[r])
             for lr, r in ((1e-3, "full"), (1e-2, "blobs")) for s in SIZES]  # fmt: skip
    assert with_two_laws([planted(c) for c in cells], n_draws=100).region_contrasts == ()
