"""Grids: the cells of a product, and seeds that differ from size to size."""

from collections import Counter
from pathlib import Path

import pytest

from mlproject.errors import WrongUse
from mlproject.plans import Plan, read_plan

GRID = '[[grid]]\nmodel = ["resnet18", "resnet50"]\nweights = "random"\n'
BY_SIZE = f"{GRID}dataset_size = [10, 20, 40]\nseeds = [4, 2, 1]\n"


def plan(folder: Path, text: str, **overrides: object) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path, overrides)


def test_each_size_has_its_number_of_seeds_and_models_stay_together(tmp_path: Path) -> None:
    cells = plan(tmp_path, BY_SIZE).cells
    assert Counter(cell.dataset_size for cell in cells) == {10: 8, 20: 4, 40: 2}
    assert [cell.seed for cell in cells[:7]] == [0, 1, 2, 3, 0, 1, 0]
    assert [cell.model for cell in cells] == ["resnet18"] * 7 + ["resnet50"] * 7


def test_the_cells_are_those_of_a_plan_that_lists_the_seeds(tmp_path: Path) -> None:
    lists = "".join(
        f"{GRID}dataset_size = {size}\nseed = {list(range(n))}\n" for size, n in ((10, 4), (20, 2), (40, 1))
    )
    by_size = {cell.key for cell in plan(tmp_path, BY_SIZE).cells}
    assert by_size == {cell.key for cell in plan(tmp_path, lists).cells}


def test_seeds_on_the_command_line_replace_those_of_each_size(tmp_path: Path) -> None:
    cells = plan(tmp_path, BY_SIZE, seed="7", dataset_size="30,50").cells
    assert {(cell.dataset_size, cell.seed) for cell in cells} == {(30, 7), (50, 7)}


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        (f"{GRID}dataset_size = [10, 20]\nseeds = [3]\n", {}, "not 1 for 2"),
        (BY_SIZE, {"dataset_size": "30,50"}, "not 3 for 2; with other sizes on the command line"),
        (f"{BY_SIZE}seed = [0]\n", {}, "seed and seeds are both given"),
        (f"{GRID}dataset_size = [10, 20]\nseeds = [3, 0]\n", {}, "seeds must be whole numbers of at least 1"),
        (f'{GRID}dataset_size = [10, 20]\nseeds = "3,2"\n', {}, "seeds must be"),
        (f"{GRID}dataset_size = [10, 20]\nseeds = 3\n", {}, "seeds must be"),
        (f"{GRID}dataset_size = [10, 20]\nseeds = []\n", {}, "seeds must be"),
        (f"{GRID}dataset_size = [10, 20]\nseeds = [1000000, 1]\n", {}, "2,000,002 cells, of 100,000 at most"),
    ],
)  # fmt: skip
def test_seeds_that_do_not_fit_are_refused(tmp_path: Path, text: str, overrides: dict, words: str) -> None:
    with pytest.raises(WrongUse, match=r"seed|cells") as caught:
        plan(tmp_path, text, **overrides)
    assert words in str(caught.value)
