"""Points of a grid as cells: sizes that fit the images, images kept for validation, scales, weights."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.cell import Cell
from mlproject.errors import WrongUse
from mlproject.plans import Plan, plan_of

POOL, HELD_OUT = 3200, 1000
"""Images of the embedded set that may be trained on, and that are held out."""
BASE = {"model": "resnet18", "weights": "random"}


def plan(**coordinates: object) -> Plan:
    return plan_of("x", BASE | coordinates)


def cell(**coordinates: object) -> Cell:
    (only,) = plan(**coordinates).cells
    return only


def message(**coordinates: object) -> str:
    with pytest.raises(WrongUse) as caught:
        plan(**coordinates)
    return str(caught.value)


@settings(max_examples=25)
@given(st.integers(1, POOL), st.integers(0, HELD_OUT), st.integers(0, POOL))
def test_a_cell_is_built_exactly_where_its_images_suffice(
    size: int, evaluation: int, validation: int
) -> None:
    pool = POOL - validation + (HELD_OUT if evaluation == 0 else 0)
    given_sizes = {"dataset_size": size, "eval_size": evaluation, "validation_size": validation}
    if size <= pool:
        built = cell(**given_sizes)
        assert (built.dataset_size, built.eval_size, built.validation_size) == (size, evaluation, validation)
    else:
        assert message(**given_sizes).startswith(f"dataset_size must be at most {pool:,}, not {size:,}: ")


def test_too_many_images_name_what_is_there_and_the_way_out() -> None:
    assert message(dataset_size=4000, validation_size=200) == (
        "dataset_size must be at most 3,000, not 4,000: fashion-mnist-subset has 4,200 images, of which "
        "1,000 are held out for evaluation and 200 for validation "
        "(eval_size=in-sample trains and evaluates on all; dataset_size=all takes the 3,000)"
    )
    assert message(eval_size=2000) == (
        "eval_size must be at most 1,000, not 2,000: fashion-mnist-subset holds out no more"
    )


def test_in_sample_is_the_same_as_an_evaluation_of_no_held_out_images() -> None:
    assert cell(eval_size="in-sample") == cell(eval_size=0)
    assert cell(eval_size="in-sample").in_sample
    assert cell(eval_size="auto").eval_size == HELD_OUT


def test_images_are_kept_for_validation_only_where_something_is_chosen_by_them() -> None:
    assert cell().validation_size == 0
    assert cell(recipe="scratch", weights="scratch").validation_size == POOL // 10


@pytest.mark.parametrize(("size", "kept"), [(200, 500), (2700, 500), (2750, 450), (2900, 0), (3200, 0)])
def test_tuned_cells_keep_the_images_that_no_size_needs(size: int, kept: int) -> None:
    tuned = plan_of("x", BASE | {"dataset_size": [100, size]}, tuned=True)
    assert {built.validation_size for built in tuned.cells} == {kept}


@given(st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.sampled_from([1.5, 4.0]))
@settings(max_examples=12)
def test_sides_in_pixels_and_multiples_of_the_input_side_are_the_same_cell(
    first: float, second: float
) -> None:
    multiples, pixels = (first, second), (224 * first, 224 * second)
    assert cell(image_scales=[list(pixels)]) == cell(image_scales=[list(multiples)])


@pytest.mark.parametrize(
    ("scales", "message_end"),
    [
        ("0", "image_scales must be positive and finite, not '0'"),
        ("nan", "image_scales must be positive and finite, not 'nan'"),
        ("100000", "image_scales must be at most 16 (3584 pixels)"),
    ],
)
def test_image_scales_out_of_range_are_refused(scales: str, message_end: str) -> None:
    assert message(image_scales=scales) == message_end


@pytest.mark.parametrize(
    ("recipe", "weights", "want"),
    [
        ("probe", "scratch", "weights must not be scratch for recipe='probe', not 'scratch'"),
        ("scratch", "imagenet", "weights must be scratch for recipe='scratch', not 'imagenet'"),
    ],
)
def test_weights_fit_their_recipe(recipe: str, weights: str, want: str) -> None:
    assert message(recipe=recipe, weights=weights) == want


def test_weights_of_a_network_trained_from_scratch_need_no_name() -> None:
    assert cell(recipe="scratch", weights="auto") == cell(recipe="scratch", weights="scratch")


def test_cells_that_are_given_twice_run_once_and_keep_their_order() -> None:
    assert plan(dataset_size=[20, 10, 20]).cells == plan(dataset_size="20,10").cells


@pytest.mark.parametrize("name", ["dataset_size", "seed", "model"])
def test_an_empty_item_of_a_list_is_refused(name: str) -> None:
    assert message(**{name: "1,,2"}) == f"{name} has an empty item in its list"


def test_every_cell_of_a_plan_has_its_images() -> None:
    built = plan(dataset_size=[10, 20], seed=[0, 1], eval_size=50)
    assert len(built.cells) == 4
    assert {built.images_of(each).digest for each in built.cells} == {built.cells[0].data_digest}


def test_the_seed_and_the_size_change_the_key_of_a_cell_and_a_default_does_not() -> None:
    keys = {cell(**changes).key for changes in ({}, {"seed": 1}, {"dataset_size": 100})}
    assert len(keys) == 3
    assert cell(draw="balanced", region="full", image_scales=1).key == cell().key
