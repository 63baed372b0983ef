"""Run-length codes and measures of masks, against pycocotools and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from mlproject.regions.masks import MaskShape, decode, encode, measure, overlap
from tests.regions.drawn import disc, rectangle

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
