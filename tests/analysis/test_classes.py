"""Scaling by class: planted exponents recovered, false discoveries, confusion, what is missing."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from mlproject.analysis import AXES, analyse
from mlproject.analysis.classes import class_scaling
from mlproject.analysis.curves import make_curves
from mlproject.scaling import fit
from tests.studies import cell, drawn_pools, observe

SIZES = (100, 200, 400, 800, 1600)
N = 240
NAMES = ("bag", "coat", "dress")


READS: list[str] = []
"""The runs whose predictions were read."""


@pytest.fixture(autouse=True)
def no_laws(monkeypatch):
    """Curves without the assessment of their laws, which takes most of an analysis."""
    monkeypatch.setattr("mlproject.analysis.curves._assess", lambda curve: {})
    READS.clear()


def labelled(observation, labels, predicted=None):
    """The observation with a table of predictions."""
    ids = observation.load_losses().image_ids
    columns = {"image_name": ids, "split": ["eval"] * len(ids), "label": list(labels)}
    columns["predicted"] = list(labels if predicted is None else predicted)

    def load_table(name):
        READS.append(observation.run_id)
        return columns if name == "predictions" else {}

    return replace(observation, load_table=load_table)


def observations_of(exponents, *, sizes=SIZES, seeds=3, n=N, noise=0.02, zero=None):
    """Classes in turn over images, whose losses are 2 D^-α of their class; one wrong image a seed."""
    names = np.array(NAMES)[np.arange(n) % len(exponents)]
    slopes = np.array(exponents)[np.arange(n) % len(exponents)]
    hard = np.exp(0.5 * np.random.default_rng(1).normal(size=n))
    for size, seed in product(sizes, range(seeds)):
        rng = np.random.default_rng([size, seed])
        losses = 2 * hard * size**-slopes * np.exp(noise * rng.normal() + 0.1 * rng.normal(size=n))
        losses[names == zero] = 0.0
        predicted = np.where(np.arange(n) == seed, NAMES[-1], names)
        yield labelled(observe(cell(size=size, seed=seed), losses), names, predicted)


def classes_of(observations):
    """The scaling by class of the one curve over images."""
    ((pool, drawn),) = drawn_pools(observations, n_draws=300)
    curves = [curve for _, curve in make_curves(pool, drawn, 0) if curve.axis is AXES["images"]]
    (scaling,) = class_scaling(curves, pool.runs, n_draws=300)
    return scaling


def test_planted_exponents_are_recovered_and_the_class_that_differs_is_discovered():
    scaling = classes_of(observations_of((0.3, 0.3, 0.5)))
    found = {row.label: row for row in scaling.exponents}
    assert list(found) == list(NAMES)
    for name, planted in zip(NAMES, (0.3, 0.3, 0.5), strict=True):
        assert found[name].alpha.holds(planted)
        assert found[name].n_images == 80
    assert found["dress"].q < 0.001
    assert found["dress"].difference.low > 0
    for row in scaling.exponents:
        assert (row.p < 0.05) == (not row.difference.holds(0.0)), "p and interval agree"
        assert row.p <= row.q


def test_classes_alike_are_not_discovered_and_exponents_are_those_of_fits_of_the_same_law():
    observations = list(observations_of((0.4, 0.4, 0.4)))
    scaling = classes_of(observations)
    assert min(row.q for row in scaling.exponents) > 0.05
    curve, coat = scaling.curve, np.arange(N) % 3 == 1
    laws = [fit(curve.x, losses.mean(axis=0), law="power") for losses in (curve.losses[coat], curve.losses)]
    of_class, of_all = (law.parameters["alpha"].value for law in laws)
    row = next(row for row in scaling.exponents if row.label == "coat")
    assert row.alpha.value == pytest.approx(of_class, abs=0.005)
    assert row.difference.value == pytest.approx(of_class - of_all, abs=0.002)


def test_predictions_are_read_only_where_a_report_asks_and_then_those_of_the_largest_scale():
    study = analyse(observations_of((0.3, 0.4)), n_draws=20)
    assert READS == []
    assert [scaling.n_runs for scaling in study.classes] == [3]
    assert study.classes is study.classes
    assert len(READS) == 3, "three seeds of the largest size"


def test_confusion_counts_labels_against_predictions_over_seeds():
    scaling = classes_of(observations_of((0.3, 0.4, 0.5)))
    counts = {(row.label, row.predicted): row.count for row in scaling.confusion}
    assert scaling.n_runs == 3
    assert counts == {
        ("bag", "bag"): 239,  # image 0 of seed 0
        ("bag", "dress"): 1,
        ("coat", "coat"): 239,  # image 1 of seed 1; image 2 of seed 2 is a dress
        ("coat", "dress"): 1,
        ("dress", "dress"): 240,
    }


def test_one_seed_widens_intervals_by_the_residuals():
    three = classes_of(observations_of((0.3, 0.5)))
    one = classes_of(observations_of((0.3, 0.5), seeds=1, noise=0.1))
    assert one.exponents[0].alpha.width > 2 * three.exponents[0].alpha.width


def test_a_class_without_a_loss_above_zero_is_left_out_by_name():
    scaling = classes_of(observations_of((0.3, 0.4, 0.5), zero="coat"))
    assert [row.label for row in scaling.exponents] == ["bag", "dress"]
    assert scaling.left_out == ("coat",)


def test_two_sizes_give_confusion_and_no_exponent_and_one_image_a_class_is_no_fault():
    two = classes_of(observations_of((0.3, 0.4), sizes=(100, 200)))
    assert two.confusion
    assert not two.exponents
    few = classes_of(observations_of((0.3, 0.4, 0.5), n=3))
    assert [row.n_images for row in few.exponents] == [1, 1, 1]
    assert all(row.alpha.low <= row.alpha.value <= row.alpha.high for row in few.exponents)
    single = classes_of(observations_of((0.3,)))
    assert single.exponents[0].difference.value == pytest.approx(0.0)
    assert single.exponents[0].q == 1.0


def test_runs_without_predictions_have_no_classes():
    ((pool, drawn),) = drawn_pools([observe(cell(size=s), [1.0, 2.0]) for s in SIZES], n_draws=10)
    curves = [curve for _, curve in make_curves(pool, drawn, 0)]
    assert class_scaling(curves, pool.runs, n_draws=10) == ()


def test_in_sample_classes_need_images_at_every_size():
    observations = []
    for size in (4, 8, 16):
        names = [*(["bag", "coat"] * 8)[: size - 1], "dress" if size == 16 else "coat"]
        losses = [float(1 + i % 3) / size for i in range(size)]
        observations.append(labelled(observe(cell(size=size, eval_size=0), losses), names))
    scaling = classes_of(observations)
    assert [row.label for row in scaling.exponents] == ["bag", "coat"]
    assert scaling.left_out == ("dress",)
    assert sum(row.count for row in scaling.confusion) == 16
