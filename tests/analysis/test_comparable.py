"""Which runs are comparable along an axis, and how groups of them are labelled."""

import pytest

from mlproject.analysis import AXES, analyse
from mlproject.analysis.comparable import (
    ARM_FIELDS,
    IMAGE_SCALE_FIELDS,
    comparable_runs,
    comparison_key,
    kept_apart,
    shared_by_cells,
    shared_by_runs,
    weights_kind,
)
from mlproject.analysis.runs import read_runs
from tests.studies import cell, observe


def grouped(cells, axis):
    runs, _ = read_runs(observe(c, [1.0, 2.0, 3.0], kind=k) for c, k in cells)
    return sorted(sorted(run.cell.key for run in group.runs) for group in comparable_runs(runs, AXES[axis]))


BASE = {"size": 100}
DIFFERENT = [
    {"weights": "random"},
    {"weights_digest": "other"},
    {"model": "lite1"},
    {"data_digest": "d1"},
    {"recipe_version": 2},
    {"recipe": "finetune"},
    {"eval_size": 0},
    {"eval_size": 100},
    {"draw": "prefix"},
    {"image_scales": (1.0, 2.0)},
    {"knobs": {"target": "labels", "lr": 1e-2}},
    {"knobs": {"target": "features", "lr": 1e-3}},
    {"knobs": {}},
]


@pytest.mark.parametrize("fields", DIFFERENT, ids="-".join)
def test_along_sizes_only_the_size_and_the_seed_vary(fields):
    first = [cell(size=100), cell(size=200), cell(size=200, seed=1)]
    other = cell(**({"size": 300} | fields))
    found = grouped([(c, "mse") for c in [*first, other]], "images")
    assert found == sorted([sorted(c.key for c in first), [other.key]])


MODEL_DIFFERENT = [f for f in DIFFERENT if "model" not in f and "weights_digest" not in f] + [
    {"size": 200},
    {"weights": "/tmp/mine.pth"},
]


@pytest.mark.parametrize("fields", MODEL_DIFFERENT, ids="-".join)
def test_along_models_only_model_and_weights_of_one_kind_vary(fields):
    first = [cell("lite0"), cell("lite1"), cell("lite1", seed=1)]
    other = cell("lite2", **fields)
    found = grouped([(c, "mse") for c in [*first, other]], "params")
    assert found == sorted([sorted(c.key for c in first), [other.key]])


def test_kinds_of_loss_never_mix():
    a, b = cell(size=100), cell(size=200)
    assert len(grouped([(a, "mse"), (b, "mae")], "images")) == 2


def test_folders_of_other_names_with_the_same_images_are_comparable():
    assert (
        len(grouped([(cell(size=100, data="/a/x"), "mse"), (cell(size=200, data="/b/y"), "mse")], "images"))
        == 1
    )


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        ("random", "random"),
        ("random:3", "random"),
        ("imagenet", "imagenet"),
        ("./w.pth", "file"),
        ("w.safetensors", "file"),
    ],
)
def test_weights_have_a_kind(weights, kind):
    assert weights_kind(cell(weights=weights)) == kind


def test_labels_are_unique_and_say_random_and_in_sample():
    cells = [cell(size=s, **f) for f in DIFFERENT for s in (50, 70)]
    study = analyse((observe(c, [1.0, 2.0, 3.0]) for c in cells), n_draws=50)
    labels = [(curve.axis.name, curve.label) for curve in study.curves]
    assert len(set(labels)) == len(labels)
    assert all("(random)" in c.label for c in study.curves if c.random)
    assert all(("in-sample" in c.label) == (c.split == "in-sample") for c in study.curves)
    assert any(c.split == "in-sample" for c in study.curves)


def test_compute_is_an_axis_only_where_it_is_not_proportional_to_the_images():
    plain = [observe(cell(size=s), [1.0, 2.0, 3.0]) for s in (100, 200)]
    assert not analyse(plain, n_draws=10).along("flops")
    steps = [observe(cell(size=s), [1.0, 2.0, 3.0], flops=1e9 + 1e6 * s) for s in (100, 200)]
    assert len(analyse(steps, n_draws=10).along("flops")) == 1


def test_labels_name_only_the_knobs_that_tell_groups_apart():
    shared = {"optimizer": "adam", "batch_size": 32}
    knobs = [
        {"target": "features", "epochs": 5, "steps": 0, **shared},
        {"target": "features", "epochs": 0, "steps": 20, **shared},
        {"target": "pixels", "epochs": 1, "steps": 0, "optimizer": "sgd", "batch_size": 1},
    ]
    study = analyse((observe(cell(knobs=k), [1.0, 2.0, 3.0]) for k in knobs), n_draws=10)
    assert sorted(curve.family.split(" · ", 2)[2] for curve in study.along("images")) == [
        "target features · cross_entropy · 20 steps · held-out",
        "target features · cross_entropy · 5 epochs · held-out",
        "target pixels · cross_entropy · held-out",
    ]


def test_curves_along_a_knob_are_told_apart_by_their_images():
    knobs = [{"target": "labels", "epochs": epochs, "steps": 0} for epochs in (5, 10)]
    cells = [cell(size=size, knobs=k) for size in (100, 1200) for k in knobs]
    study = analyse((observe(c, [1.0, 2.0, 3.0]) for c in cells), n_draws=10)
    assert [c.series for c in study.along("epochs")] == ["lite0, 100 images", "lite0, 1,200 images"]


TUNING = {"knobs": "lr", "space": "lr=1e-4..1", "trials": 6}


@pytest.mark.parametrize("varies", [frozenset(), AXES["images"].varies, ARM_FIELDS, IMAGE_SCALE_FIELDS])
def test_knobs_that_a_search_chose_may_differ_where_the_tuning_was_the_same(varies):
    tuned = [cell(knobs={"lr": lr, "epochs": 2}, tuning=TUNING) for lr in (1e-3, 1e-2)]
    by_hand = cell(knobs={"lr": 1e-3, "epochs": 2})
    longer = cell(knobs={"lr": 1e-3, "epochs": 2}, tuning=TUNING | {"trials": 12})
    keys = [comparison_key(shared_by_cells(c, varies)) for c in (*tuned, by_hand, longer)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_fields_vary_only_where_they_are_named():
    one, other = cell(size=100), cell(size=200, seed=3)
    assert comparison_key(shared_by_cells(one)) != comparison_key(shared_by_cells(other))
    assert comparison_key(shared_by_cells(one), {"dataset_size"}) == comparison_key(
        shared_by_cells(other, {"dataset_size"})
    )


def test_next_experiments_compare_the_cells_of_a_plan_as_curves_do():
    """A cell that was never run is keyed by the fields that runs share, less split and kind of loss."""
    (run,), _ = read_runs([observe(cell(), [1.0, 2.0, 3.0])])
    shared = shared_by_runs(run, AXES["images"].varies)
    assert shared | shared_by_cells(run.cell, AXES["images"].varies) == shared
    assert set(shared) - set(shared_by_cells(run.cell, AXES["images"].varies)) == {"split", "kind"}


V1 = {"weights": "imagenet", "weights_digest": "v1"}
V2 = {"weights": "IMAGENET1K_V2", "weights_digest": "v2"}
DINO, AUGREG = "timm:vit_small_patch14_dinov2.lvd142m", "timm:vit_base_patch16_224.augreg_in1k"


@pytest.mark.parametrize(
    ("model", "weights", "kind"),
    [
        (DINO, "pretrained", "pretrained lvd142m"),
        (DINO, "pretrained@v2", "pretrained lvd142m"),
        (DINO, "/w.pth", "file"),
        ("resnet50", "IMAGENET1K_V2", "imagenet1k_v2"),
    ],
)
def test_published_weights_have_the_kind_of_their_training(model, weights, kind):
    assert weights_kind(cell(model, weights=weights)) == kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (cell("resnet50", **V1), cell("resnet101", **V2)),
        (cell(DINO, weights="pretrained"), cell(AUGREG, weights="pretrained")),
    ],
)
def test_models_of_different_training_share_a_curve_only_where_that_is_asked_for(one, other):
    """Two training recipes along one axis are no axis."""
    seen = [observe(one, [1.0, 2.0, 3.0], params=1e7), observe(other, [1.0, 1.5, 2.5], params=3e7)]
    apart, mixed = (analyse(seen, n_draws=10, mix_weights=mix) for mix in (False, True))
    assert [curve.n_scales for curve in apart.along("params")] == [1, 1]
    assert [curve.n_scales for curve in mixed.along("params")] == [2]
    (note,) = [note for note in apart.notes if "share no curve" in note]
    assert {one.model, other.model} <= set(note.replace("curve: ", "").split())
    assert "mix_weights = true" in note
    assert any("are mixed along models, as asked for" in note for note in mixed.notes)


def test_models_of_one_training_or_without_any_are_not_warned_of():
    random = cell("resnet50", weights="random", weights_digest="random:0")
    assert kept_apart([cell("resnet18", **V1), cell("resnet50", **V1), random]) == []
    assert kept_apart([cell("resnet50", **V1), cell("resnet50", **V2)]) == []
