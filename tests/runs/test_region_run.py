"""A run of regions: its artifacts, killed in the middle and gone on with, and the pictures it draws."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from mlproject.data import ImageSet, load_images
from mlproject.errors import MLProjectError
from mlproject.files import locked
from mlproject.losses import Silent
from mlproject.regions import find_settings
from mlproject.regions.finder import RegionFinder
from mlproject.runs.region_run import RegionRun, file_name, mask_images
from mlproject.tracking import Store, open_store
from tests import processes
from tests.regions import tiny
from tests.regions.drawn import disc, paint, plain, rectangle

SIZE = (90, 120)
SCENES = {
    "a ring": paint(disc(60, 45, 30, SIZE) & ~disc(60, 45, 18, SIZE)),
    "bright": paint(disc(60, 45, 25, SIZE), 230, 20),
    "colour": paint(disc(60, 45, 25, SIZE), (216, 91, 91), (128, 128, 128)),
    "flat": plain(90, SIZE),
    "line": paint(rectangle(4, 40, 110, 3, SIZE)),
    "pixel": plain(3, (1, 1)),
    "two": paint(rectangle(5, 5, 30, 30, SIZE) | rectangle(60, 40, 30, 30, SIZE)),
}


def killed_at_the_fourth_image(*words: str) -> None:
    find, seen = RegionFinder.find, []

    def dying(self, image):
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        seen.append(1)
        return find(self, image)

    RegionFinder.find = dying
    processes.command(*words)


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, image in SCENES.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    return load_images(str(folder))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(images: ImageSet, store: Store, method: str = "blobs", checkpoint: str = "") -> RegionRun:
    return mask_images(images, find_settings(method, checkpoint=checkpoint), store, report=Silent())


def artifacts(done: RegionRun) -> dict[str, bytes]:
    folder = Path(done.where)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_one_row_for_each_image_says_what_was_found(images: ImageSet, store: Store) -> None:
    rows = {
        row["image"]: row
        for row in csv.DictReader(artifacts(run(images, store))["regions.csv"].decode().splitlines())
    }
    assert list(rows) == list(images.ids)
    found = {name.removesuffix(".png"): row for name, row in rows.items()}
    assert [found[name]["sources"] for name in found] == [
        "otsu", "otsu", "hsv", "fallback", "fallback", "fallback", "otsu otsu",
    ]  # fmt: skip
    assert [found[name]["fallback"] for name in ("flat", "line", "two")] == ["centre", "shape", "none"]
    assert (found["a ring"]["holes"], found["two"]["components"]) == ("1", "2")
    assert [found["two"][name] for name in ("x", "y", "width", "height", "area")] == [
        "5",
        "5",
        "85",
        "65",
        "1800",
    ]
    assert (found["bright"]["polarity"], found["a ring"]["polarity"]) == ("bright", "dark")
    assert (found["flat"]["empty"], found["flat"]["area"], found["two"]["empty"]) == ("True", "0", "False")
    assert all(float(row["seconds"]) > 0 for row in rows.values())


def test_masks_are_read_by_pycocotools_and_equal_to_the_png_files(images, store, tmp_path) -> None:
    done = run(images, store)
    annotations = COCO(Path(done.where) / "masks.json")
    for i, name in enumerate(images.ids, 1):
        (size,) = ((row["height"], row["width"]) for row in annotations.loadImgs(i))
        png = np.asarray(Image.open(Path(done.where) / "masks" / file_name(i - 1, name)))
        regions = annotations.loadAnns(annotations.getAnnIds(imgIds=i, catIds=1))
        objects = annotations.loadAnns(annotations.getAnnIds(imgIds=i, catIds=2))
        assert set(np.unique(png)) <= {0, 255}
        union = np.zeros(size, np.bool_)
        for one in objects:
            union |= annotations.annToMask(one).astype(np.bool_)
        assert np.array_equal(union, png > 0)
        for one in regions:
            assert np.array_equal(annotations.annToMask(one) > 0, png > 0)
            assert one["bbox"] == coco.toBbox(one["segmentation"]).tolist()
            assert one["area"] == int(coco.area(one["segmentation"]))
        assert len(regions) == int(png.any())


def test_kill_9_in_the_middle_and_a_rerun_compute_nothing_twice(
    images, store, tmp_path, cache, monkeypatch
) -> None:
    name = store.client.get_experiment(store.experiment_id).name
    folder = tmp_path / "scenes"
    words = ["regions", f"--data={folder}", f"--experiment={name}"]
    killed = processes.started(killed_at_the_fourth_image, *words, output=tmp_path / "text")
    assert processes.ended(killed) == -signal.SIGKILL, (tmp_path / "text").read_text()
    kept = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in cache.rglob("*.json")}
    assert len(kept) == 3
    resumed = run(images, store)
    status = {r.info.run_id: r.info.status for r in store.client.search_runs([store.experiment_id])}
    assert sorted(status.values()) == ["FINISHED", "KILLED"]
    assert store.client.get_run(resumed.run_id).data.metrics["found_now"] == len(images) - 3
    assert all((path.read_bytes(), path.stat().st_mtime_ns) == was for path, was in kept.items())
    again = run(images, open_store(f"{name}-again"))
    assert artifacts(again) == artifacts(resumed)
    assert store.client.get_run(again.run_id).data.metrics["found_now"] == 0
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "other"))
    unbroken = artifacts(run(images, open_store(f"{name}-unbroken")))
    timed = {"regions.csv", "summary.md", "SHA256SUMS"}
    assert set(unbroken) == set(artifacts(resumed))
    assert all(unbroken[path] == content for path, content in artifacts(resumed).items() if path not in timed)


def test_a_finished_run_is_given_back(images: ImageSet, store: Store) -> None:
    first = run(images, store)
    assert run(images, store) == first
    (only,) = store.client.search_runs([store.experiment_id])
    assert (only.data.tags["kind"], only.info.run_name) == ("regions", "regions · scenes · blobs")
    next(Path(first.where, "masks").iterdir()).unlink()
    again = run(images, store)
    assert again.run_id != first.run_id, "a run that lost a mask is made again"
    assert artifacts(first).keys() < artifacts(again).keys()


def test_a_second_process_is_told_that_the_first_is_at_it(images: ImageSet, store: Store) -> None:
    done = run(images, store)
    tags = store.client.get_run(done.run_id).data.tags
    store.client.delete_run(done.run_id)
    with (
        locked(store.lock_path(f"regions-{tags['regions.key']}")),
        pytest.raises(MLProjectError, match="another process is finding"),
    ):
        run(images, store)


def test_sam_leaves_scores_and_agreement(images, store, tmp_path, monkeypatch) -> None:
    path = tiny.install(tmp_path, monkeypatch)
    found = artifacts(run(images, store, "sam", str(path)))
    rows = list(csv.DictReader(found["regions.csv"].decode().splitlines()))
    assert all(row["checkpoint_sha256"] and row["predicted_iou"] for row in rows)
    assert "Otsu and SAM" in found["summary.md"].decode()
    objects = [a for a in json.loads(found["masks.json"])["annotations"] if a["category_id"] == 2]
    assert all(len(one["scores"]) == 3 and one["score"] == max(one["scores"]) for one in objects)


def test_overlays_show_outline_and_points_in_their_colour(images: ImageSet, store: Store) -> None:
    done = run(images, store)
    at = {"bright": (230, 159, 0), "colour": (86, 180, 233), "flat": (204, 121, 167)}
    for i, name in enumerate(images.ids):
        picture = np.asarray(Image.open(Path(done.where) / "overlays" / file_name(i, name)))
        stem = name.removesuffix(".png")
        if stem in at:
            scale = picture.shape[1] / SIZE[1]
            x, y = (59, 44) if stem == "flat" else (60, 45)
            assert tuple(picture[int((y + 0.5) * scale), int((x + 0.5) * scale)]) == at[stem]
    with Image.open(Path(done.where) / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


def test_file_names_are_plain_whatever_the_ids_are() -> None:
    assert file_name(7, "n01440764/a b%09.JPEG") == "00007_n01440764_a_b_09.png"
    assert len(file_name(0, "ü" * 300)) < 100
