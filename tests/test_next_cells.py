import math
from pathlib import Path

import pytest

from mlproject.errors import BadInput, WrongUse
from mlproject.listing import print_next
from mlproject.losses import Observation
from mlproject.next_cells import Aim, choose, write_plan
from mlproject.plan import Plan, plan_of, read_plan


def small_plan(**changes: object) -> Plan:
    coordinates = {
        "model": "efficientnet_lite0", "weights": "random", "dataset_size": "100,200,400,800", "seed": "0,1",
        "eval_size": 50, "target": "labels",
    }  # fmt: skip
    return plan_of("small", coordinates | changes)


def finished(plan: Plan, noise: float = 0.01) -> list[Observation]:
    """Runs of a plan with losses around 0.3 + 5 D^-0.5."""

    def refuse() -> None:
        raise AssertionError("the metrics are enough")

    runs = []
    for i, cell in enumerate(plan.cells):
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
    (choice,) = choose(plan, finished(plan), Aim(target=5000, budget=6000))
    assert choice.found.width_after < choice.found.width_before
    assert 0 < choice.found.spent <= 6000
    done = {(cell.dataset_size, cell.seed) for cell in plan.cells}
    new = {(size, seed) for size, seeds in choice.seeds.items() for seed in seeds}
    assert len(new) == len(choice.found.cells)
    assert not new & done, "nothing is run twice"
    assert max(choice.seeds) > 800, "sizes beyond the data tell most"


def test_the_plan_that_is_written_holds_cells_of_the_same_groups(tmp_path: Path) -> None:
    plan = small_plan(lr=["1e-3", "1e-2"], data="embedded")
    choices = choose(plan, finished(plan), Aim(target=5000, budget=12000))
    write_plan(tmp_path / "next.toml", plan, Aim(target=5000, budget=12000), choices)
    after = read_plan(tmp_path / "next.toml", {})
    assert after.name == "small-next"
    old, new = ({cell.key for cell in some.cells} for some in (plan, after))
    assert not old & new
    assert len(new) == sum(len(choice.found.cells) for choice in choices)
    fixed = [
        {
            str({k: v for k, v in cell.to_dict().items() if k not in ("dataset_size", "seed")})
            for cell in some.cells
        }
        for some in (plan, after)
    ]
    assert fixed[0] == fixed[1]


def test_a_budget_in_flops_follows_the_cost_of_the_finished_runs(capsys: pytest.CaptureFixture[str]) -> None:
    plan = small_plan()
    by_images = choose(plan, finished(plan), Aim(target=5000, budget=6000))
    aim = Aim(target=5000, budget=6000 * 4e8, unit="flops")
    by_flops = choose(plan, finished(plan), aim)
    assert by_flops[0].seeds == by_images[0].seeds
    print_next(by_flops, aim, Path("next.toml"))
    assert "mlproject sweep --plan next.toml" in capsys.readouterr().out


def test_what_cannot_be_chosen_is_refused(tmp_path: Path) -> None:
    plan = small_plan()
    with pytest.raises(BadInput, match="has 3 finished sizes"):
        choose(plan, finished(small_plan(dataset_size="100,200")), Aim(target=5000, budget=6000))
    with pytest.raises(BadInput, match="below its cheapest cell"):
        choose(plan, finished(plan), Aim(target=5000, budget=50))
    with pytest.raises(WrongUse, match="above zero"):
        Aim(target=5000, budget=0)
    with pytest.raises(WrongUse, match="unknown unit 'image'; did you mean images"):
        Aim(target=5000, budget=1, unit="image")
