"""Several backbones of one preprocessing decode each image of a large set once; costs are known before."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.cell import Cell
from mlproject.data import ImageSet
from mlproject.features import KEPT, forget
from mlproject.files import locked
from mlproject.losses import Silent
from mlproject.models import find_model, find_weights
from mlproject.recipes import (
    build_recipe,
    extract_together,
    full_knobs,
    missing_parts,
    needed_features,
    scales_of,
)

MODELS = ("resblock_w2_d1", "resblock_w4_d1")


@pytest.fixture
def images() -> ImageSet:
    reads: list[int] = []

    def read(index: int) -> np.ndarray:
        reads.append(index)
        return np.full((32, 32, 3), index, np.uint8)

    n = 60
    read.reads = reads  # type: ignore[attr-defined]
    return ImageSet(
        name="many",
        ids=tuple(map(str, range(n))),
        digests=tuple(f"{i:064d}" for i in range(n)),
        labels=np.zeros(n, np.int64),
        classes=("picture",),
        held_out=np.arange(n) >= 50,
        read=read,
    )


@pytest.fixture
def cells(images: ImageSet) -> list[Cell]:
    recipe = build_recipe("probe", {"target": "features"})
    return [
        Cell(
            recipe="probe",
            recipe_version=recipe.version,
            model=name,
            weights="random:0",
            weights_digest=find_weights(find_model(name), "random:0").digest,
            data="many",
            data_digest=images.digest,
            dataset_size=size,
            eval_size=10,
            seed=seed,
            knobs=full_knobs(recipe),
        )
        for name in MODELS
        for size in (10, 30)
        for seed in (0, 1)
    ]


@pytest.fixture(autouse=True)
def few_kept(monkeypatch, tmp_path):
    forget()
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    monkeypatch.setattr(KEPT, "n_bytes", 5 * 3 * 32**2)
    monkeypatch.setattr("mlproject.recipes.extractions.available_memory", lambda: 10 * 20 * 3 * 32**2)


def test_backbones_of_one_preprocessing_decode_an_image_once_however_many_there_are(images, cells) -> None:
    needed = needed_features(cells, lambda _: images)
    assert [features.backbone.model for features in needed] == list(MODELS)
    n = len(needed[0].rows)
    assert 40 <= n <= 60
    assert [features.cost.n_forwards for features in needed] == [n, n]
    assert needed[0].cost.seconds is None  # no such network was ever timed here
    extract_together(needed, Silent())
    assert sorted(images.read.reads) == sorted(needed[0].rows.tolist())
    assert [features.cost.n_forwards for features in needed] == [0, 0]
    assert KEPT.room(find_model(MODELS[0]).preprocess) == 5  # as before


def test_a_backbone_that_fails_is_left_to_its_cells_and_the_others_go_on(images, cells, caplog) -> None:
    caplog.set_level("INFO")
    bad = [replace(cell, weights_digest="other") if cell.model == MODELS[0] else cell for cell in cells]
    needed = needed_features(bad, lambda _: images)
    extract_together(needed, Silent())
    assert "weights random:0 changed after the cell was planned" in caplog.text
    assert needed[1].cost.n_forwards == 0


def test_one_backbone_and_recipes_without_frozen_features_need_nothing_ahead(images, cells) -> None:
    extract_together(needed_features(cells[:1], lambda _: images), Silent())
    scratch = replace(cells[0], recipe="scratch", knobs=full_knobs(build_recipe("scratch", {})))
    assert images.read.reads == []
    assert needed_features([scratch], lambda _: images) == []


def test_a_backbone_that_another_process_runs_is_left_to_it(images, cells, tmp_path) -> None:
    needed = needed_features(cells, lambda _: images)
    needed[0].backbone.features(images, needed[0].rows[:1], Silent())
    (lock,) = tmp_path.glob("*.lock")
    with locked(lock):
        extract_together(needed, Silent())
    assert [features.cost.n_forwards for features in needed] == [len(needed[0].rows) - 1, 0]


@pytest.mark.parametrize("n_processes", [1, 2, 3, 8])
def test_missing_features_are_divided_so_that_all_processes_end_together_and_no_image_is_in_two_parts(
    images, cells, monkeypatch, n_processes: int
) -> None:
    monkeypatch.setattr("mlproject.features.SHARD_ROWS", 4)
    needed = needed_features(cells, lambda _: images)
    parts = missing_parts(needed, n_processes)
    rows = {name: [part.rows.tolist() for part in parts if part.backbone.model == name] for name in MODELS}
    for features in needed:
        of_model = rows[features.backbone.model]
        assert [row for part in of_model for row in part] == features.rows.tolist()
        assert all(len(part) % 4 == 0 for part in of_model[:-1]), "whole shards"
    costs = [part.backbone.relative_cost * len(part.rows) for part in parts]
    assert parts[0].backbone.model == MODELS[1], "the most expensive first"
    spent = [0.0] * n_processes
    for cost in costs:  # each process takes the next part as it becomes free
        spent[spent.index(min(spent))] += cost
    a_shard = 4 * max(part.backbone.relative_cost for part in parts)
    assert max(spent) <= sum(costs) / n_processes + a_shard
    if n_processes == 1:
        assert len(parts) == len(MODELS), "one process loads each network once, and computes all at once"
    monkeypatch.setattr("mlproject.recipes.extractions.PART_ROWS", 8)
    assert max(len(part.rows) for part in missing_parts(needed, 1)) == 8


def test_a_backbone_at_one_scale_and_at_two_shares_what_is_stored_at_each(images, cells) -> None:
    both = [replace(cell, image_scales=(1.0, 2.0)) for cell in cells if cell.model == MODELS[0]]
    needed = needed_features([*cells[:4], *both], lambda _: images)
    n = len(needed[0].rows)
    parts = missing_parts(needed, 1)
    assert [(part.backbone.image_scales, len(part.rows)) for part in parts] == [((2.0,), n), ((1.0,), n)]
    assert set(scales_of(both[0])) == {part.backbone for part in parts}
    needed[0].backbone.features(images, needed[0].rows[:10], Silent())
    assert [len(part.rows) for part in missing_parts(needed, 1)] == [n, n - 10]


def test_images_that_two_sets_share_are_in_one_part_and_features_with_a_fault_in_none(images, cells) -> None:
    some = images.only("picture")
    needed = needed_features(cells[:2], lambda _: images) + needed_features(cells[:2], lambda _: some)
    assert [len(features.rows) for features in needed] == [len(needed[0].rows)] * 2
    assert len(missing_parts(needed, 1)) == 1
    odd = replace(cells[0], model="nowhere")
    assert missing_parts(needed_features([odd], lambda _: images), 2) == []


def test_processes_that_share_a_table_add_their_rows_at_the_same_time(images, cells, tmp_path) -> None:
    (features,) = needed_features(cells[:1], lambda _: images)
    features.backbone.features(images, features.rows[:1], Silent())
    (lock,) = tmp_path.glob("*.lock")
    with locked(lock, shared=True):
        stub = next(path for path in tmp_path.iterdir() if path.is_dir()) / "half.part"
        stub.touch()
        features.backbone.features(images, features.rows, Silent(), shared=True)
        assert stub.exists(), "it may be that of the other process"
    assert features.cost.n_forwards == 0
