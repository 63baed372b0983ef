"""Image sets of which only a region is left: partition, draws, digests, features that never mix."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlproject.data import load_images
from mlproject.errors import WrongUse
from mlproject.regions import find_settings, masked, settings_of
from mlproject.regions.settings import FILL, keep
from tests.regions import tiny

PAIRS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda size: st.tuples(arrays(np.uint8, (*size, 3)), arrays(np.bool_, size))
)


@given(pair=PAIRS)
def test_object_and_background_partition_the_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    image, mask = pair
    front, back = (keep(image, mask, background=side) for side in (False, True))
    whole = mask if mask.any() else np.ones_like(mask)
    assert np.array_equal(np.where(whole[..., None], front, back), image)
    assert (front[~whole] == FILL).all()
    assert (back[whole] == FILL).all()


def test_an_image_in_which_nothing_was_found_is_all_object() -> None:
    image = np.full((4, 5, 3), 9, np.uint8)
    none = np.zeros((4, 5), np.bool_)
    assert np.array_equal(keep(image, none, background=False), image)
    assert (keep(image, none, background=True) == FILL).all()


def test_draws_ids_and_split_stay_and_digests_do_not(tmp_path: Path) -> None:
    images = load_images("embedded")
    sets = [masked(images, region, settings_of(region), tmp_path) for region in ("blobs", "background")]
    for one in sets:
        assert one.ids == images.ids
        assert np.array_equal(one.evaluation(50), images.evaluation(50))
        drawn = [s.draw(70, seed=3, how="balanced", validation_size=20) for s in (one, images)]
        assert np.array_equal(*drawn)
        assert np.array_equal(one.only("bag").evaluation(9), images.only("bag").evaluation(9))
    every = [*images.digests, *sets[0].digests, *sets[1].digests]
    assert len(set(every)) == 3 * len(images)
    assert len({images.digest, sets[0].digest, sets[1].digest}) == 3


def test_whole_images_are_left_alone(tmp_path: Path) -> None:
    images = load_images("embedded")
    assert masked(images, "full", settings_of("full"), tmp_path) is images


def test_reading_gives_the_object_or_its_complement(tmp_path: Path) -> None:
    images = load_images("embedded")
    front, back = (masked(images, r, settings_of(r), tmp_path).read(7) for r in ("blobs", "background"))
    both = (front == FILL).all(-1).astype(int) + (back == FILL).all(-1)
    assert (both == 1).all()
    assert not list(tmp_path.iterdir()), "blobs cost less than a file"


def test_refined_regions_are_stored_and_object_and_background_share_them(tmp_path: Path) -> None:
    images = load_images("embedded")
    settings = settings_of("blobs", paths="best", refine="grabcut")
    assert settings == settings_of("background", paths="best", refine="grabcut") != settings_of("blobs")
    front, back = (masked(images, r, settings, tmp_path).read(7) for r in ("blobs", "background"))
    (kept,) = tmp_path.glob("regions-blobs-*/*.json")
    assert kept.stem == images.digests[7]
    assert np.array_equal(np.where((front == FILL).all(-1, keepdims=True), back, front), images.read(7))


def test_sams_regions_are_kept_and_its_background_is_their_complement(tmp_path, monkeypatch) -> None:
    path = str(tiny.install(tmp_path, monkeypatch))
    images = load_images("embedded")
    settings = settings_of("sam", path)
    assert settings_of("background", path) == settings
    assert settings_of("background") == settings_of("blobs", path)
    front, back = (masked(images, r, settings, tmp_path).read(7) for r in ("sam", "background"))
    (kept,) = tmp_path.glob("regions-sam-*/*.json")
    assert kept.stem == images.digests[7]
    assert np.array_equal(np.where((front == FILL).all(-1, keepdims=True), back, front), images.read(7))


def test_digests_of_the_settings_of_0_2_stay() -> None:
    digests = [find_settings("blobs", limits=limits).digest[:16] for limits in ("relative", "seed")]
    assert digests == ["892482e7bc90d71b", "107f6d1e036c084b"]


def test_labels_name_what_differs_from_the_defaults() -> None:
    assert find_settings("blobs").label == "blobs"
    assert find_settings("blobs", limits="seed", paths="both").label == "blobs seed limits both"
    assert find_settings("blobs", paths="best", refine="grabcut").label == "blobs best grabcut"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"paths": "gray"}, "unknown paths 'gray'; did you mean grey"),
        ({"refine": "grab-cut"}, "unknown refine 'grab-cut'; did you mean grabcut"),
        ({"method": "sam", "refine": "grabcut"}, "refine=grabcut is for method=blobs, not sam"),
    ],
)
def test_unknown_settings_and_combinations_are_refused(words: dict[str, str], says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        find_settings(**{"method": "blobs", **words})


def test_an_unknown_region_is_refused_and_sam_asks_for_its_checkpoint() -> None:
    with pytest.raises(WrongUse, match="unknown region 'blob'; did you mean blobs"):
        settings_of("blob")
    with pytest.raises(WrongUse, match="pass checkpoint="):
        settings_of("sam")
