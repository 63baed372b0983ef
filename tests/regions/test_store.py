"""Regions on disk: found once, whole or absent, the same value back."""

from pathlib import Path

import pytest

from mlproject.features import list_tables, prune
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
def test_a_damaged_region_is_found_again(store: RegionStore, damage) -> None:
    first = store.region(DIGEST, lambda: IMAGE)
    (path,) = store.folder.glob("*.json")
    path.write_bytes(damage(path.read_bytes()))
    assert store.kept(DIGEST) is None
    assert store.region(DIGEST, lambda: IMAGE).counts == first.counts
    assert store.finder.n_found == 2


def test_settings_never_share_a_folder(tmp_path: Path) -> None:
    stores = [RegionStore(tmp_path, find_settings("blobs", limits=limits)) for limits in ("relative", "seed")]
    assert stores[0].folder != stores[1].folder


def test_regions_are_listed_and_pruned_with_the_cache_they_lie_in(store: RegionStore) -> None:
    store.region(DIGEST, lambda: IMAGE)
    (row,) = list_tables(store.folder.parent)
    assert (row.name, row.model) == (store.folder.name, "regions-blobs")
    with store.working():
        assert prune(store.folder.parent) == []
    assert len(prune(store.folder.parent)) == 1
    assert store.kept(DIGEST) is None
