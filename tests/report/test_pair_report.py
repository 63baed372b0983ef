"""The comparison of two sets of runs: who is lower, by how much, what is left open; the same as JSON."""

from __future__ import annotations

import json

import pytest

from mlproject.analysis import compare_runs
from mlproject.report import pair_document, pair_json, terminal_text, to_json
from mlproject.report.pair_report import setting_text
from tests.analysis.test_pairs import model
from tests.studies import cell, planted


@pytest.fixture(scope="module")
def models():
    return compare_runs(model("lite0"), model("lite1", k=9.0), names=("lite0", "lite1"), n_draws=100)


def test_the_lower_loss_is_named_with_its_difference_and_exponents(models):
    answer = pair_document(models).answer
    lower, difference, exponents, settings = answer.result
    assert lower == "lite0 has a lower loss than lite1 in 3 of 3 settings (after Holm's correction)."
    assert difference.startswith("Loss of lite0 minus that of lite1: -0.")
    assert " at 100 images, -0." in difference
    assert difference.endswith(" at 400 images.")
    assert exponents.startswith(
        "Exponents under k D^-α are not identifiable from these sizes and seeds: lite0 [0."
    )
    assert settings == "They differ in model (lite0; lite1); all else is equal."
    assert answer.not_concluded == ()


def test_one_seed_and_seeds_that_differ_are_said_to_conclude_nothing():
    pair = [[planted(cell("lite0", 100, 0), k=k)] for k in (6.0,)] + [[planted(cell("lite1", 400, 3))]]
    document = pair_document(compare_runs(*pair, names=("a", "b"), n_draws=50))
    differ = "They differ in dataset_size (100; 400), model (lite0; lite1); all else is equal."
    assert document.answer.result[-1] == differ
    assert document.answer.not_concluded == (
        "Neither loss is concluded to be lower: not concluded (one seed).",
        "Their seeds differ and pair in order: the noise of training does not cancel.",
    )
    assert len(document.tables) == 1, "no errors, no exponents"
    assert document.tables[0].texts[0][0] == "all"


def test_cells_without_a_partner_are_counted():
    comparison = compare_runs(model("lite0"), model("lite1", sizes=(100,)), names=("a", "b"), n_draws=50)
    text = pair_document(comparison).answer.not_concluded[-1]
    assert text == "Cells without a partner are left out: 6 of a."


def test_a_terminal_and_json_show_every_setting(models):
    text = terminal_text(pair_document(models))
    for words in ("A: lite0", "B: lite1", "100 images", "400 images", "lower", "α of A [95 %]"):
        assert words in text
    content = json.loads(to_json(pair_json(models)))
    assert [row["dataset_size"] for row in content["settings"]] == [100, 200, 400]
    row = content["settings"][0]
    assert row["loss_difference"] == pytest.approx(row["loss_first"] - row["loss_second"])
    assert row["error_difference"] is row["mcnemar_p"] is None
    assert content["exponents"][0]["verdict"]
    assert content["cells_alone"] == [0, 0]
    assert content["answer"] == list(pair_document(models).answer.sentences)


def test_settings_are_named_by_what_tells_them_apart():
    shared = {"knobs.lr": 0.01, "model": "lite0", "dataset_size": 1000}
    assert setting_text(shared) == "1,000 images · lr=0.01 · lite0"
    assert setting_text({}) == "all"
