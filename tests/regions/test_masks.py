"""Run-length codes and measures of masks, against pycocotools and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from mlproject.regions.masks import (
    NO_SCORE,
    MaskShape,
    decode,
    eccentricity,
    encode,
    measure,
    overlap,
    score,
)
from tests.regions.drawn import disc, paint, rectangle

SIDES = st.integers(1, 30)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.bool_, size))


@given(mask=MASKS)
def test_a_run_length_code_gives_its_own_mask_back(mask: np.ndarray) -> None:
    size = (mask.shape[0], mask.shape[1])
    assert np.array_equal(decode(encode(mask), size), mask)


@given(mask=MASKS)
def test_measures_are_those_of_pycocotools(mask: np.ndarray) -> None:
    code = {"size": list(mask.shape), "counts": encode(mask).encode()}
    shape = measure(mask)
    assert shape.area == coco.area(code) == mask.sum()
    if shape.area:
        assert [shape.x, shape.y, shape.width, shape.height] == coco.toBbox(code).tolist()
    assert shape.fraction == mask.mean()


def test_the_code_of_a_known_mask() -> None:
    # Columns of a 6 x 4 mask, top to bottom: 9 off, 2 on, 2 off, 2 on, 2 off, 2 on, 5 off.
    runs = [9, 2, 2, 2, 2, 2, 5]
    flat = np.repeat([i % 2 == 1 for i in range(len(runs))], runs)
    mask = flat.reshape(4, 6).T
    rle = coco.frPyObjects({"size": [6, 4], "counts": runs}, 6, 4)
    assert encode(mask) == rle["counts"].decode()
    assert measure(mask).area == 6


def test_a_box_counts_its_pixels_and_parts_are_counted() -> None:
    mask = rectangle(2, 3, 3, 2, (20, 30)) | (disc(20, 10, 6, (20, 30)) & ~disc(20, 10, 3, (20, 30)))
    assert measure(rectangle(2, 3, 3, 2, (20, 30))) == MaskShape(
        area=6, fraction=0.01, x=2, y=3, width=3, height=2, components=1, holes=0, touches_border=False
    )
    assert (measure(mask).components, measure(mask).holes) == (2, 1)
    island = mask | disc(20, 10, 1, (20, 30))
    assert (measure(island).components, measure(island).holes) == (3, 1)


def test_an_empty_mask_has_no_shape() -> None:
    assert measure(np.zeros((3, 4), np.bool_)) == MaskShape(
        area=0, fraction=0.0, x=0, y=0, width=0, height=0, components=0, holes=0, touches_border=False
    )


def test_overlap_is_intersection_over_union() -> None:
    first, second = rectangle(0, 0, 2, 2, (4, 4)), rectangle(1, 0, 2, 2, (4, 4))
    assert overlap(first, second) == pytest.approx(2 / 6)
    assert overlap(first, first) == 1
    assert overlap(first, ~first) == 0
    assert overlap(first & ~first, second & ~second) is None


@pytest.mark.parametrize(
    "mask", [np.zeros((9, 9), np.bool_), np.ones((9, 9), np.bool_)], ids=["empty", "full"]
)
def test_a_mask_without_pixels_or_surroundings_has_no_score(mask: np.ndarray) -> None:
    assert score(paint(mask), mask) == NO_SCORE
    assert NO_SCORE.value == 0


def test_the_parts_of_a_score_have_closed_forms() -> None:
    size = (100, 160)
    mask = rectangle(40, 30, 80, 40, size)
    rated = score(paint(mask), mask)
    assert (rated.contrast, rated.compactness, rated.border_contact, rated.extent) == (1, 1, 0, 1)
    assert rated.centrality == pytest.approx(1 - eccentricity(size)[mask].mean())
    assert rated.value == pytest.approx(rated.centrality)
    assert eccentricity((2, 2)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert score(paint(mask & ~mask), mask).contrast == 0
    small = rectangle(79, 49, 2, 2, size)
    assert score(paint(small), small).extent == pytest.approx(10 * 4 / (100 * 160))
    left = rectangle(0, 0, 80, 100, size)
    assert score(paint(left), left).border_contact == pytest.approx((100 + 2 * 79) / (2 * 160 + 2 * 98))
    corner = rectangle(0, 0, 80, 40, size)
    assert score(paint(corner), corner).value < rated.value / 2
    bent = rectangle(40, 30, 80, 10, size) | rectangle(40, 30, 10, 40, size)
    assert score(paint(bent), bent).compactness == pytest.approx(1100 / (3200 - 70 * 30 / 2))


@given(mask=MASKS)
def test_scores_lie_between_0_and_1_and_do_not_depend_on_left_and_right(mask: np.ndarray) -> None:
    image = paint(mask, (200, 30, 30), (30, 120, 60))
    rated = score(image, mask)
    assert all(0 <= value <= 1 for value in (*vars(rated).values(), rated.value))
    mirrored = score(np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(mask[:, ::-1]))
    assert mirrored.value == pytest.approx(rated.value)


def test_the_same_scene_scores_alike_at_every_size() -> None:
    sizes = [(96, 128), (375, 500), (3000, 4000)]
    masks = [disc(w // 2, h // 2, h / 4, (h, w)) for h, w in sizes]
    values = [score(paint(mask), mask).value for mask in masks]
    assert max(values) - min(values) < 0.06  # reducing an image mixes colours along outlines
