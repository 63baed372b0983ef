"""Reading runs: one for each cell, images in one order."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.analysis import analyse, intact_runs, predictions
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.errors import BadInput, DigestMismatch
from tests.studies import cell, observe


def test_nothing_to_aggregate_says_what_is_needed():
    with pytest.raises(BadInput, match="at least two dataset sizes"):
        analyse([])


def test_a_repeated_cell_with_the_same_losses_is_left_out_and_counted():
    twice = [observe(cell(size=s), [1.0, 2.0, 3.0], run_id=f"{s}{r}") for s in (100, 200) for r in "ab"]
    study = analyse(twice, n_draws=10)
    assert study.n_left_out == 2
    assert study.run_ids
    assert len(study.run_ids) == 2
    assert any("2 runs" in note for note in study.notes)


def test_a_repeated_cell_with_other_losses_is_refused():
    twice = [observe(cell(), [1.0, 2.0], run_id="first"), observe(cell(), [1.0, 2.1], run_id="second")]
    with pytest.raises(DigestMismatch, match="first and second"):
        analyse(twice)


def test_a_damaged_run_is_passed_over_where_its_cell_has_an_intact_one_and_named_where_not():
    intact = observe(cell(), [1.0, 2.0], run_id="intact")
    damaged = replace(intact, run_id="damaged", damage="its losses.parquet is missing")
    assert intact_runs([damaged, intact]) == [intact]
    others = [replace(damaged, cell=cell(size=size), run_id=f"run-{size}") for size in range(200, 900, 100)]
    with pytest.raises(DigestMismatch) as refused:
        read_runs([intact, *others])
    assert str(refused.value).startswith(
        "damaged: run run-200 (its losses.parquet is missing), run run-300 ("
    )
    assert str(refused.value).count("(its losses.parquet is missing)") == 5
    assert " and 2 more; the next sweep of their plan runs their cells again" in str(refused.value)


def test_losses_that_turn_out_damaged_are_named_with_their_number():
    def load_losses():
        raise DigestMismatch("run X is damaged")

    runs = [replace(observe(cell(size=size), [1.0]), load_losses=load_losses) for size in (100, 200)]
    with pytest.raises(
        DigestMismatch, match=r"run X is damaged \(the first of 2; `mlproject ls` names all\)"
    ):
        read_runs([*runs, observe(cell(size=300), [1.0])])


def test_images_are_matched_by_id_whatever_their_order():
    a = observe(cell(size=100), [1.0, 2.0, 3.0], ids=("a", "b", "c"))
    b = observe(cell(size=200), [30.0, 10.0, 20.0], ids=("c", "a", "b"))
    (pool,) = image_pools(read_runs([a, b])[0])
    losses = {run.cell.dataset_size: run.losses.tolist() for run in pool.runs}
    assert losses == {100: [1.0, 2.0, 3.0], 200: [10.0, 20.0, 30.0]}
    assert pool.aligned
    assert not pool.note


def test_predictions_are_read_on_demand_in_the_order_of_the_losses():
    def load_table(name):
        read.append(name)
        table = {"image_name": ["a", "b", "c", "d"], "label": ["0", "1", "2", "1"], "predicted": list("0122")}
        return table | {"split": ["eval"] * 4}

    read = []
    a = replace(observe(cell(size=100), [3.0, 1.0, 2.0, 4.0], ids="cabd"), load_table=load_table)
    b = observe(cell(size=200), [1.0, 2.0, 3.0], ids="abc")
    (pool,) = image_pools(read_runs([a, b])[0])
    first, second = sorted(pool.runs, key=lambda run: run.cell.dataset_size)
    assert first.losses.tolist() == [1.0, 2.0, 3.0]
    assert first.image_ids == ("a", "b", "c")
    assert read == []
    found = predictions(first)
    assert found is not None
    assert (found.labels.tolist(), found.predicted.tolist()) == (["0", "1", "2"], ["0", "1", "2"])
    assert read == ["predictions"]
    assert predictions(second) is None, "a run without classes, or one of version 0.2"


def test_an_image_without_a_prediction_is_named():
    table = {"image_name": ["a"], "split": ["eval"], "label": ["0"], "predicted": ["0"]}
    run = replace(observe(cell(), [1.0, 2.0], ids="ab"), load_table=lambda name: table)
    with pytest.raises(BadInput, match=r"run-.* has a loss and no prediction of b; run its cell again"):
        predictions(read_runs([run])[0][0])


def test_held_out_runs_are_evaluated_on_the_images_they_share_and_it_is_said():
    a = observe(cell(size=100), [1.0, 2.0, 3.0, 4.0], ids="abcd")
    b = observe(cell(size=200), [1.0, 2.0, 3.0, 9.0], ids="abce")
    study = analyse([a, b], n_draws=10)
    assert study.curves[0].image_ids == ("a", "b", "c")
    assert study.curves[0].points[1].value("mean") == 2.0
    assert any("3 of 5" in note for note in study.notes)


def test_images_that_hardly_overlap_are_kept_and_it_is_said():
    a = observe(cell(size=100), [1.0, 2.0, 3.0], ids="abc")
    b = observe(cell(size=200), [4.0, 5.0, 6.0], ids="cde")
    study = analyse([a, b], n_draws=10)
    assert study.curves[0].points[1].value("mean") == 5.0
    assert np.isnan(study.curves[0].losses).sum() == 4
    assert any("share 1" in note for note in study.notes)


def test_in_sample_sizes_keep_their_own_images():
    small = observe(cell(size=3, eval_size=0), [1.0, 2.0, 3.0], ids="abc")
    large = observe(cell(size=5, eval_size=0), [1.0, 2.0, 3.0, 4.0, 5.0], ids="abcde")
    curve = analyse([small, large], n_draws=10).along("images")[0]
    assert [point.n_images for point in curve.points] == [3, 5]
    assert np.isnan(curve.losses[:, 0]).tolist() == [False, False, False, True, True]


def test_the_order_of_runs_changes_nothing():
    runs = [
        observe(cell(size=s, seed=i), np.arange(1, 6) / s * (1 + i)) for s in (100, 200, 400) for i in (0, 1)
    ]
    first, second = analyse(runs, n_draws=20), analyse(reversed(runs), n_draws=20)
    assert first.run_ids == second.run_ids
    assert [c.points[0].interval("mean") for c in first.curves] == [
        c.points[0].interval("mean") for c in second.curves
    ]
