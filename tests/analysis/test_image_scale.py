"""Model size against image scale: planted curves cross where they were made to, or nowhere in range."""

import numpy as np
import pytest

from mlproject.analysis.image_scale import image_scale_comparisons
from mlproject.report.image_scale_section import crossing_sentence
from tests.studies import cell, drawn_pools, observe, without_laws

GMAC = {"lite0": 0.4, "lite1": 0.8, "lite2": 1.6}
CROPS = {(1.0,): 1, (1.0, 2.0): 5}
HARD = np.exp(0.5 * np.random.default_rng(0).normal(size=300))


def study(of_images, *, noise=0.01, seeds=3, **fields):
    """Models follow gmac^-0.5; larger images of lite0 follow ``of_images(gmac)``."""
    for seed in range(seeds):
        for model, gmac in GMAC.items():
            yield run(model, (1.0,), gmac, gmac**-0.5, noise, seed, **fields)
        yield run("lite0", (1.0, 2.0), 5 * GMAC["lite0"], of_images(2.0), noise, seed, **fields)


def run(model, scales, gmac, mean, noise, seed, **fields):
    this = cell(model, 100, seed, image_scales=scales, **fields)
    own = np.random.default_rng([seed, int(100 * gmac), len(scales)])
    losses = mean * HARD / HARD.mean() * np.exp(noise * own.normal(size=300))
    return observe(this, losses, flops=1.0, gmac=gmac)


def comparisons(runs):
    """As ``analyse`` makes them, without its curves and their laws."""
    return [found for pool in drawn_pools(runs, n_draws=1000) for found in image_scale_comparisons(*pool, 0)]


def crossing(of_images, **how):
    (spot,) = comparisons(study(of_images, **how))
    (found,) = spot.crossings
    return found


def test_larger_images_that_are_worse_throughout_have_no_crossing():
    found = crossing(lambda gmac: 1.5)
    assert found.gmac is None
    assert (found.ahead, found.share) == ("model size", 1.0)
    # Along the line from (0.4, 0.4^-0.5) to (2, 1.5), at 1.6 GMAC, where the models have 1.6^-0.5.
    share = np.log(1.6 / 0.4) / np.log(5)
    expected = 0.4 ** (-0.5 * (1 - share)) * 1.5**share / 1.6**-0.5 - 1
    assert found.gap == pytest.approx(expected, abs=0.01)
    assert found.gap_low < found.gap < found.gap_high
    assert found.decided


def test_larger_images_that_are_better_throughout_have_none_either():
    found = crossing(lambda gmac: 0.3)
    assert found.gmac is None
    assert found.ahead == "image scale"
    assert found.gap_high < 0


def bent(gain, seeds=3, noise=0.01):
    """Larger models help little at first and much later: they overtake larger images on the way."""
    losses = {"lite0": 1.0, "lite1": 0.95, "lite2": 0.4}
    for seed in range(seeds):
        for model, gmac in GMAC.items():
            yield run(model, (1.0,), gmac, losses[model], noise, seed)
        yield run("lite0", (1.0, 2.0), 2.0, gain, noise, seed)


def test_a_crossing_is_found_with_its_interval():
    (spot,) = comparisons(bent(0.6))
    assert without_laws(bent(0.6), n_draws=1000).image_scale[0].crossings == spot.crossings
    (found,) = spot.crossings
    x = np.log(np.array([0.8, 1.6]))
    slope_models = np.log(0.4 / 0.95) / (x[1] - x[0])
    slope_images = np.log(0.6) / np.log(5)
    at = np.exp(
        (np.log(0.95) - slope_models * x[0] + slope_images * np.log(0.4)) / (slope_images - slope_models)
    )
    assert found.gmac == pytest.approx(at, rel=0.01)
    assert 0.8 < found.low <= found.gmac <= found.high < 1.6
    assert found.ahead == "model size"
    assert found.reach == (0.4, 1.6)


def test_an_unsure_crossing_has_an_interval_that_leaves_the_range():
    (spot,) = comparisons(bent(0.49, noise=2.0))
    (found,) = spot.crossings
    assert found.gmac is None or found.high == np.inf or found.low == 0.0 or found.share < 1


def test_studies_that_scale_one_way_only_have_none():
    one_way = [seen for seen in study(lambda gmac: 1.0) if seen.cell.image_scales == (1.0,)]
    assert comparisons(one_way) == []
    other = [seen for seen in study(lambda gmac: 1.0) if seen.cell.model == "lite0"]
    assert comparisons(other) == []


def test_native_and_interpolated_images_are_curves_of_their_own():
    both = [*study(lambda gmac: 0.9)]
    both += [run("lite0", (1.0, 2.0), 2.0, 0.5, 0.01, seed, large_images="native") for seed in range(3)]
    (spot,) = comparisons(both)
    assert [curve.name for curve in spot.scales] == ["lite0", "lite0 (native pixels)"]
    assert [len(curve.points) for curve in spot.scales] == [2, 2]


def test_knobs_sizes_and_families_never_mix():
    mixed = [*study(lambda gmac: 0.9), *study(lambda gmac: 0.9, knobs={"target": "labels", "lr": 1.0})]
    mixed += [run("resnet18", (1.0,), 1.8, 0.1, 0.01, 0)]
    assert len(comparisons(mixed)) == 2
    assert all(p.model != "resnet18" for s in comparisons(mixed) for p in s.models.points)


TUNED = {"knobs": "lr", "space": "lr=1e-4..1", "trials": 6}
LEARNING_RATES = {"lite0": 1e-3, "lite1": 3e-3, "lite2": 1e-2}


def tuned_study(*, trials=(6, 6)):
    """As ``bent``, every model and image scale under the learning rate that its search chose."""
    for seen in bent(0.6):
        this = seen.cell
        larger = this.image_scales != (1.0,)
        lr = LEARNING_RATES[this.model] * (2.0 if larger else 1.0)
        fields = {"knobs": {"target": "labels", "lr": lr}, "tuning": TUNED | {"trials": trials[larger]}}
        cell_tuned = cell(this.model, this.dataset_size, this.seed, image_scales=this.image_scales, **fields)
        losses = seen.load_losses().loss
        yield observe(cell_tuned, losses, flops=1.0, gmac=seen.metrics["gmac_per_image"])


def test_models_under_different_tuned_learning_rates_are_compared_where_the_tuning_was_the_same():
    (comparison,) = comparisons(tuned_study())
    (untuned,) = comparisons(bent(0.6))
    assert [point.model for point in comparison.models.points] == ["lite0", "lite1", "lite2"]
    assert comparison.crossings[0].gmac == pytest.approx(untuned.crossings[0].gmac)
    assert comparison.crossings[0].low == pytest.approx(untuned.crossings[0].low, rel=0.05)


def test_models_and_image_scales_that_were_tuned_differently_are_not_compared():
    assert comparisons(tuned_study(trials=(6, 12))) == []


def test_intervals_without_what_all_points_share_are_narrower():
    (comparison,) = comparisons(bent(0.6))
    unshared = comparison.unshared_intervals()
    assert [len(intervals) for intervals in unshared] == [3, 2]
    for curve, intervals in zip(comparison.curves, unshared, strict=True):
        for point, (low, high) in zip(curve.points, intervals, strict=True):
            assert high - low < point.interval[1] - point.interval[0]


def test_one_seed_decides_nothing_however_narrow_its_interval_over_images():
    found = crossing(lambda gmac: 1.5, seeds=1)
    assert found.gap_low > 0
    assert found.n_seeds == 1
    assert not found.decided
    assert "not concluded, as one seed's interval is over images only" in crossing_sentence(found)
