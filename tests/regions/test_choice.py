"""Paths, their choice by score, saliency and GrabCut: drawn scenes, and photographs of known outline."""

import json
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from mlproject.regions import RegionFinder, RegionResult, find_settings
from mlproject.regions.choice import grabcut, saliency
from mlproject.regions.masks import overlap, score
from mlproject.regions.settings import LIMITS, Paths, Refine
from tests.regions.drawn import disc, paint, plain, rectangle

PHOTOGRAPHS = Path(__file__).parents[2] / "benchmarks" / "photographs"
RELATIVE = LIMITS["relative"]
SIZE = (120, 160)
GREY = disc(45, 60, 22, SIZE)
COLOUR = disc(115, 60, 22, SIZE)
SIDES = st.integers(1, 24)
PICTURES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


def two_objects() -> np.ndarray:
    """A dark grey disc, which only Otsu sees, and a red one as bright as the ground, which only HSV sees."""
    image = paint(GREY, (40, 40, 40), (128, 128, 128))
    image[COLOUR] = (216, 91, 91)
    return image


def find(image: np.ndarray, paths: str = "best", refine: str = "none") -> RegionResult:
    return RegionFinder(settings=find_settings("blobs", paths=paths, refine=refine), root=Path()).find(image)


@pytest.mark.parametrize(
    ("paths", "mask", "sources"),
    [
        ("grey-first", GREY, {"otsu"}),
        ("grey", GREY, {"otsu"}),
        ("colour", COLOUR, {"hsv"}),
        ("both", GREY | COLOUR, {"otsu", "hsv"}),
    ],
)
def test_every_path_finds_its_own_objects(paths: str, mask: np.ndarray, sources: set[str]) -> None:
    region = find(two_objects(), paths)
    assert overlap(region.mask, mask) > 0.95
    assert {source for source, _, _ in region.prompts} == {item.source for item in region.objects} == sources
    assert (region.facts["path"], region.facts["fallback"]) == (paths, "none")
    assert region.facts["n_points"] == len(region.prompts)


def test_a_path_without_blobs_falls_back_as_before() -> None:
    region = find(paint(GREY), "colour")
    assert (region.facts["path"], region.facts["fallback"], region.facts["score"]) == ("colour", "centre", 0)
    assert region.prompts == (("fallback", 79, 59),)
    assert find(plain(90), "best").facts["fallback"] == "centre"


def test_the_best_path_is_the_one_that_scores_highest() -> None:
    image = two_objects()
    region = find(image, "best")
    scores = {name: region.facts[f"score_{name}"] for name in ("grey", "colour", "both", "saliency")}
    assert region.facts["path"] == max(scores, key=lambda name: scores[name])
    assert region.facts["score"] == max(scores.values())
    for name in ("grey", "colour", "both"):
        mask = find(image, name).mask
        assert scores[name] == pytest.approx(score(image, mask).value, abs=1e-6)


def test_a_dark_corner_loses_against_a_coloured_object_in_the_middle() -> None:
    image = paint(rectangle(0, 0, 50, 40, SIZE), (20, 20, 20), (128, 128, 128))
    image[middle := disc(80, 60, 30, SIZE)] = (216, 91, 91)
    assert overlap(find(image, "grey-first").mask, middle) == 0
    assert overlap(find(image, "best").mask, middle) > 0.95


def test_saliency_is_nothing_on_a_plain_image_and_highest_where_colours_are_unlike_the_border() -> None:
    assert not saliency(plain(77, SIZE)).any()
    assert not saliency(plain(77, (1, 1))).any()
    salient = saliency(paint(COLOUR, (216, 91, 91), (40, 160, 60)))
    assert salient.max() == 1
    assert salient[COLOUR].min() > salient[~COLOUR].mean()


def test_grabcut_completes_an_object_from_a_part_of_it() -> None:
    mask = disc(80, 60, 32, SIZE)
    noise = np.random.default_rng(0).integers(-20, 20, (*SIZE, 3))
    image = np.clip(paint(mask, (190, 60, 50), (60, 110, 70)) + noise, 0, 255).astype(np.uint8)
    start = disc(70, 55, 18, SIZE)
    refined = grabcut(image, start, RELATIVE)
    assert overlap(start, mask) < 0.4
    assert overlap(refined, mask) > 0.9
    cv2.setRNGSeed(7)
    cv2.randu(np.zeros(9, np.uint8), 0, 9)
    assert np.array_equal(grabcut(image, start, RELATIVE), refined), "the same input, the same mask"
    nothing = np.zeros(SIZE, np.bool_)
    assert overlap(grabcut(image, nothing, RELATIVE), mask) > 0.9, "everything within the frame may be object"


def test_a_refined_mask_that_scores_far_less_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(image, labels, *rest, **more):
        labels[:] = cv2.GC_BGD

    monkeypatch.setattr(cv2, "grabCut", lose)
    mask = disc(80, 60, 32, SIZE)
    assert np.array_equal(grabcut(paint(mask), mask, RELATIVE), mask)


def test_a_start_that_leaves_no_background_stays_as_it_is() -> None:
    full = np.ones((8, 8), np.bool_)
    assert np.array_equal(grabcut(plain(90, (8, 8)), full, RELATIVE), full)


@settings(max_examples=40)
@given(image=PICTURES, paths=st.sampled_from(get_args(Paths)), refine=st.sampled_from(get_args(Refine)))
def test_any_picture_has_a_region_made_of_its_objects_by_any_path(image, paths: str, refine: str) -> None:
    region = find(image, paths, refine)
    union = np.zeros(image.shape[:2], np.bool_)
    for item in region.objects:
        x, y = item.point
        mask = RegionResult(size=region.size, counts=item.counts, prompts=(), objects=(), facts={}).mask
        assert mask[y, x]
        union |= mask
    assert np.array_equal(union, region.mask)
    assert all(0 <= x < image.shape[1] and 0 <= y < image.shape[0] for _, x, y in region.prompts)
    assert 0 <= region.facts["score"] <= 1
    assert find(image, paths, refine).mask.tolist() == region.mask.tolist()


def outlined(part: str) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for entry in json.loads((PHOTOGRAPHS / "photographs.json").read_text("utf-8")):
        image = np.asarray(Image.open(PHOTOGRAPHS / f"{entry['name']}.jpg"))
        mask = np.zeros(image.shape[:2], np.uint8)
        for line in entry["outlines"]:
            cv2.fillPoly(mask, [np.array(line, np.int32)], 1)
        for line in entry.get("holes", []):
            cv2.fillPoly(mask, [np.array(line, np.int32)], 0)
        if entry["part"] == part:
            pairs.append((image, mask.astype(np.bool_)))
    return pairs


def test_half_of_the_object_is_found_in_most_photographs_kept_for_the_final_check() -> None:
    pairs = outlined("final")
    assert len(pairs) == 21
    regions = [find(image, "best", "grabcut") for image, _ in pairs[::3]]
    ious = [overlap(region.mask, mask) for region, (_, mask) in zip(regions, pairs[::3], strict=True)]
    assert np.median(ious) >= 0.5
    trusted = [iou for iou, region in zip(ious, regions, strict=True) if region.facts["score"] >= 0.25]
    assert np.mean(np.array(trusted) >= 0.5) > 0.7


def test_photographs_state_author_licence_and_source() -> None:
    for entry in json.loads((PHOTOGRAPHS / "photographs.json").read_text("utf-8")):
        assert entry["licence"] in ("public domain", "CC0 1.0")
        assert entry["author"]
        assert entry["source"].startswith(("https://", "scikit-image"))
