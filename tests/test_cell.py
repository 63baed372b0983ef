import copy
from multiprocessing.reduction import ForkingPickler
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.cell import Cell, Naming
from mlproject.errors import WrongUse
from tests.conftest import make_cell

KNOBS = st.dictionaries(
    st.text("abcdef_", min_size=1, max_size=8),
    st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
)


@given(knobs=KNOBS, size=st.integers(1, 10**6), seed=st.integers(0, 2**31))
def test_a_cell_survives_its_dictionary_and_keeps_its_key(
    knobs: dict[str, object], size: int, seed: int
) -> None:
    cell = make_cell(knobs=knobs, dataset_size=size, seed=seed)
    again = Cell.from_dict(cell.to_dict())
    assert again == cell
    assert again.key == cell.key


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": "other"}, {"recipe_version": 2}, {"model": "resnet50"}, {"weights_digest": "random:1"},
        {"data_digest": "e" * 64},
        {"region": "blobs", "region_digest": "a"}, {"region": "background", "region_digest": "a"},
        {"dataset_size": 101}, {"eval_size": 0}, {"draw": "prefix"},
        {"image_scales": (1.0, 2.0)}, {"seed": 1}, {"knobs": {"lr": 1e-4, "target": "labels"}},
    ],
)  # fmt: skip
def test_whatever_changes_the_result_changes_the_key(change: dict[str, object]) -> None:
    assert make_cell(**change).key != make_cell().key


def test_a_cell_without_validation_keeps_the_key_it_had_before_there_was_any() -> None:
    cell = make_cell()
    assert cell.to_dict()["validation_size"] == 0
    assert cell.key == make_cell(validation_size=0).key != make_cell(validation_size=5).key


def test_a_cell_of_whole_images_keeps_the_key_it_had_before_there_were_regions() -> None:
    assert make_cell().key == "4f1b7ec18c6f22a7"
    blobs = make_cell(region="blobs", region_digest="a")
    assert blobs.key != make_cell(region="blobs", region_digest="b").key
    assert blobs.key == make_cell(region="blobs", region_digest="a", checkpoint="/elsewhere.pth").key


def test_interpolated_scales_keep_the_key_they_had_before_there_were_native_pixels() -> None:
    plain, native = (make_cell(image_scales=(1, 2), large_images=how) for how in ("interpolated", "native"))
    before = {k: v for k, v in plain.to_dict().items() if k != "large_images"}
    assert Cell.from_dict(before).key == plain.key != native.key
    assert "scales 1,2 (native)" in native.label


def test_native_pixels_of_scale_one_are_nothing_else() -> None:
    assert make_cell(large_images="native") == make_cell()


def test_where_the_images_lie_does_not_change_the_key() -> None:
    assert make_cell(data="/somewhere/else").key == make_cell().key


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset_size": 0}, "dataset_size must be at least 1, not 0"),
        ({"eval_size": -1}, "eval_size must be 0 .* not -1"),
        ({"image_scales": ()}, "image_scales must hold at least one"),
        ({"image_scales": (1.0, -2.0)}, "image_scales must be positive"),
        ({"image_scales": (2.0, 2.0)}, "must not repeat"),
        ({"region": "blobs"}, "region_digest must suit region 'blobs', not ''"),
        ({"region": "blob", "region_digest": "a"}, "unknown region 'blob'; did you mean blobs"),
        ({"draw": "balance"}, "unknown draw 'balance'; did you mean balanced"),
        ({"large_images": "nativ"}, "unknown large_images 'nativ'; did you mean native"),
        ({"knobs": {"lr": float("nan")}}, "lr must be finite"),
    ],
)
def test_a_bad_value_cannot_be_built(change: dict[str, object], message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        make_cell(**change)


def test_the_name_says_what_a_person_would_say() -> None:
    cell = make_cell(model="resnet50", weights="imagenet", dataset_size=200, data="/data/tench")
    assert cell.label == "resnet50 · 200 images · tench · seed 0"
    assert "(random)" in make_cell().label
    assert "embedded (blobs)" in make_cell(region="blobs", region_digest="a").label


@given(knobs=KNOBS, order=st.randoms())
def test_the_key_does_not_depend_on_the_order_of_knobs(knobs: dict[str, object], order: Random) -> None:
    names = list(knobs)
    order.shuffle(names)
    assert make_cell(knobs={name: knobs[name] for name in names}).key == make_cell(knobs=knobs).key


@given(
    label=st.text(st.characters(categories=("L", "N", "P"))),
    name=st.sampled_from(["data", "weights", "checkpoint"]),
)
def test_no_label_changes_the_key(label: str, name: str) -> None:
    assert make_cell(**{name: label}).key == make_cell().key


@given(knobs=KNOBS, name=st.text("xyz", min_size=1, max_size=3), value=st.integers())
def test_every_further_knob_changes_the_key(knobs: dict[str, object], name: str, value: int) -> None:
    assert make_cell(knobs=knobs | {name: value}).key != make_cell(knobs=knobs).key


def test_cells_tuned_alike_are_comparable_whatever_their_tuned_knobs_are() -> None:
    record = {"knobs": "lr,epochs", "trials": 5}
    low, high = (
        make_cell(knobs={"lr": lr, "epochs": 3, "target": "labels"}, tuning=record) for lr in (0.1, 0.2)
    )
    assert low.tuned == ("lr", "epochs")
    assert low.key != high.key
    assert low.common(free=()) == high.common(free=())
    assert low.common(free=()) != make_cell(knobs={"lr": 0.1, "epochs": 3, "target": "labels"}).common(
        free=()
    )
    assert low.label.endswith(" · tuned")


@given(seed=st.integers(0, 99), size=st.integers(1, 999))
def test_free_fields_are_left_out_of_what_cells_have_in_common(seed: int, size: int) -> None:
    free = ("seed", "dataset_size", "lr")
    cell = make_cell(seed=seed, dataset_size=size, knobs={"lr": float(seed), "target": "labels"})
    assert cell.common(free) == make_cell().common(free)


def test_parameters_of_a_run_are_text_with_a_prefix_and_without_nesting() -> None:
    params = make_cell(image_scales=(1, 2.5), knobs={"lr": 1e-3, "shuffle": True, "n": 3}).to_params()
    assert all(name.startswith("cell.") and isinstance(text, str) for name, text in params.items())
    assert params["cell.knobs.lr"] == "0.001"
    assert params["cell.knobs.shuffle"] == "true"
    assert params["cell.image_scales"] == "1,2.5"
    assert "cell.knobs" not in params


def test_a_cell_cannot_be_changed_and_neither_can_its_knobs() -> None:
    cell = make_cell()
    with pytest.raises(TypeError):
        cell.knobs["lr"] = 1.0  # type: ignore[index]
    with pytest.raises(AttributeError):
        cell.seed = 2  # type: ignore[misc]


def names_of(*cells: Cell, given: tuple[str, ...] = ()) -> list[str]:
    naming = Naming.of_cells(cells, given)
    return [naming.name(cell).removeprefix("resnet18 (random) · 100 images · embedded · ") for cell in cells]


def test_cells_that_the_label_tells_apart_are_named_by_it() -> None:
    cells = [make_cell(seed=0), make_cell(seed=1), make_cell(model="resnet50", eval_size=30)]
    naming = Naming.of_cells(cells)
    assert [naming.name(cell) for cell in cells] == [cell.label for cell in cells]


def test_names_say_what_differs_within_the_plan() -> None:
    knobs = {"lr": 0.001, "target": "labels", "steps": 0}
    assert names_of(make_cell(eval_size=0), make_cell()) == ["in-sample · seed 0", "held-out · seed 0"]
    assert names_of(make_cell(eval_size=20), make_cell(eval_size=30)) == [
        "eval_size=20 · seed 0",
        "eval_size=30 · seed 0",
    ]
    assert names_of(
        make_cell(knobs=knobs), make_cell(knobs=knobs | {"target": "pixels"}), make_cell(recipe="finetune")
    ) == [
        "probe · target=labels · seed 0",
        "probe · target=pixels · seed 0",
        "finetune · target=labels · seed 0",
    ]
    assert names_of(make_cell(weights="random:0"), make_cell(weights="random:7")) == [
        "seed 0",
        "weights=random:7 · seed 0",
    ]
    assert names_of(make_cell(data="/a/photos"), make_cell(data="/b/photos"))[1].endswith(
        "photos · data=/b/photos · seed 0"
    )


def test_arms_are_named_by_how_they_differ_from_the_baseline() -> None:
    base = {"mixup": 0.0, "cutmix": 0.0, "dropout": 0.2, "norms": "frozen"}
    arms = [{"mixup": 0.2}, {"cutmix": 1.0}, {"dropout": 0.0}, {"norms": "trained", "mixup": 0.2}]
    cells = [make_cell(knobs=base), *(make_cell(knobs=base | arm) for arm in arms)]
    assert names_of(*cells) == [
        "seed 0",
        "mixup=0.2 · seed 0",
        "cutmix=1 · seed 0",
        "dropout=0 · seed 0",
        "mixup=0.2 · norms=trained · seed 0",
    ]


def test_what_a_command_line_says_is_in_the_name_although_nothing_differs() -> None:
    assert names_of(make_cell(), given=("lr", "model", "data")) == ["lr=0.001 · seed 0"]
    assert names_of(make_cell(eval_size=0), given=("eval_size", "recipe")) == ["in-sample · probe · seed 0"]


@given(st.lists(st.tuples(st.sampled_from([0, 20, 30]), st.sampled_from(["a", "b"]), st.integers(0, 3))))
def test_different_cells_have_different_names(points: list[tuple[int, str, int]]) -> None:
    cells = [make_cell(eval_size=n, knobs={"target": t, "steps": s}) for n, t, s in dict.fromkeys(points)]
    naming = Naming.of_cells(cells)
    assert len({naming.name(cell) for cell in cells}) == len(cells)


def test_a_cell_can_be_sent_to_another_process() -> None:
    cell = make_cell(tuning={"knobs": "lr"}, region="blobs", region_digest="d", region_paths="best", seed=3)
    assert copy.copy(cell) == cell  # as pickle does it
    assert ForkingPickler.loads(ForkingPickler.dumps(cell)) == cell
