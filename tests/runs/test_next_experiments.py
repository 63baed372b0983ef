"""The next experiments: cells that narrow a prediction within a budget, and the plan that is written."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlproject.cell import Cell
from mlproject.cli.listing import print_next
from mlproject.errors import BadInput, WrongUse, command
from mlproject.losses import Observation
from mlproject.plans import Plan, plan_of, read_plan
from mlproject.runs.next_experiments import Aim, choose, write_plan
from mlproject.tuning import coordinates


def small_plan(*, tuned: bool = False, **changes: object) -> Plan:
    given = {
        "model": "efficientnet_lite0", "weights": "random", "dataset_size": "100,200,400,800", "seed": "0,1",
        "eval_size": 50, "target": "labels",
    }  # fmt: skip
    return plan_of("small", given | changes, tuned=tuned)


def finished(cells: Iterable[Cell], noise: float = 0.01) -> list[Observation]:
    """Runs of cells with losses around 0.3 + 5 D^-0.5."""

    def refuse() -> None:
        raise AssertionError("the metrics are enough")

    runs = []
    for i, cell in enumerate(cells):
        loss = (0.3 + 5 * cell.dataset_size**-0.5) * math.exp(noise * math.sin(2.3 * i))
        metrics = {"eval.loss": loss, "flops": 4e8 * cell.dataset_size}
        runs.append(
            Observation(
                cell=cell,
                run_id=f"r{i}",
                metrics=metrics,
                losses_digest="",
                load_losses=refuse,  # type: ignore[arg-type]
            )
        )
    return runs


def test_the_next_cells_narrow_the_prediction_within_the_budget() -> None:
    plan = small_plan()
    (choice,) = choose(plan, finished(plan.cells), Aim(target=5000, budget=6000))
    assert choice.plan.width_after < choice.plan.width_before
    assert 0 < choice.plan.spent <= 6000
    done = {(cell.dataset_size, cell.seed) for cell in plan.cells}
    new = {(own.size, seed) for own in choice.runs for seed in own.seeds}
    assert len(new) == len(choice.plan.cells)
    assert not new & done, "nothing is run twice"
    assert max(own.size for own in choice.runs) > 800, "sizes beyond the data tell most"


def test_the_plan_that_is_written_holds_cells_of_the_same_groups(tmp_path: Path) -> None:
    plan = small_plan(lr=["1e-3", "1e-2"], data="embedded")
    choices = choose(plan, finished(plan.cells), Aim(target=5000, budget=12000))
    write_plan(tmp_path / "next.toml", plan, Aim(target=5000, budget=12000), choices)
    after = read_plan(tmp_path / "next.toml", {})
    assert after.name == "small-next"
    old, new = ({cell.key for cell in some.cells} for some in (plan, after))
    assert not old & new
    assert len(new) == sum(len(choice.plan.cells) for choice in choices)
    fixed = [
        {
            str({k: v for k, v in cell.to_dict().items() if k not in ("dataset_size", "seed")})
            for cell in some.cells
        }
        for some in (plan, after)
    ]
    assert fixed[0] == fixed[1]


def test_the_plan_that_is_written_reads_images_as_the_finished_plan_did(tmp_path: Path) -> None:
    for i in range(60):
        for folder, value in (("images", i), ("masks", 255 * (i % 2))):
            path = tmp_path / "data" / folder / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((4, 4), value, np.uint8)
            pixels[0, 0] = 0
            Image.fromarray(pixels).save(path)
    (tmp_path / "data/masks/7.png").unlink()
    plan = plan_of(
        "masks",
        {
            "recipe": "segment", "model": "segmenter_w8_i1", "data": str(tmp_path / "data"), "side": 8,
            "dataset_size": "5,10,20", "ignore": "none", "max_bad": 1, "seed": "0,1",
        },
    )  # fmt: skip
    aim = Aim(target=40, budget=80)
    write_plan(tmp_path / "next.toml", plan, aim, choose(plan, finished(plan.cells), aim))
    after = read_plan(tmp_path / "next.toml", {})
    assert {cell.data_digest for cell in after.cells} == {cell.data_digest for cell in plan.cells}


def test_a_budget_in_flops_follows_the_cost_of_the_finished_runs(capsys: pytest.CaptureFixture[str]) -> None:
    plan = small_plan()
    by_images = choose(plan, finished(plan.cells), Aim(target=5000, budget=6000))
    aim = Aim(target=5000, budget=6000 * 4e8, unit="flops")
    by_flops = choose(plan, finished(plan.cells), aim)
    assert by_flops[0].runs == by_images[0].runs
    print_next(by_flops, aim, Path("next.toml"), "")
    fit_all = command("mlproject", "aggregate")
    hint = f"mlproject sweep --plan next.toml; then fit all: {fit_all}\n"
    assert hint in capsys.readouterr().out
    print_next(by_flops, aim, Path("next plan.toml"), "my study")
    hint = f"sweep --plan 'next plan.toml' --experiment 'my study'; then fit all: {fit_all}"
    assert f"{hint} --experiment 'my study'\n" in capsys.readouterr().out


def test_what_cannot_be_chosen_is_refused(tmp_path: Path) -> None:
    plan = small_plan()
    with pytest.raises(BadInput, match="has 3 finished sizes"):
        choose(plan, finished(small_plan(dataset_size="100,200").cells), Aim(target=5000, budget=6000))
    with pytest.raises(BadInput, match="below its cheapest cell"):
        choose(plan, finished(plan.cells), Aim(target=5000, budget=50))
    with pytest.raises(WrongUse, match="above zero"):
        Aim(target=5000, budget=0)
    with pytest.raises(WrongUse, match="unknown unit 'image'; did you mean images"):
        Aim(target=5000, budget=1, unit="image")


SIZES_OF = {"resnet18": 1.1e5, "resnet34": 9e5, "resnet50": 6.4e6}


def joint_runs(plan: Plan) -> list[Observation]:
    """Runs of a plan of three models with losses around a sum of powers of parameters and images."""
    runs = finished(plan.cells)
    for i, run in enumerate(runs):
        n, d = SIZES_OF[run.cell.model], run.cell.dataset_size
        loss = (0.3 + 40 * n**-0.4 + 5 * d**-0.5) * math.exp(0.01 * math.sin(2.3 * i))
        seconds = {"seconds.features": 1e-9 * n * d, "seconds.head": 1e-9 * n * d}
        run.metrics.update({"eval.loss": loss, "params": n, "flops": 6 * n * d, **seconds})  # type: ignore[attr-defined]
    return runs


def test_cells_of_a_tuned_plan_are_chosen_and_tuned_as_before(tmp_path: Path) -> None:
    words = {"tune": "lr=1e-4..1e-1,epochs=1..8,optimizer=adam|sgd", "trials": "6", "sampler": "random"}
    plan = small_plan(**words, tuned=True)
    aim = Aim(target=1600, budget=6000)
    with pytest.raises(BadInput, match="no group of small has 3 finished sizes"):
        choose(plan, finished(plan.cells), aim)
    found = [{"lr": 0.001 * (i + 1), "epochs": i + 1} for i in range(4)]
    searched = zip(coordinates(plan.cells, plan.tune), found, strict=True)
    tuned = [coordinate.tuned(knobs) for coordinate, knobs in searched]
    choices = choose(plan, finished([cell for cells in tuned for cell in cells]), aim)
    write_plan(tmp_path / "next.toml", plan, aim, choices)
    after = read_plan(tmp_path / "next.toml", {})
    assert after.tune == plan.tune
    new = {(own.size, seed) for own in choices[0].runs for seed in own.seeds}
    assert {(cell.dataset_size, cell.seed) for cell in after.cells} == new
    assert after.cells[0].knobs == plan.cells[0].knobs


@pytest.fixture(scope="module")
def joint_plan() -> Plan:
    return small_plan(model=",".join(SIZES_OF), seed="0")


def test_where_models_are_an_axis_cells_are_chosen_along_both(joint_plan: Plan, tmp_path: Path) -> None:
    budget = 60 * 6.4e6 * 800
    aim = Aim(target=3200, budget=budget, unit="flops", params=max(SIZES_OF.values()))
    (choice,) = choose(joint_plan, joint_runs(joint_plan), aim)
    assert choice.design.joint
    assert choice.plan.width_after < choice.plan.width_before
    spent = sum(6 * SIZES_OF[new.cell.model] * new.size * len(new.seeds) for new in choice.runs)
    assert spent == pytest.approx(choice.plan.spent)
    assert spent <= budget
    assert len({cell.x[0] for cell in choice.plan.cells} | {n for n in SIZES_OF.values()}) == 3
    write_plan(tmp_path / "next.toml", joint_plan, aim, [choice])
    after = read_plan(tmp_path / "next.toml", {})
    written = {(cell.model, cell.dataset_size, cell.seed) for cell in after.cells}
    assert written == {(new.cell.model, new.size, seed) for new in choice.runs for seed in new.seeds}
    assert not {cell.key for cell in after.cells} & {cell.key for cell in joint_plan.cells}
    assert "6,400,000 parameters" in (tmp_path / "next.toml").read_text()
    far = replace(aim, params=2e9)  # of a model this much larger, runs of the others tell too little
    with pytest.raises(BadInput, match="no cell within"):
        choose(joint_plan, joint_runs(joint_plan), far)


def test_compute_in_multiply_accumulates_and_seconds_are_measures_of_one_budget(joint_plan: Plan) -> None:
    flops = 60 * 6.4e6 * 800
    budgets = {"flops": flops, "gmac": flops / 2e9, "seconds": flops / 6 * 2e-9}
    runs = joint_runs(joint_plan)
    chosen = [
        choose(joint_plan, runs, Aim(target=3200, budget=budget, unit=unit))[0].runs
        for unit, budget in budgets.items()
    ]
    assert chosen[0] == chosen[1] == chosen[2]


def test_a_joint_choice_is_shown_with_its_models(
    joint_plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    aim = Aim(target=3200, budget=20000)
    choices = choose(joint_plan, joint_runs(joint_plan), aim)
    print_next(choices, aim, Path("next.toml"), "")
    said = capsys.readouterr().out
    assert "3 models" in said
    assert choices[0].runs[0].cell.model in said


def test_close_models_are_chosen_for_one_by_one_and_have_no_target_size(joint_plan: Plan) -> None:
    runs = joint_runs(joint_plan)
    for run in runs:
        run.metrics["params"] = 1e6 + len(run.cell.model)  # type: ignore[index]
    choices = choose(joint_plan, runs, Aim(target=3200, budget=30000))
    assert [choice.design.joint for choice in choices] == [False] * 3
    with pytest.raises(WrongUse, match="parameters needs three finished models"):
        choose(joint_plan, runs, Aim(target=3200, budget=30000, params=1e9))
    with pytest.raises(WrongUse, match="above zero"):
        Aim(target=1, budget=1, params=-3)
