"""From observations to verdicts: planted laws come back, and what cannot be known is not claimed."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import mlproject
from mlproject.analysis import AXES, STATISTICS, Columns, analyse, assess_csv, curves
from mlproject.analysis.curves import make_curves
from mlproject.analysis.points import influence, noise_dof
from mlproject.scaling import assess, fit, unshared_noise
from tests.studies import cell, drawn_pools, observe, planted, usual_study

SIZES = (100, 200, 400, 700, 1200, 2000)


@pytest.fixture(scope="module")
def study():
    return usual_study()


def curve_of(study, axis, series):
    return next(curve for curve in study.along(axis) if curve.series == series)


def exponent_of(curve):
    """The exponent that ``assess`` reports of a curve's mean loss, without the other laws and the average."""
    values, draws = curve.values("mean"), curve.draws("mean")
    noise = unshared_noise(values, draws)
    freedom = noise_dof(curve.points, "mean")
    about_noise = {"sd": noise, "draws": draws, "influence": influence(curve.losses), "noise_dof": freedom}
    found = fit(curve.x, values, law="power_floor", **about_noise)
    return found.parameters["alpha"]


def test_intervals_hold_the_planted_exponent_as_often_as_they_say(study, monkeypatch):
    reported = curve_of(study, "images", "lite0")
    assert exponent_of(reported) == reported.law("mean", "power_floor").fit.parameters["alpha"]
    monkeypatch.setattr(curves, "_assess", lambda curve: {})
    held = 0
    for study_seed in range(24):
        seeds = range(3 * study_seed, 3 * study_seed + 3)
        runs = (planted(cell(size=s, seed=i), alpha=0.5) for s in SIZES for i in seeds)
        ((pool, drawn),) = drawn_pools(runs, n_draws=200)
        (curve,) = [c for _, c in make_curves(pool, drawn, 0) if c.axis is AXES["images"]]
        held += exponent_of(curve).holds(0.5)
    assert held >= 20  # of 24 at 95 %: fewer than 20 has a chance under 1 %


def test_a_curve_that_falls_is_called_scaling_pretrained_or_random(study):
    for model in ("lite0", "lite1", "lite2", "resnet18 (random)"):
        assert curve_of(study, "images", model).law("mean", "power_floor").verdict == "scaling"


def test_a_planted_law_without_floor_is_found_on_mean_and_median():
    runs = (planted(cell(size=s, seed=i), floor=0.0, alpha=0.3) for s in SIZES for i in range(3))
    (curve,) = analyse(runs, n_draws=300).along("images")
    for statistic in ("mean", "median"):
        found = curve.law(statistic, "power").fit.parameters["alpha"]
        assert found.low < 0.3 < found.high
        assert found.high - found.low < 0.1


def test_three_close_models_carry_no_law_for_a_reason(study):
    models = [curve for curve in study.along("params") if len(curve.points) > 1]
    assert len(models) == len(SIZES)
    laws = [law for curve in models for s in STATISTICS for law in curve.reported_laws(s)]
    assert len(laws) == 4 * len(models)
    assert all(law.fit is None and law.verdict == "not identifiable" for law in laws)
    reason = models[0].refusal
    assert "at least 4 needed" in reason
    assert "under a decade" in reason


def test_random_and_pretrained_models_stand_on_different_curves(study):
    for curve in study.curves:
        runs = {name for point in curve.points for name in point.run_ids}
        random = {f"run-{cell('resnet18', s, i, weights='random').key}" for s in SIZES for i in range(3)}
        assert runs <= random if curve.random else not runs & random


def test_three_sizes_leave_one_degree_of_freedom_and_no_claim():
    runs = (planted(cell(size=s, seed=i), floor=0.0) for s in (100, 200, 300) for i in range(3))
    (curve,) = analyse(runs, n_draws=200).along("images")
    power, floor = curve.law("mean", "power"), curve.law("mean", "power_floor")
    assert power.verdict == "not identifiable"
    assert power.fit is not None
    assert "t = 12.7" in power.reason
    assert floor.fit is None
    assert "at least 4 needed" in floor.reason


def test_a_single_size_gives_tables_and_no_fit():
    study = analyse([planted(cell())], n_draws=50)
    (curve,) = study.along("images")
    assert curve.assessments == {}
    assert curve.reported_laws("mean") == ()
    assert len(curve.points) == 1


def test_two_sizes_carry_no_law_for_a_reason():
    (curve,) = analyse((planted(cell(size=s)) for s in (100, 400)), n_draws=50).along("images")
    assert "2 scales for the 2 parameters of power, at least 4 needed" in curve.refusal


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"target": "features"}, "Epochs are equal"), ({"target": "features", "steps": 50}, "Steps are equal")],
)
def test_an_identity_target_is_said_to_measure_optimiser_steps(knobs, words):
    study = analyse((planted(cell(size=s, knobs=knobs)) for s in (100, 200)), n_draws=50)
    (note,) = [note for note in study.notes if "optimiser steps, not learning from data" in note]
    assert words in note
    assert knobs["target"] in note


def test_correlations_equal_scipy_on_losses_averaged_over_seeds(study):
    curve = curve_of(study, "images", "lite0")
    pair = curve.correlations[0]
    a, b = curve.losses[:, 0], curve.losses[:, 1]
    assert math.isclose(pair.pearson, stats.pearsonr(a, b).statistic, rel_tol=1e-9)
    assert math.isclose(pair.spearman, stats.spearmanr(a, b).statistic, rel_tol=1e-9)
    assert len(curve.correlations) == 15
    assert pair.n_images == 100


def test_correlations_use_the_images_that_both_sizes_evaluated():
    small = observe(cell(size=4, eval_size=0), [1.0, 2.0, 4.0, 3.0], ids="abcd")
    large = observe(cell(size=6, eval_size=0), [2.0, 1.0, 4.0, 5.0, 9.0, 9.0], ids="abcdef")
    (pair,) = analyse([small, large], n_draws=10).along("images")[0].correlations
    assert pair.n_images == 4
    assert math.isclose(pair.pearson, stats.pearsonr([1, 2, 4, 3], [2, 1, 4, 5]).statistic)


def test_a_constant_column_has_no_correlation():
    runs = [observe(cell(size=s), [1.0, 1.0, 1.0]) for s in (100, 200)]
    (pair,) = analyse(runs, n_draws=10).along("images")[0].correlations
    assert math.isnan(pair.pearson)
    assert math.isnan(pair.spearman)


def test_exponents_per_image_scatter_around_the_planted_one():
    runs = (planted(cell(size=s, seed=i), floor=0.0, alpha=0.3) for s in SIZES for i in range(3))
    (curve,) = analyse(runs, n_draws=50).along("images")
    assert abs(float(np.nanmean(curve.image_exponents.exponent)) - 0.3) < 0.03
    assert curve.image_exponents.scales.mean() > 0.8


def test_zero_losses_give_a_verdict_and_no_crash():
    study = analyse((observe(cell(size=s), [0.0, 0.0, 0.0]) for s in SIZES), n_draws=20)
    (curve,) = study.along("images")
    laws = [law for s in STATISTICS for law in curve.reported_laws(s)]
    assert len(laws) == 4
    assert all(law.verdict == "not identifiable" and "positive" in law.reason for law in laws)
    assert curve.image_exponents is None


def test_importing_the_aggregation_starts_neither_torch_nor_mlflow_nor_matplotlib():
    code = (
        "import sys, mlproject.analysis, mlproject.report;"
        "bad = {'torch', 'mlflow', 'matplotlib', 'pandas'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(Path(mlproject.__file__).parents[1])}
    )


def test_two_models_of_one_size_are_two_points_and_one_scale():
    models = [("a", "w1"), ("a", "w2"), ("b", "w3"), ("c", "w4")]
    runs = [
        observe(
            cell(m, weights=f"/{d}.pth", weights_digest=d), [1.0, 2.0, 3.0], params={"c": 9e6}.get(m, 1e6)
        )
        for m, d in models
    ]
    (curve,) = analyse(runs, n_draws=20).along("params")
    assert [point.name for point in curve.points] == ["a [w1]", "a [w2]", "b", "c"]
    assert curve.n_scales == 2
    assert all(point.n_seeds == 1 for point in curve.points)


def test_a_law_that_bends_away_from_the_data_is_seen_through_the_noise_that_scales_share(study):
    curve = curve_of(study, "images", "lite0")
    assert any("residuals are larger" in flag for flag in curve.law("mean", "power").fit.flags)
    assert not curve.law("mean", "power_floor").fit.flags


def test_noise_that_all_scales_share_is_no_noise_of_a_scale():
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(4000, 1)), rng.normal(size=(4000, 5))
    noise = unshared_noise(np.full(5, 2.0), np.exp(0.3 * shared + 0.02 * own))
    np.testing.assert_allclose(noise, 2.0 * 0.02, rtol=0.05)
    assert unshared_noise(np.zeros(5), np.zeros((10, 5))) is None


def assessed_through_csv(study, curves, folder, statistics=STATISTICS):
    """The assessments of a study's exported points of these curves, by curve, axis and statistic."""
    path = folder / "points.csv"
    named = [(curve.label, curve.axis.name) for curve in curves]
    rows = [row for row in study.points() if (row["group"], row["axis"]) in named]
    rows = [row for row in rows if row["statistic"] in statistics]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    columns = Columns(x=("x",), y="loss", sd="sd", group=("group", "axis", "statistic"))
    return {group.group.key: group.assessment for group in assess_csv(path, columns).groups}


def test_points_exported_as_csv_give_the_answer_of_the_study(study, tmp_path):
    """Laws, values and verdicts are equal: both paths call ``assess`` on the same x, loss and sd.

    What may differ is what follows from noise that scales share, which a file cannot state. The study also
    knows the replicates and the influence of every image: intervals of single laws come from refits of the
    replicates and not from profile likelihood, and weights allow for the shared noise (by a few hundredths).
    A verdict could differ only where such an interval ends close to a threshold.
    """
    fitted = [curve_of(study, "images", model) for model in ("lite0", "resnet18 (random)")]
    curves = [*fitted, study.unfitted[0]]
    from_csv = assessed_through_csv(study, curves, tmp_path)
    compared = 0
    for curve in curves:
        for statistic, tracked in curve.assessments.items():
            again = from_csv[curve.label, curve.axis.name, statistic]
            assert again.verdict == tracked.verdict
            assert again.weights == pytest.approx(tracked.weights, abs=0.05)
            for law in tracked.laws:
                same = again.law(law.law)
                assert same.verdict == law.verdict
                if law.fit is None:
                    assert same.fit is None
                    continue
                compared += 1
                assert {name: e.value for name, e in same.parameters.items()} == pytest.approx(
                    {name: e.value for name, e in law.parameters.items()}, rel=1e-6
                )
    assert compared >= 8


def test_the_same_noise_information_gives_the_same_numbers_whole(study, tmp_path):
    """Without replicates, as the file gives it: every interval, weight and prediction is equal."""
    curve = curve_of(study, "images", "lite0")
    tracked = assess(
        curve.x,
        curve.values("mean"),
        sd=unshared_noise(curve.values("mean"), curve.draws("mean")),
        axes=("x",),
    )
    (again,) = assessed_through_csv(study, [curve], tmp_path, ["mean"]).values()
    assert (again.verdict, again.reason, again.weights) == (tracked.verdict, tracked.reason, tracked.weights)
    assert [law.parameters for law in again.laws] == [law.parameters for law in tracked.laws]
    at = np.array([4000.0, 20000.0])
    np.testing.assert_array_equal(again.predict(at).mean, tracked.predict(at).mean)
    np.testing.assert_array_equal(again.predict(at).low, tracked.predict(at).low)
