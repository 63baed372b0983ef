"""Several backbones of one preprocessing decode each image of a large set once; costs are known before."""

from dataclasses import replace

import numpy as np
import pytest

from mlproject.cell import Cell
from mlproject.data import ImageSet
from mlproject.features import KEPT, forget
from mlproject.files import locked
from mlproject.models import find_model, find_weights
from mlproject.progress import Silent
from mlproject.recipes import build_recipe, extract_together, full_knobs, needed_features

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
