"""Regions on disk: found once, whole or absent, the same value back."""

import json
from pathlib import Path

import pytest

from mlproject.features import list_tables, prune
from mlproject.files import sha256
from mlproject.regions import RegionResult, RegionStore, find_settings
from tests.regions.drawn import disc, paint, rectangle

IMAGE = paint(disc(60, 50, 25, (100, 160)) | rectangle(100, 30, 40, 40, (100, 160)))
DIGEST = "d" * 64


@pytest.fixture
def store(tmp_path: Path) -> RegionStore:
    return RegionStore(tmp_path, find_settings("blobs"))


def test_a_region_is_found_once_and_read_back_equal(store: RegionStore) -> None:
    first = store.region(DIGEST, lambda: IMAGE)
    again = store.region(DIGEST, lambda: pytest.fail("the image was read again"))
    assert first == again == RegionResult.from_dict(first.to_dict())
    assert store.finder.n_found == 1
    assert len(first.objects) == 2


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-2], lambda b: b"", lambda b: b.replace(b"otsu", b"otsv", 1)]
)
def test_a_damaged_region_is_reported_and_found_again(store: RegionStore, damage, caplog) -> None:
    first = store.region(DIGEST, lambda: IMAGE)
    (path,) = store.folder.glob("*.json")
    path.write_bytes(damage(path.read_bytes()))
    assert store.kept(DIGEST) is None
    assert store.region(DIGEST, lambda: IMAGE).counts == first.counts
    assert store.finder.n_found == 2
    assert f"{path} is damaged (" in caplog.text
    assert "the region is found again" in caplog.text


def test_a_region_that_0_2_stored_without_a_score_is_found_again(store: RegionStore) -> None:
    first = store.region(DIGEST, lambda: IMAGE)
    (path,) = store.folder.glob("*.json")
    facts = {name: value for name, value in first.facts.items() if name != "score"}
    content = json.dumps({**first.to_dict(), "facts": facts})
    path.write_text(json.dumps([sha256(content.encode()), content]))
    assert store.kept(DIGEST) is None
    assert store.region(DIGEST, lambda: IMAGE).facts["score"] == first.facts["score"]


def test_settings_never_share_a_folder(tmp_path: Path) -> None:
    changes = [{}, {"limits": "seed"}, {"paths": "best"}, {"refine": "grabcut"}]
    folders = {RegionStore(tmp_path, find_settings("blobs", **change)).folder for change in changes}
    assert len(folders) == len(changes)


def test_regions_are_listed_and_pruned_with_the_cache_they_lie_in(store: RegionStore) -> None:
    store.region(DIGEST, lambda: IMAGE)
    (row,) = list_tables(store.folder.parent)
    assert (row.name, row.model) == (store.folder.name, "regions-blobs")
    with store.working():
        assert prune(store.folder.parent) == []
    assert len(prune(store.folder.parent)) == 1
    assert store.kept(DIGEST) is None
