"""Coordinates: cells that differ in their seed share a search, and its trials never see held-out images."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.cell import Cell
from mlproject.errors import WrongUse
from mlproject.plans import plan_of
from mlproject.recipes import build_recipe, full_knobs
from mlproject.tuning import Coordinate, Tune, check_tunable, coordinates, read_tune, tune_of
from tests.conftest import make_cell

KNOBS = full_knobs(build_recipe("probe", {"target": "labels"}))


def tune(space: str = "lr=1e-4..1e-1", **words: Any) -> Tune:
    return read_tune({}, {"space": space, **words}, KNOBS | {"image_scales": "1"})


def coordinate(
    space: str = "lr=1e-4..1e-1", words: dict[str, Any] | None = None, **changes: Any
) -> Coordinate:
    return Coordinate(cells=(make_cell(knobs=KNOBS, **changes),), tune=tune(space, **(words or {})))


@given(
    seeds=st.sets(st.integers(0, 50), min_size=1, max_size=4), sizes=st.sets(st.integers(5, 90), min_size=1)
)
def test_cells_that_differ_in_their_seed_share_a_search(seeds: set[int], sizes: set[int]) -> None:
    cells = [make_cell(seed=s, dataset_size=n, knobs=KNOBS) for s in seeds for n in sizes]
    groups = coordinates(cells, tune())
    assert len(groups) == len(sizes)
    assert sorted(c.key for group in groups for c in group.cells) == sorted(c.key for c in cells)
    assert all({c.seed for c in group.cells} == seeds for group in groups)
    assert all(group.trial.seed == min(seeds) for group in groups)


@given(size=st.integers(5, 10**5))
def test_without_spare_images_a_trial_holds_a_fifth_of_its_size_out(size: int) -> None:
    trial = coordinate(dataset_size=size).trial
    assert trial.dataset_size + trial.validation_size == size
    assert trial.validation_size == size // 5


def test_with_spare_images_a_trial_trains_on_the_whole_size() -> None:
    spare = coordinate(dataset_size=50, validation_size=9)
    assert not spare.borrowed
    assert (spare.trial.dataset_size, spare.trial.validation_size) == (50, 9)
    assert spare.validation == "9 images"


def test_a_size_of_which_no_fifth_is_an_image_is_refused() -> None:
    with pytest.raises(WrongUse) as refused:
        _ = coordinate(dataset_size=4).trial
    assert str(refused.value) == "dataset_size must be at least 5 to be tuned, not 4"


def test_the_name_of_a_study_changes_with_whatever_changes_its_trials_and_not_with_tuned_knobs() -> None:
    base = coordinate().name
    tuned = Coordinate(cells=(make_cell(knobs=KNOBS | {"lr": 0.5}),), tune=tune())
    assert tuned.name == base
    assert coordinate(words={"trials": "7", "storage": "x"}).name == base
    others = [
        coordinate(words={"tune_seed": "1"}), coordinate(words={"sampler": "random"}),
        coordinate("lr=1e-4..1e-1,dropout=0..0.5"), coordinate(dataset_size=99), coordinate(seed=3),
        Coordinate(cells=(make_cell(knobs=KNOBS | {"batch_size": 8}),), tune=tune()),
    ]  # fmt: skip
    assert len({base, *(other.name for other in others)}) == 1 + len(others)


@given(low=st.integers(1, 30), more=st.integers(1, 500))
def test_lengths_lie_in_the_range_and_hold_both_ends(low: int, more: int) -> None:
    lengths = coordinate(f"lr=1e-4..1e-1,epochs={low}..{low + more}").lengths
    assert (lengths[0], lengths[-1]) == (low, low + more)
    assert list(lengths) == sorted(set(lengths))
    assert len(lengths) <= 24


def test_a_tuned_cell_keeps_its_place_and_records_its_search() -> None:
    (cell,) = coordinate().tuned({"lr": 0.02})
    assert cell.knobs["lr"] == 0.02
    assert cell.tuned == ("lr",)
    assert cell.tuning["validation"] == "a fifth of the size"
    assert Cell.from_dict(cell.to_dict()) == cell
    placed = coordinate().placed(make_cell(knobs=KNOBS), {"image_scales": "1,2"})
    assert placed.image_scales == (1.0, 2.0)
    assert dict(placed.knobs) == dict(make_cell(knobs=KNOBS).knobs)


def test_the_first_trial_has_the_knobs_of_the_plan_where_the_space_holds_them() -> None:
    assert coordinate().first == {"lr": 1e-3}
    assert coordinate("lr=1e-2..1e-1").first == {}


@pytest.mark.parametrize(
    ("space", "knobs", "message"),
    [
        ("dropout=0..2", {}, "tune: dropout 0..2: dropout must be at least 0 and below 1, not 2.0"),
        ("lr=0.1..1", {"solver": "ridge"},
         "tune: lr changes nothing for solver='ridge', which takes no steps"),
        ("epochs=1..9", {"steps": 5},
         "tune: epochs changes nothing where steps are given; tune steps instead"),
    ],
)  # fmt: skip
def test_a_space_that_the_recipe_cannot_use_is_refused(space: str, knobs: dict, message: str) -> None:
    with pytest.raises(WrongUse) as refused:
        check_tunable("probe", KNOBS | knobs, tune(space))
    assert str(refused.value) == message


def test_nothing_is_tuned_unless_it_is_asked_for() -> None:
    grid = {"recipe": "probe", "knobs": {}}
    assert tune_of(None, {}, grid) is None
    assert tune_of({"trials": 9}, {"trials": "0"}, grid) is None
    asked = tune_of({"trials": 9}, {}, grid)
    assert asked is not None
    assert (asked.trials, set(asked.space)) == (9, {"lr", "epochs"})
    with pytest.raises(WrongUse, match="unknown recipe 'prob'; did you mean probe"):
        tune_of({}, {}, {"recipe": "prob"})


def test_an_optimiser_is_not_tuned_where_another_default_depends_on_it() -> None:
    words = {"trials": "3", "tune": "optimizer=adam|adamw"}
    given = {"recipe": "scratch", "model": "resblock_w4_d1", **words}
    with pytest.raises(WrongUse) as caught:
        plan_of("x", given, tuned=True)
    assert str(caught.value) == (
        "tune: the default of weight_decay depends on optimizer (0.0 and 0.05): give weight_decay, or tune "
        "it too"
    )
    assert plan_of("x", given | {"weight_decay": "0.01"}, tuned=True).cells
    assert plan_of("x", given | {"tune": "optimizer=adam|adamw,weight_decay=0..0.1"}, tuned=True).cells
