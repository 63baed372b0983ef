"""A plan that is run until its prediction is narrow: rounds, stops, and a second start."""

from pathlib import Path

import pytest

from mlproject.analysis import Round, read_until
from mlproject.cli.progress import Lines
from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.plans import Plan, plan_of
from mlproject.runs import find_runs, fit_study, run_until, start_cells, write_study_report
from mlproject.tracking import Store

pytestmark = pytest.mark.usefixtures("undrawn")


def small_plan(**changes: object) -> Plan:
    coordinates = {
        "model": "efficientnet_lite0", "weights": "imagenet", "dataset_size": "10,20,40,80", "seed": "0,1",
        "eval_size": 20, "target": "labels", "epochs": 5, "engine": "",
    }  # fmt: skip
    given = {k: v for k, v in (coordinates | changes).items() if v != ""}
    return plan_of("small", given)


def test_a_plan_stops_where_its_prediction_is_narrow_and_a_second_start_runs_nothing(
    store: Store, tmp_path: Path
) -> None:
    plan, rounds = small_plan(), list[Round]()
    until = read_until("width <= 1e9 at 160 images")
    results, spending = run_until(plan, store, Lines(8), until, rounds.append)
    assert [result.status for result in results] == ["done"] * 3
    assert sorted(result.cell.dataset_size for result in results) == [10, 20, 40]
    assert spending.narrow
    assert (spending.spent.images, spending.whole.images, spending.whole.n_cells) == (70, 300, 8)
    fitted = fit_study(store, name="small", keys=[r.cell.key for r in results], spending=spending)
    metrics = store.client.get_run(fitted.run_id).data.metrics
    assert (metrics["spent.n_cells"], metrics["whole.n_cells"]) == (3, 8)
    write_study_report(store, tmp_path, runs=find_runs(store, fitted.run_id))
    assert "The cells were chosen until width" in (tmp_path / "summary.md").read_text()
    again, second = run_until(plan, store, Lines(8), until, rounds.append)
    assert [result.status for result in again] == ["was done"] * 3
    assert second.spent == spending.spent
    assert rounds[0].widths == rounds[1].widths
    narrow = read_until("width <= 1e-6 at 160 images", "70")
    _, third = run_until(plan, store, Lines(8), narrow, rounds.append)
    assert not third.narrow
    assert third.spent.images == 70
    assert third.reason.startswith("The budget is spent, 70 of 70 images")
    _, fourth = run_until(
        plan, store, Lines(8), read_until("width <= 1e-6 at 160 images", "50"), rounds.append
    )
    assert fourth.reason.startswith("The budget is spent, 70 of 50 images"), "what is finished may be more"


def test_plans_that_carry_no_law_are_refused_before_anything_runs(store: Store) -> None:
    until = read_until("width <= 0.1 at 160 images", "30")
    with pytest.raises(WrongUse, match="2 sizes in the plan carry no law"):
        start_cells(small_plan(dataset_size="10,20"), until)
    with pytest.raises(WrongUse, match="needs three models that compare"):
        start_cells(small_plan(), read_until("width <= 0.1 at 160 images and 5e6 parameters"))
    with pytest.raises(BadInput, match="does not buy three sizes of each curve: give at least --budget 70"):
        run_until(small_plan(), store, Lines(8), until, lambda _: None)


def test_a_second_command_does_not_buy_cells_of_the_same_curves_and_one_of_other_curves_may(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    until, bought = read_until("width <= 1e9 at 160 images", "70"), list[str]()

    class Bought(Exception):
        pass

    def second(plan: Plan, *_: object) -> None:
        bought.append(plan.name)
        if len(bought) == 1:
            with pytest.raises(WrongUse, match=r"another command runs the curve of .* with --until"):
                run_until(small_plan(seed="1"), store, Lines(4), until, lambda _: None)
            run_until(small_plan(epochs=6), store, Lines(8), until, lambda _: None)
        raise Bought

    monkeypatch.setattr("mlproject.runs.until._run_rounds", second)
    for n_bought in (2, 3):  # what ended, in whatever way, is no longer in the way
        with pytest.raises(Bought):
            run_until(small_plan(), store, Lines(8), until, lambda _: None)
        assert len(bought) == n_bought


def test_failed_cells_that_leave_too_few_sizes_end_with_the_status_of_a_failed_cell(store: Store) -> None:
    plan = small_plan(dataset_size="10,20,40", lr="1e30", loss="mse", optimizer="sgd", seed="0")
    until = read_until("width <= 0.1 at 160 images")
    with pytest.raises(MLProjectError, match=r"0 sizes are finished, .*, for 3 cells failed: a law") as error:
        run_until(plan, store, Lines(3), until, lambda _: None)
    assert error.value.status == MLProjectError.status
