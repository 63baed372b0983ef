"""Blobs against closed forms: shapes whose mask, point, area and circularity are known."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlproject.data import load_images
from mlproject.errors import BadInput, WrongUse
from mlproject.regions.blobs import border, circularity, find_blobs
from mlproject.regions.masks import measure
from mlproject.regions.settings import LIMITS, find_limits
from tests.regions.drawn import HEIGHT, WIDTH, contour_of, disc, paint, plain, rectangle

RELATIVE, SEED = LIMITS["relative"], LIMITS["seed"]
SIDES = st.integers(1, 40)
PICTURES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
TWO_LEVELS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.bool_, size))


@pytest.mark.parametrize("value", [0, 77, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (28, 28), (HEIGHT, WIDTH)])
def test_a_flat_image_has_no_blob_and_its_centre_for_a_prompt(value: int, size: tuple[int, int]) -> None:
    found = find_blobs(plain(value, size), RELATIVE)
    assert found.fallback == "centre"
    assert not found.mask.any()
    assert [(b.source, b.point) for b in found.blobs] == [
        ("fallback", ((size[1] - 1) // 2, (size[0] - 1) // 2))
    ]


@pytest.mark.parametrize(("front", "back", "polarity"), [(40, 200, "dark"), (220, 30, "bright")])
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_a_disc_is_found_to_the_pixel_whether_dark_or_bright(front, back, polarity, limits) -> None:
    mask = disc(250, 180, 70)
    found = find_blobs(paint(mask, front, back), limits)
    (blob,) = found.blobs
    assert (found.polarity, found.fallback, found.border_share) == (polarity, "none", 1.0)
    assert (blob.source, blob.point) == ("otsu", (250, 180))
    assert min(front, back) <= found.otsu_threshold < max(front, back)
    inside = disc(250, 180, 69)
    assert (found.mask <= mask).all()  # opening may round what a square does not reach
    assert (found.mask >= inside).all()


def test_a_rectangle_keeps_every_pixel_and_its_contour_has_one_less_a_side() -> None:
    mask = rectangle(100, 50, 120, 90)
    found = find_blobs(paint(mask), RELATIVE)
    (blob,) = found.blobs
    assert np.array_equal(found.mask, mask)
    assert np.array_equal(blob.mask, mask)
    assert blob.polygon_area == 119 * 89
    assert blob.point == (100 + 119 // 2, 50 + 89 // 2)


def test_a_region_at_the_border_is_found_whole() -> None:
    mask = rectangle(60, 150, 170, HEIGHT - 150)
    found = find_blobs(paint(mask), RELATIVE)
    assert np.array_equal(found.mask, mask)
    assert found.border_share == pytest.approx(1 - 170 / border(mask).size, abs=1e-9)
    assert measure(found.mask).touches_border


def test_where_both_classes_hold_half_of_the_border_the_dark_one_is_the_object() -> None:
    left = rectangle(0, 0, WIDTH // 2, HEIGHT)
    assert border(left).mean() == 0.5
    for front, back, expected in [(20, 220, left), (220, 20, ~left)]:
        found = find_blobs(paint(left, front, back), RELATIVE)
        assert found.polarity == "dark"
        assert np.array_equal(found.mask, expected)


def test_a_rings_centroid_falls_into_its_hole_and_is_replaced_by_a_deepest_point() -> None:
    mask = disc(250, 180, 90) & ~disc(250, 180, 60)
    (blob,) = find_blobs(paint(mask), RELATIVE).blobs
    x, y = blob.point
    assert blob.mask[y, x]
    assert math.hypot(x - 250, y - 180) == pytest.approx(75, abs=1.5)
    assert measure(blob.mask).holes == 1


def test_an_ls_point_is_the_peak_of_the_distance_transform() -> None:
    mask = rectangle(80, 40, 60, 290) | rectangle(80, 270, 340, 60)
    (blob,) = find_blobs(paint(mask), RELATIVE).blobs
    x, y = blob.point
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert mask[y, x]
    assert depth[y + 1, x + 1] == depth.max()


def test_what_is_longer_than_four_to_one_is_no_blob_of_the_seeds_and_becomes_its_fallback() -> None:
    for length, fallback in [(401, "none"), (411, "shape")]:
        mask = rectangle(30, 100, length, 101)
        found = find_blobs(paint(mask), SEED)
        assert (found.fallback, found.blobs[0].source) == (
            fallback,
            "otsu" if fallback == "none" else "fallback",
        )
        assert np.array_equal(found.mask, mask)
    assert find_blobs(paint(mask), RELATIVE).fallback == "none"


def test_the_most_elongated_regions_are_a_fallback_under_relative_limits_too() -> None:
    found = find_blobs(paint(rectangle(20, 100, 460, 9)), RELATIVE)
    assert (found.fallback, found.funnel["otsu_off_border"], found.funnel["otsu_round"]) == ("shape", 1, 0)


@pytest.mark.parametrize(("length", "width"), [(50, 50), (100, 10), (200, 5), (41, 11)], ids=str)
def test_circularity_of_a_rectangle_has_a_closed_form(length: int, width: int) -> None:
    found = circularity(contour_of(rectangle(20, 20, length, width)))
    a, b = length - 1, width - 1
    assert found == pytest.approx(math.pi * a * b / (a + b) ** 2, rel=1e-6)


@pytest.mark.parametrize(("radius", "expected"), [(5, 0.763), (10, 0.832), (20, 0.867), (40, 0.887)])
def test_circularity_of_discs_as_opencv_draws_them(radius: int, expected: float) -> None:
    drawn = cv2.circle(np.zeros((100, 100), np.uint8), (50, 50), radius, 1, -1)
    assert circularity(contour_of(drawn)) == pytest.approx(expected, abs=0.0006)


@pytest.mark.parametrize(("width", "left"), [(4, 0), (5, 1)])
def test_two_openings_delete_whatever_is_under_five_pixels(width: int, left: int) -> None:
    found = find_blobs(paint(rectangle(100, 100, 100, width)), SEED)
    assert found.funnel["otsu_contours"] == left


def test_opening_follows_the_images_size() -> None:
    assert [RELATIVE.steps(2, side) for side in (1, 28, 94, 375, 3000)] == [0, 0, 1, 2, 16]
    assert [SEED.steps(2, side) for side in (1, 28, 375, 3000)] == [2, 2, 2, 2]


def test_colour_is_found_where_grey_sees_nothing() -> None:
    image = paint(disc(300, 200, 60), (216, 91, 91), (128, 128, 128))
    assert len(np.unique(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))) == 1
    found = find_blobs(image, RELATIVE)
    assert [(blob.source, blob.point) for blob in found.blobs] == [("hsv", (300, 200))]
    assert not found.otsu.any()
    assert np.array_equal(found.mask, found.hsv)


def test_a_saturated_background_is_no_blob() -> None:
    sky = rectangle(0, 0, WIDTH, 260)
    found = find_blobs(paint(sky, (20, 60, 220), (90, 90, 90)), RELATIVE)
    assert (found.funnel["hsv_in_area"], found.funnel["hsv_off_border"]) == (1, 0)
    assert not found.hsv.any()


def test_blobs_come_largest_first_and_at_most_32() -> None:
    mask = np.zeros((400, 400), np.bool_)
    for i in range(40):
        row, column = divmod(i, 8)
        mask |= rectangle(10 + 48 * column, 10 + 75 * row, 20 + i % 7, 20, (400, 400))
    found = find_blobs(paint(mask), RELATIVE)
    areas = [blob.polygon_area for blob in found.blobs]
    assert (len(areas), found.funnel["otsu_round"], found.funnel["points"]) == (32, 40, 32)
    assert areas == sorted(areas, reverse=True)
    assert measure(found.mask).components == 32


@pytest.mark.parametrize("size", [(28, 28), (375, 500), (3000, 4000)])
def test_the_same_scene_gives_the_same_region_at_every_size(size: tuple[int, int]) -> None:
    height, width = size
    mask = disc(width // 2, height // 2, height / 4, size)
    found = find_blobs(paint(mask), RELATIVE)
    assert found.mask.mean() == pytest.approx(mask.mean(), rel=0.03)
    assert len(found.blobs) == 1


def test_garments_of_the_embedded_set_are_found_by_grey_alone() -> None:
    images = load_images("embedded")
    found = [find_blobs(images.read(i), RELATIVE) for i in range(0, len(images), 60)]
    assert np.mean([one.polarity == "bright" for one in found]) > 0.97
    assert np.mean([one.fallback == "none" for one in found]) > 0.9
    assert all(one.fallback != "centre" for one in found)
    assert 0.25 < np.mean([one.mask.mean() for one in found]) < 0.55


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["float", "grey", "alpha", "nothing"],
)
def test_anything_but_rgb_bytes_is_refused(image: np.ndarray) -> None:
    with pytest.raises(BadInput, match="must be uint8 RGB"):
        find_blobs(image, RELATIVE)


def test_unknown_limits_are_refused_with_those_that_exist() -> None:
    with pytest.raises(WrongUse, match="did you mean relative"):
        find_limits("relativ")


@settings(max_examples=60)
@given(image=PICTURES, limits=st.sampled_from(list(LIMITS.values())))
def test_every_prompt_lies_in_the_image_and_on_its_own_blob(image: np.ndarray, limits) -> None:
    found = find_blobs(image, limits)
    height, width = image.shape[:2]
    union = np.zeros((height, width), np.bool_)
    for blob in found.blobs:
        x, y = blob.point
        assert 0 <= x < width
        assert 0 <= y < height
        assert blob.label == 0 or blob.mask[y, x]
        assert 2 * border(blob.mask).sum() <= border(blob.mask).size
        union |= blob.mask
    assert np.array_equal(union, found.mask)
    assert (found.fallback == "centre") == (not found.mask.any())
    funnel = found.funnel
    assert (
        funnel["otsu_contours"] >= funnel["otsu_in_area"] >= funnel["otsu_off_border"] >= funnel["otsu_round"]
    )
    assert funnel["hsv_contours"] >= funnel["hsv_in_area"] >= funnel["hsv_off_border"]
    assert len(found.blobs) == funnel["points"] >= 1


@settings(max_examples=60)
@given(mask=TWO_LEVELS)
def test_the_negative_of_two_levels_has_the_same_region(mask: np.ndarray) -> None:
    assume(border(mask).mean() != 0.5)
    positive, negative = (find_blobs(paint(m, 30, 220), RELATIVE) for m in (mask, ~mask))
    assert np.array_equal(positive.mask, negative.mask)


@settings(max_examples=60)
@given(mask=TWO_LEVELS, axis=st.sampled_from([0, 1]))
def test_the_mirror_image_has_the_mirrored_region(mask: np.ndarray, axis: int) -> None:
    image = paint(mask, 30, 220)
    found, mirrored = (find_blobs(i, RELATIVE) for i in (image, np.ascontiguousarray(np.flip(image, axis))))
    assert found.fallback == mirrored.fallback
    if found.fallback == "none":  # of several refused shapes of one size either may be taken
        assert np.array_equal(np.flip(found.mask, axis), mirrored.mask)
