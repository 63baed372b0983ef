"""Two sets of runs compared pairwise: what differs, what pairs, and why nothing does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlproject.analysis import analyse, compare_runs
from mlproject.errors import BadInput
from mlproject.losses import PerImageLosses
from tests.studies import cell, observe, planted

SIZES = (100, 200, 400)


def model(name, *, sizes=SIZES, seeds=(0, 1, 2), k=6.0, **fields):
    return [planted(cell(name, size, seed, **fields), k=k) for size in sizes for seed in seeds]


def compared(first, second, **named):
    return compare_runs(first, second, names=("A", "B"), n_draws=200, **named)


def test_two_models_of_a_study_pair_by_size_and_seed_on_the_same_images():
    result = compared(model("lite0"), model("lite1", k=9.0))
    assert result.differing == {"model": ("lite0", "lite1")}
    assert [setting.shared for setting in result.settings] == [{"dataset_size": size} for size in SIZES]
    assert result.n_alone == (0, 0)
    for setting in result.settings:
        effect = setting.loss.effect
        assert (effect.n_seeds, effect.n_images) == (3, 200)
        assert effect.value == pytest.approx(setting.first.value - setting.second.value)
        assert setting.loss.verdict == "better"
        assert setting.loss.holm >= setting.loss.p
        assert setting.first_lower > 0.8
        assert setting.seeds_shared
    (exponents,) = result.exponents
    assert exponents.difference.paired
    assert exponents.difference.difference.value == pytest.approx(
        exponents.first.parameters["alpha"].value - exponents.second.parameters["alpha"].value
    )


@pytest.mark.parametrize(
    ("sizes", "noise", "verdict"),
    [((100, 200, 400), 0.2, "not identifiable"), ((100, 200, 400, 800, 1600), 0.02, "scaling")],
)
def test_exponents_are_those_of_the_studys_curves_and_have_their_verdict(sizes, noise, verdict):
    runs = {name: [planted(cell(name, size, seed), noise=noise) for size in sizes for seed in (0, 1)]
            for name in ("lite0", "lite1")}  # fmt: skip
    (exponents,) = compared(runs["lite0"], runs["lite1"]).exponents
    study = analyse([*runs["lite0"], *runs["lite1"]], n_draws=200)
    laws = [curve.law("mean", "power") for curve in study.along("images")]
    for paired, law in zip((exponents.first, exponents.second), laws, strict=True):
        alpha, of_curve = paired.parameters["alpha"], law.parameters["alpha"]
        assert alpha.value == pytest.approx(of_curve.value, rel=0.02)
        assert alpha.high - alpha.low == pytest.approx(of_curve.high - of_curve.low, rel=0.3)
    assert exponents.identified == (verdict == "scaling")
    assert {law.verdict for law in laws} == {verdict}


def test_a_paired_interval_is_narrower_than_the_losses_intervals():
    (setting, *_) = compared(model("lite0"), model("lite1")).settings
    effect = setting.loss.effect
    assert effect.high - effect.low < 0.5 * (setting.first.high - setting.first.low)


def test_two_cells_pair_whatever_they_differ_in_and_one_seed_concludes_nothing():
    first, second = planted(cell("lite0", 100, 0)), planted(cell("lite1", 400, 3))
    result = compared([first], [second])
    assert set(result.differing) == {"model", "dataset_size"}
    (setting,) = result.settings
    assert setting.shared == {}
    assert not setting.seeds_shared
    assert setting.loss.verdict == "not concluded (one seed)"
    assert result.exponents == ()


def test_two_studies_pair_by_model_and_size_and_cells_without_a_partner_are_counted():
    first = [*model("lite0"), *model("lite1", sizes=(100,))]
    knobs = {"target": "labels", "lr": 1e-2}
    second = [*model("lite0", sizes=(100, 200), knobs=knobs), *model("lite1", sizes=(100, 800), knobs=knobs)]
    result = compared(first, second)
    assert result.differing == {"knobs.lr": ("0.001", "0.01")}
    assert [setting.shared for setting in result.settings] == [
        {"dataset_size": 100, "model": "lite0"},
        {"dataset_size": 100, "model": "lite1"},
        {"dataset_size": 200, "model": "lite0"},
    ]
    assert result.n_alone == (3, 3)


def test_only_the_images_that_both_evaluated_count_and_errors_are_compared_where_both_have_them():
    def with_errors(this, ids, losses, errors):
        values = {"cross_entropy": np.array(losses), "error": np.array(errors)}
        table = PerImageLosses(
            kind="cross_entropy", image_ids=tuple(ids), splits=("eval",) * len(ids), values=values
        )
        return replace(observe(this, losses, ids=ids), load_losses=lambda: table)

    a = with_errors(cell("lite0"), "abc", [1.0, 2.0, 9.0], [0.0, 1.0, 1.0])
    b = with_errors(cell("lite1"), "dba", [9.0, 1.0, 3.0], [0.0, 0.0, 0.0])
    (setting,) = compared([a], [b]).settings
    assert setting.loss.effect.n_images == 2
    assert setting.loss.effect.value == pytest.approx((1 - 3 + 2 - 1) / 2)
    assert setting.first_lower == 0.5
    assert setting.error.effect.value == 0.5
    assert (setting.mcnemar.first_only, setting.mcnemar.second_only) == (1, 0)
    without = observe(cell("lite1"), [1.0, 3.0], ids="ba")
    assert compared([a], [without]).settings[0].error is None


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ({}, {}, "they are the same cells"),
        ({}, {"data": "mnist", "data_digest": "d1"}, "the images of A is fashion-mnist, of B mnist"),
        ({"eval_size": 0}, {"size": 200}, "the split of A is train, of B eval"),
    ],
)
def test_where_nothing_is_shared_the_reason_is_one_line(first, second, reason):
    a, b = (planted(cell(**fields), n=20) for fields in (first, second))
    with pytest.raises(BadInput) as refused:
        compared([a], [b])
    assert str(refused.value) == f"A and B share nothing that can be compared: {reason}"


def test_other_reasons_for_sharing_nothing():
    loss = replace(planted(cell("lite0"), n=20))
    other = observe(cell("lite1"), [1.0, 2.0], kind="mse")
    with pytest.raises(BadInput, match="the loss of A is cross_entropy, of B mse"):
        compared([loss], [other])
    with pytest.raises(BadInput, match="they evaluated different images"):
        compared([observe(cell("lite0"), [1.0], ids="a")], [observe(cell("lite1"), [1.0], ids="b")])
    with pytest.raises(BadInput, match="no setting"):
        compared(
            [*model("lite0", sizes=(100,)), *model("lite1", sizes=(200,))],
            [*model("lite0", sizes=(200,)), *model("lite1", sizes=(100,))],
        )
    with pytest.raises(BadInput, match="where their settings agree they are the same cells"):
        compared(model("lite0", sizes=(100, 200)), model("lite0", sizes=(100, 400)))


def test_a_loss_of_zero_has_no_exponent_and_is_still_compared():
    runs = [[observe(cell(name, size), [0.0, 0.0]) for size in SIZES] for name in ("lite0", "lite1")]
    result = compared(*runs)
    assert result.exponents == ()
    assert {setting.loss.effect.value for setting in result.settings} == {0.0}
