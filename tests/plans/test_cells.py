"""Points of a grid as cells: sizes, images kept for validation, scales, weights, grids that cannot run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.cell import Cell
from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.plans import Plan, images_for, plan_of, read_plan
from tests.data.pictures import fill

POOL, HELD_OUT = 3200, 1000
"""Images of the embedded set that may be trained on, and that are held out."""
RANDOM = {"model": "resnet18", "weights": "random"}
SWEEPS = Path(__file__).parents[2] / "sweeps"
GRID = '[[grid]]\nmodel = "resnet18"\nweights = "random"\n'
SPLITS = {"probe": (80, 20, 0), "finetune": (72, 20, 8), "scratch": (72, 20, 8), "reconstruct": (80, 20, 0)}
"""Training, evaluation and validation images of a folder of 100, by recipe."""


def plan(**coordinates: object) -> Plan:
    return plan_of("x", RANDOM | coordinates)


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
    tuned = plan_of("x", RANDOM | {"dataset_size": [100, size]}, tuned=True)
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
        (
            "probe",
            "scratch",
            "weights must be imagenet, pretrained, random or a path for recipe='probe', not 'scratch'",
        ),
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


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Folders by their number of images: those of the original studies, and smaller ones.

    Those of 100 and 300 have two classes, the others are flat.
    """
    folder = tmp_path_factory.mktemp("photos")
    for n in (1, 4, 100, 199, 200, 300):
        above = ("a/", "b/") if n in (100, 300) else ("",)
        fill(folder / str(n), [f"{above[i % len(above)]}{i}.png" for i in range(1, n + 1)])
    return {n: str(folder / str(n)) for n in (1, 4, 100, 199, 200, 300)}


def plan_file(folder: Path, text: str, **overrides: Any) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text)
    return read_plan(path, overrides)


def trained(built: Plan, *, in_sample: bool) -> list[int]:
    """Distinct dataset sizes of the in-sample or of the held-out cells."""
    return sorted({one.dataset_size for one in built.cells if one.in_sample == in_sample})


@given(st.floats(0, 1, exclude_min=True))
@settings(max_examples=30)
def test_a_share_is_the_cell_of_its_rounded_number(share: float) -> None:
    size = max(1, round(share * POOL))
    assert cell(dataset_size=share) == cell(dataset_size=repr(share)) == cell(dataset_size=size)


@pytest.mark.parametrize("asked", ["all", 1.0, "1.0"])
def test_all_is_what_can_be_trained_on(asked: object) -> None:
    assert cell(dataset_size=asked) == cell(dataset_size=POOL)
    assert cell(dataset_size=asked, eval_size="in-sample").dataset_size == POOL + HELD_OUT
    assert cell(dataset_size=asked, validation_size=200).dataset_size == POOL - 200


def test_one_is_an_image_and_not_a_share() -> None:
    sizes = [one.dataset_size for one in plan_of("x", RANDOM | {"dataset_size": [1, 1.0]}).cells]
    assert sizes == [1, POOL]
    assert cell(dataset_size="1").dataset_size == 1


def test_a_command_line_may_mix_numbers_shares_and_all() -> None:
    sizes = [one.dataset_size for one in plan_of("x", RANDOM | {"dataset_size": "10, 0.25,all"}).cells]
    assert sizes == [10, 800, 3200]


@pytest.mark.parametrize("text", ["many", "1e3", "1.5", "-0.5", "0", "-3", "50%", "nan", "inf"])
def test_text_that_is_no_size_is_refused_with_the_rule(text: str) -> None:
    with pytest.raises(WrongUse, match=f"dataset_size must be (a whole number, a share|at least 1).*{text}"):
        cell(dataset_size=text)


@pytest.mark.parametrize("recipe", SPLITS)
def test_a_cell_without_a_size_takes_what_a_folder_has(photos: dict[int, str], recipe: str) -> None:
    from_scratch = {"weights": "scratch"} if recipe == "scratch" else {}
    built = cell(recipe=recipe, data=photos[100], **from_scratch)
    assert (built.dataset_size, built.eval_size, built.validation_size) == SPLITS[recipe]


def test_a_cell_without_a_size_takes_200_of_a_set_known_by_name() -> None:
    assert cell().dataset_size == 200
    assert cell(data="embedded:sneaker").dataset_size == 200


@pytest.mark.parametrize("n", [1, 4])
def test_a_folder_that_holds_nothing_out_is_trained_and_evaluated_whole(
    photos: dict[int, str], n: int
) -> None:
    built = cell(data=photos[n])
    assert (built.dataset_size, built.eval_size) == (n, 0)


def test_memorising_takes_every_image_of_a_folder(photos: dict[int, str]) -> None:
    assert cell(recipe="memorise", data=photos[100]).dataset_size == 100


@pytest.mark.parametrize(("n", "in_sample", "held_out"), [(200, 200, 160), (199, 199, 160), (300, 200, 200)])
def test_the_study_of_model_size_runs_on_its_folder(
    photos: dict[int, str], n: int, in_sample: int, held_out: int
) -> None:
    built = read_plan(SWEEPS / "seed-model-size.toml", {"data": photos[n]})
    assert (trained(built, in_sample=True), trained(built, in_sample=False)) == ([in_sample], [held_out])
    assert {one.model for one in built.cells} == {"resnet18", "resnet50", "resnet101"}


@pytest.mark.parametrize(
    ("n", "in_sample", "held_out"),
    [(300, [100, 200, 300], [100, 200, 240]), (200, [100, 200], [100, 160]), (100, [100], [80])],
)
def test_the_study_of_dataset_size_runs_on_its_folder(
    photos: dict[int, str], n: int, in_sample: list[int], held_out: list[int]
) -> None:
    built = read_plan(SWEEPS / "seed-dataset-size.toml", {"data": photos[n]})
    assert (trained(built, in_sample=True), trained(built, in_sample=False)) == (in_sample, held_out)


def test_the_sizes_that_are_reduced_are_said_in_one_line(photos: dict[int, str]) -> None:
    assert read_plan(SWEEPS / "seed-dataset-size.toml", {"data": photos[300]}).notes == (
        "300 has 300 images, 60 of them held out for evaluation: dataset_size 300 runs as 240 held-out",
    )
    assert read_plan(SWEEPS / "seed-dataset-size.toml", {"data": photos[200]}).notes == (
        "200 has 200 images, 40 of them held out for evaluation: dataset_size 200 and 300 run as 160 "
        "held-out; dataset_size 300 runs as 200 in-sample",
    )


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("seed-*-size.toml")), ids=lambda path: path.stem)
def test_nothing_is_reduced_or_said_where_everything_fits(path: Path) -> None:
    built = read_plan(path, {})
    assert (built.notes, built.left_out) == ((), ())


def test_the_evaluation_and_validation_images_of_a_plan_are_upper_limits(
    photos: dict[int, str], tmp_path: Path
) -> None:
    text = '[[grid]]\nmodel = "resnet18"\nweights = "random"\nrecipe = "finetune"\ndataset_size = [20, 100]\n'
    built = plan_file(tmp_path, f"{text}eval_size = 500\nvalidation_size = 100\n", data=photos[100])
    assert {(one.eval_size, one.validation_size) for one in built.cells} == {(20, 40)}
    assert trained(built, in_sample=False) == [20, 40]
    (note,) = built.notes
    assert note.endswith(
        "dataset_size 100 runs as 40 held-out; eval_size 500 runs as 20; validation_size 100 runs as 40"
    )


def test_the_size_of_a_command_line_is_refused_where_it_does_not_fit(photos: dict[int, str]) -> None:
    with pytest.raises(WrongUse) as caught:
        cell(data=photos[200], dataset_size=200)
    assert str(caught.value) == (
        "dataset_size must be at most 160, not 200: 200 has 200 images, of which 40 are held out for "
        "evaluation (eval_size=in-sample trains and evaluates on all; dataset_size=all takes the 160)"
    )
    with pytest.raises(WrongUse, match="dataset_size must be at most 200, not 201: 200 has 200 images "):
        cell(data=photos[200], dataset_size=201, eval_size="in-sample")


def test_validation_images_leave_one_to_train_on(photos: dict[int, str]) -> None:
    assert cell(data=photos[200], validation_size=159).dataset_size == 1
    with pytest.raises(
        WrongUse, match="validation_size must be at most 159, not 160: 200 has 200 images, 40"
    ):
        cell(data=photos[200], validation_size=160)


@given(st.lists(st.integers(1, 2 * POOL), min_size=1, max_size=4), st.sampled_from(["auto", "in-sample"]))
@settings(max_examples=20)
def test_sizes_of_a_plan_stay_nested_and_only_those_that_do_not_fit_change(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], evaluation: str
) -> None:
    text = f'{GRID}dataset_size = {sizes}\neval_size = "{evaluation}"\n'
    built = plan_file(tmp_path_factory.getbasetemp(), text)
    pool = POOL if evaluation == "auto" else POOL + HELD_OUT
    assert {one.dataset_size for one in built.cells} == {min(size, pool) for size in sizes}
    assert bool(built.notes) == (max(sizes) > pool)


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        (
            {"target": "labels"},
            "probe needs at least 2 classes, 200 has 1; use a folder per class, or target=fea",
        ),
        ({"recipe": "finetune"}, "finetune needs at least 2 classes, 200 has 1; use a folder per class$"),
        ({"recipe": "scratch", "weights": "scratch"}, "scratch needs at least 2 classes"),
        (
            {"recipe": "segment", "weights": "scratch"},
            "segment needs label maps, 200 has none: put them into",
        ),
    ],
)
def test_images_that_a_recipe_cannot_use_are_refused_before_anything_is_run(
    photos: dict[int, str], knobs: dict[str, str], says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        cell(data=photos[200], **knobs)
    assert cell(data=photos[200], target="features").dataset_size == 160


def test_a_grid_that_needs_classes_does_not_block_one_that_does_not(
    photos: dict[int, str], tmp_path: Path
) -> None:
    grids = "".join(f'{GRID}knobs = {{ target = "{target}" }}\n' for target in ("labels", "features"))
    built = plan_file(tmp_path, grids, data=photos[200])
    assert [one.knobs["target"] for one in built.cells] == ["features"]
    assert built.left_out == (
        "plan.toml, grid 1: probe needs at least 2 classes, 200 has 1; use a folder per "
        "class, or target=features",
    )


def test_a_grid_whose_images_hold_nothing_out_does_not_block_the_others(
    photos: dict[int, str], tmp_path: Path
) -> None:
    held_out, in_sample = f"{GRID}eval_size = 50\n", f'{GRID}eval_size = "in-sample"\n'
    built = plan_file(tmp_path, in_sample + held_out, data=photos[4])
    assert trained(built, in_sample=True) == [4]
    assert len(built.cells) == 1
    (fault,) = built.left_out
    assert fault.startswith(
        "plan.toml, grid 2: eval_size must be in-sample, not 50: 4 has 4 images, none of them"
    )
    with pytest.raises(BadInput, match="grid 1: eval_size must be in-sample"):
        plan_file(tmp_path, held_out, data=photos[4])


def test_a_grid_whose_weights_or_images_are_missing_is_left_out_whole(tmp_path: Path) -> None:
    missing = '[[grid]]\nmodel = ["resnet18", "resnet50"]\nweights = ["random", "no/such.pth"]\n'
    built = plan_file(tmp_path, missing + GRID)
    assert len(built.cells) == len(built.images) == len(built.left_out) == 1
    built = plan_file(tmp_path, f'{GRID}data = "./nowhere"\n' + GRID)
    assert len(built.cells) == len(built.left_out) == 1


def test_a_plan_with_a_mistake_is_refused_although_a_grid_could_run(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="grid 2: unknown key"):
        plan_file(tmp_path, f"{GRID}{GRID}dataset_sise = 3\n")


@pytest.mark.parametrize(("share", "kept"), [(0.5, 500), (0.9, 320), (1.0, 0)])
def test_tuned_cells_of_a_share_keep_the_images_that_it_leaves(share: float, kept: int) -> None:
    tuned = plan_of("x", RANDOM | {"dataset_size": [100, share]}, tuned=True)
    assert {one.validation_size for one in tuned.cells} == {kept}


def test_the_tuned_sizes_of_a_plan_fit_a_small_folder(photos: dict[int, str]) -> None:
    built = read_plan(SWEEPS / "head.toml", {"data": photos[300], "weights": "random"})
    assert trained(built, in_sample=False) == [100, 160, 180, 240]
    (note,) = built.notes
    assert "dataset_size 260, 330, 420, 600, 680, 1,100 and 2,000 run as 240 held-out" in note
    assert {one.validation_size for one in built.cells} == {0}


def test_the_key_of_a_cell_does_not_depend_on_how_its_sizes_were_written(photos: dict[int, str]) -> None:
    written = [cell(data=photos[200], dataset_size=size).key for size in ("auto", "all", 160, 1.0)]
    assert len(set(written)) == 1
    assert isinstance(cell(dataset_size=0.5).dataset_size, int)


def test_the_launcher_gives_no_size_unless_it_is_asked_to() -> None:
    entries = yaml.safe_load((SWEEPS.parent / "MLproject").read_text("utf-8"))["entry_points"]
    assert {
        entry["parameters"].get("dataset_size", {"default": ""})["default"] for entry in entries.values()
    } == {""}


def test_scenes_are_no_exception(tmp_path: Path) -> None:
    from PIL import Image

    fill(tmp_path / "images", [f"{i}.png" for i in range(20)])
    (tmp_path / "labels").mkdir()
    for i in range(20):
        Image.fromarray(np.array([[0, 1]] * 2, np.uint8)).resize((6, 4)).save(
            tmp_path / "labels" / f"{i}.png"
        )
    given = {"recipe": "segment", "model": "segmenter_w8_i1", "data": str(tmp_path)}
    (built,) = plan_of("x", given).cells
    assert (built.dataset_size, built.eval_size, built.validation_size) == (15, 4, 1)
    study = read_plan(SWEEPS / "segmentation-iterations-quick.toml", {"data": str(tmp_path)})
    assert {(one.dataset_size, one.eval_size, one.validation_size) for one in study.cells} == {(8, 4, 8)}


def test_a_layer_is_a_knob_that_changes_the_key_only_where_it_is_given() -> None:
    plain, given = cell(), cell(layer="auto", pool="auto")
    assert plain.key == given.key
    assert not {"layer", "pool"} & plain.knobs.keys()
    deep = plan(pool=["mean", "max"]).cells
    assert [c.knobs["pool"] for c in deep] == ["mean", "max"]
    assert len({plain.key, *(c.key for c in deep)}) == 3
    assert "unknown layer of resnet18 'layer9'" in message(layer="layer9")
    assert ", not of scratch; name one of them" in message(recipe="scratch", layer="x")


def test_a_layer_is_not_tuned_since_all_trials_share_their_features() -> None:
    words = {"model": "resblock_w2_d1", "weights": "random", "tune": "pool=mean|max"}
    with pytest.raises(WrongUse, match="pool decides the features, which all trials share; give a list"):
        plan_of("x", words, tuned=True)


def test_another_process_reads_the_images_of_a_cell_again_and_refuses_others(tmp_path: Path) -> None:
    fill(folder := tmp_path / "photos", [f"{c}/{i}.png" for c in "ab" for i in range(10)])
    (folder / "a" / "bad.png").write_bytes(b"no picture")
    made = plan(data=str(folder), max_bad=1, dataset_size=8, region="blobs", eval_size=2)
    cell = made.cells[0]
    assert made.reading_of(cell) == {"max_bad": 1}
    assert images_for(cell, made.reading_of(cell)) is made.images_of(cell), "a process reads them once"
    for other in (replace(cell, data_digest="e" * 64), replace(cell, region_digest="other")):
        with pytest.raises(DigestMismatch, match="differ from those that were planned: they changed"):
            images_for(other, made.reading_of(cell))
