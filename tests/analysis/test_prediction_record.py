"""Scores of sealed predictions against references, and how spoilt ones show."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from mlproject.analysis import (
    PlannedCells,
    PredictedLoss,
    SealedPrediction,
    TargetRun,
    file_content,
    log_score,
    predict_losses,
    read_sealed,
    score_predictions,
)
from mlproject.analysis.prediction_record import coverage
from mlproject.scaling import Estimate
from tests.studies import cell, planted

AT = PredictedLoss(
    curve="lite0",
    cell=cell(size=800),
    seeds=(0,),
    loss=Estimate(value=0.5, low=0.4, high=0.7),
    power=Estimate(value=0.5, low=0.45, high=0.55),
    report=Estimate(value=0.5, low=0.3, high=0.8),
    horizon=2.0,
    n_scales=4,
)


def sealed(number, names=(), losses=(AT,), sealed=100.0):
    content = file_content(losses, number=number, names=names, sealed=sealed, about={})
    return read_sealed(
        content,
        number=number,
        seal=hashlib.sha256(content).hexdigest(),
        run_id=f"run{number}",
        n_losses=len(losses),
        deleted=False,
    )


def finished(loss=0.6, names=(), **changes):
    values = dict(cell=AT.cell, run_id="a" * 32, loss=loss, begun=200.0, ended=300.0, deleted=False)
    return TargetRun(names=tuple(names), **(values | changes))


@settings(max_examples=20)
@given(st.floats(0.1, 10.0), st.floats(1.001, 3.0), st.floats(1.001, 3.0))
def test_the_density_of_a_prediction_integrates_to_one_with_95_percent_inside_its_limits(mode, below, above):
    predicted = Estimate(value=mode, low=mode / below, high=mode * above)
    spread = np.log([below, above]) / stats.norm.ppf(0.975)

    def mass(low, high):
        points = np.linspace(np.log(low), np.log(high), 301)
        return integrate.simpson([np.exp(log_score(predicted, x)) for x in np.exp(points)], x=points)

    parts = [(mode * np.exp(-8 * spread[0]), mode * (1 - 1e-12)), (mode, mode * np.exp(8 * spread[1]))]
    assert sum(mass(*part) for part in parts) == pytest.approx(1.0, abs=1e-4)
    inside = mass(predicted.low, mode * (1 - 1e-12)) + mass(mode, predicted.high)
    assert inside == pytest.approx(0.95, abs=1e-4)


def test_a_symmetric_prediction_has_the_log_score_of_a_normal_distribution():
    predicted = Estimate(value=0.5, low=0.5 * np.exp(-0.196), high=0.5 * np.exp(0.196))
    reference = stats.norm(np.log(0.5), 0.196 / stats.norm.ppf(0.975)).logpdf(np.log(0.62))
    assert log_score(predicted, 0.62) == pytest.approx(reference)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"), [(4, 4, 0.510, 1.0), (9, 10, 0.596, 0.982), (0, 3, 0.0, 0.561)]
)
def test_coverage_has_the_interval_of_wilson(k, n, low, high):
    """Wilson 1927: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    z, p = stats.norm.ppf(0.975), k / n
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    share = coverage(k, n).share
    assert (share.low, share.high) == pytest.approx(
        ((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n))
    )
    assert (share.low, share.high) == pytest.approx((low, high), abs=1e-3)


def test_a_prediction_that_is_named_by_its_runs_is_scored_beside_its_baseline():
    first = sealed(1)
    (scored,) = score_predictions([first], {}, [finished(0.6, [first.name])]).losses
    assert (scored.verdict, scored.observed) == ("inside", 0.6)
    assert scored.error == pytest.approx(np.log(0.6 / 0.5))
    assert scored.log_score == log_score(AT.loss, 0.6)
    assert scored.power_log_score == log_score(AT.power, 0.6)
    (missed,) = score_predictions([first], {}, [finished(0.71, [first.name])]).losses
    assert missed.verdict == "outside"


def test_a_run_that_names_a_later_prediction_began_after_the_earlier_ones():
    first = sealed(1)
    wider = replace(AT, loss=replace(AT.loss, high=1.01 * AT.loss.high))
    second = sealed(2, [first.name], losses=(wider,))
    runs = [finished(names=[second.name])]
    assert [each.verdict for each in score_predictions([first, second], {}, runs).losses] == ["inside"] * 2
    runs = [finished(names=[first.name])]
    assert [each.verdict for each in score_predictions([first, second], {}, runs).losses] == [
        "inside",
        "late",
    ]


def test_a_prediction_that_says_the_same_of_the_same_cells_counts_once():
    first = sealed(1)
    second = sealed(2, [first.name], losses=(AT, replace(AT, cell=cell(size=900))))
    runs = [finished(names=[second.name]), finished(names=[second.name], cell=cell(size=900))]
    record = score_predictions([first, second], {}, runs)
    assert [each.verdict for each in record.losses] == ["inside", "repeated", "inside"]
    assert record.coverage[-1].n == 2


def test_late_ones_are_misses_where_the_worst_is_assumed():
    first = sealed(1, losses=(AT, replace(AT, cell=cell(size=900))))
    runs = [finished(names=[first.name]), finished(cell=cell(size=900))]
    record = score_predictions([first], {}, runs)
    assert [each.verdict for each in record.losses] == ["inside", "late"]
    assert (record.least_coverage.n_inside, record.least_coverage.n) == (1, 2)


def test_the_record_is_cumulative_in_the_order_of_settling():
    first = sealed(1, losses=(AT, replace(AT, cell=cell(size=900))))
    late = finished(0.9, [first.name], ended=500.0)
    soon = finished(0.6, [first.name], cell=cell(size=900), ended=400.0)
    record = score_predictions([first], {}, [late, soon])
    assert [(step.n, step.n_inside) for step in record.coverage] == [(1, 1), (2, 1)]
    assert record.mean_log_scores == pytest.approx(
        tuple(np.mean([log_score(each, x) for x in (0.6, 0.9)]) for each in (AT.loss, AT.power))
    )


def test_a_prediction_that_others_name_is_altered_or_missing():
    first = sealed(1)
    second = sealed(2, [(1, "b" * 64)])
    record = score_predictions([first, second], {}, [])
    assert [each.fault for each in record.predictions] == [f"it was sealed as {'b' * 16}…", ""]
    record = score_predictions([second], {(3, "c" * 64): 5}, [])
    assert [(each.number, each.n_losses) for each in record.missing] == [(1, 1), (3, 5)]
    assert (record.count("missing"), record.count("pending")) == (6, 1)
    least = record.least_coverage
    assert (least.n, least.n_inside) == (6, 0)


def test_a_prediction_that_was_added_to_the_past_is_known_by_the_next_one():
    first = sealed(1)
    second = sealed(2, [first.name])
    added = sealed(1, losses=(replace(AT, loss=Estimate(value=0.6, low=0.59, high=0.61)),))
    runs = [finished(names=[second.name])]
    by_seal = {
        each.prediction.seal: each for each in score_predictions([first, second, added], {}, runs).losses
    }
    assert by_seal[added.seal].verdict == "altered"
    assert "prediction 2 does not name it" in by_seal[added.seal].reason
    assert by_seal[first.seal].verdict == "inside"


def test_what_is_not_as_it_was_sealed_is_read_with_its_fault():
    content = file_content([AT], number=1, names=[], sealed=100.0, about={})
    seal = hashlib.sha256(content).hexdigest()

    def fault(content, seal=seal, number=1):
        return read_sealed(content, number=number, seal=seal, run_id="r", n_losses=3, deleted=False)

    assert fault(content) == SealedPrediction(
        number=1, seal=seal, run_id="r", n_losses=3, sealed=100.0, losses=(AT,)
    )
    assert fault(b"").fault == "its file is gone"
    assert fault(content + b" ").fault == "its file differs from its seal"
    assert fault(content, number=2).fault == "its file is that of prediction 1"
    for damaged in (b"{", b"[]", b'{"time": 3}', b"\xff", content.replace(b'"low": 0.4', b'"low": -1')):
        assert fault(damaged, hashlib.sha256(damaged).hexdigest()).fault == "its file is no prediction"


def test_the_interval_narrows_with_seeds_and_leaves_out_the_noise_that_images_share():
    runs = [planted(cell(size=size, seed=seed), n=100) for size in (100, 200, 400, 800) for seed in (0, 1)]
    planned = [PlannedCells(cell=cell(size=1600), seeds=seeds) for seeds in ((0,), (0, 1), tuple(range(200)))]
    few, usual, many = predict_losses(runs, planned, n_draws=200)
    for each in (few, usual, many):
        assert each.report.high / each.report.low > each.loss.high / each.loss.low
    widths = np.log([each.loss.high / each.loss.value for each in (few, usual, many)])
    assert widths[0] > widths[1] > widths[2]
    noise = widths[0] ** 2 - widths[1] ** 2  # that of 2 seeds: half-widths² are h² + noise · 2 / k
    assert widths[1] ** 2 - widths[2] ** 2 == pytest.approx(noise * 0.99)


def test_curves_of_two_sizes_carry_no_prediction():
    runs = [planted(cell(size=size), n=40) for size in (100, 200)]
    assert predict_losses(runs, [PlannedCells(cell=cell(size=400), seeds=(0,))], n_draws=50) == []
