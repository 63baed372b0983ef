"""Region reports: means and shares of a run, COCO masks read back by pycocotools, pictures of their size."""

import io
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco

from mlproject.regions import RegionObject, RegionResult, find_settings
from mlproject.regions.masks import encode, measure
from mlproject.regions.settings import LIMITS, Paths, Refine
from mlproject.report import (
    TILE,
    caption,
    coco_json,
    contact_sheet,
    overlay,
    png,
    region_document,
    region_summary,
    render_markdown,
    terminal_text,
)
from mlproject.report.regions import AGREEMENT, BEST, FUNNEL, MEASURED

MASKS = hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def row(**changes):
    counts = dict.fromkeys(FUNNEL, 2)
    shares = dict.fromkeys(AGREEMENT, "")
    facts = {"fallback": "", "empty": False, "polarity": "bright", "fraction": 0.25, "seconds": 0.5}
    facts |= {"path": "grey-first", "score": 0.5, "method": "blobs"}
    return counts | shares | facts | {"predicted_iou": "", "stability_score": ""} | changes


def result(mask, *, prompts=(), scores=(), **facts):
    shape = measure(mask)
    facts |= {name: getattr(shape, name) for name in ("area", "x", "y", "width", "height")}
    item = RegionObject(
        source="otsu", point=(0, 0), counts=encode(mask), shape=shape, scores=scores, stability=0.9
    )
    return RegionResult(size=mask.shape, counts=encode(mask), prompts=prompts, objects=(item,), facts=facts)


def test_shares_are_of_all_images_and_means_of_those_that_have_a_value():
    rows = [
        row(iou_otsu_hsv=0.5),
        row(iou_otsu_hsv=1.0, fallback="shape", empty=True),
        row(polarity="dark", fraction=""),
    ]
    numbers = region_summary([*rows, row(fallback="centre", seconds=1.5)])
    assert (numbers["images"], numbers["n_points"], numbers["seconds"]) == (4.0, 8.0, 3.0)
    assert (numbers["fallback_shape_share"], numbers["fallback_centre_share"]) == (0.25, 0.25)
    assert (numbers["empty_share"], numbers["bright_share"]) == (0.25, 0.75)
    assert (numbers["mean_iou_otsu_hsv"], numbers["n_iou_otsu_hsv"]) == (0.75, 2.0)
    assert (numbers["mean_fraction"], numbers["n_fraction"]) == (0.25, 3.0)
    assert "mean_predicted_iou" not in numbers
    assert "mean_iou_hsv_sam" not in numbers


@given(st.permutations([row(fraction=f, seconds=s) for f, s in ((0.1, 1.0), (0.2, 2.0), (0.7, 4.0))]))
def test_the_order_of_the_images_does_not_matter(rows):
    assert region_summary(rows) == pytest.approx(region_summary(sorted(rows, key=lambda r: r["fraction"])))


def test_the_page_and_the_terminal_give_the_same_shares():
    document = region_document([row(iou_otsu_hsv=0.5), row(fallback="centre", iou_otsu_hsv=1.0)], "Regions")
    page, text = render_markdown(document), " ".join(terminal_text(document, width=400).split())
    for shown in (page, text):
        assert "covers 25.0% of its image on average" in shown
        assert "50.0%: no contour was found" in shown
        assert "Otsu and HSV" in shown
        assert "0.750" in shown
        assert "HSV and SAM" not in shown
    assert "SAM's" not in page


def test_scores_of_sam_are_reported_where_it_was_used():
    answer = region_document([row(predicted_iou=0.9, stability_score=0.8)], "Regions").answer.result
    assert answer[-1].endswith("SAM's mean predicted IoU is 0.900, its mean stability score 0.800.")


def test_the_summary_says_first_how_many_regions_are_not_to_be_trusted_and_what_was_measured():
    rows = [row(score=0.24), row(score=0.0, empty=True), row(score=0.25, path="colour"), row()]
    document = region_document(rows, "Regions")
    assert document.answer.result[0].startswith(
        "2 of 4 regions (50.0%) are not to be trusted: they score below 0.25"
    )
    assert (
        "gave a median IoU of 0.29 (a centred box: 0.45). With paths=best and refine=grabcut"
        in document.answer.result[0]
    )
    assert [table["doubtful"] for table in document.tables[0].rows] == [0, 2]
    assert [table["path"] for table in document.tables[0].rows] == ["colour", "grey-first"]
    (images,) = (table for table in document.tables if table.name == "regions")
    assert [image["doubtful"] for image in images.rows] == [True, True, False, False]
    assert region_summary(rows)["doubtful_share"] == 0.5


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("blobs best grabcut", "median IoU of 0.71 (a centred box: 0.45). A high"),
        ("sam vit_b", "were not measured"),
    ],
)
def test_other_settings_are_recommended_only_where_they_were_measured_to_be_better(method, says):
    text = region_document([row(score=0.1, method=method)], "Regions").answer.result[0]
    assert says in text
    assert "With paths=best" not in text


def test_every_setting_whose_figure_is_given_exists():
    labels = {
        find_settings("blobs", paths=paths, refine=refine, limits=limits).label
        for paths in get_args(Paths)
        for refine in get_args(Refine)
        for limits in LIMITS
    }
    assert set(MEASURED) <= labels
    assert max(MEASURED, key=MEASURED.__getitem__) == BEST


@settings(max_examples=40)
@given(MASKS)
def test_masks_in_coco_format_come_back_pixel_by_pixel(mask):
    content = json.loads(coco_json([("a.png", result(mask))]))
    (image,) = content["images"]
    assert (image["height"], image["width"], image["file_name"]) == (*mask.shape, "a.png")
    assert len(content["annotations"]) == (2 if mask.any() else 0)
    for annotation in content["annotations"]:
        segmentation = annotation["segmentation"]
        decoded = coco.decode({"size": segmentation["size"], "counts": segmentation["counts"].encode()})
        assert np.array_equal(decoded.astype(bool), mask)
        assert annotation["area"] == mask.sum() == coco.area(segmentation)
        assert annotation["bbox"] == coco.toBbox(segmentation).tolist()


def test_annotations_are_numbered_through_and_belong_to_their_image():
    full, empty = np.ones((2, 3), bool), np.zeros((2, 3), bool)
    images = [("a", result(full)), ("b", result(empty)), ("c", result(full))]
    content = json.loads(coco_json(images))
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in content["annotations"]] == [
        (1, 1, 1), (2, 1, 2), (3, 3, 1), (4, 3, 2),
    ]  # fmt: skip


def test_scores_stand_with_the_object_that_they_are_of():
    content = json.loads(coco_json([("a", result(np.ones((2, 2), bool), scores=(0.7, 0.9)))]))
    region, item = content["annotations"]
    assert "score" not in region
    assert (item["score"], item["scores"], item["stability_score"]) == (0.7, [0.7, 0.9], 0.9)


@pytest.mark.parametrize(
    ("size", "want"),
    [((32, 32), (224, 224)), ((10, 20), (110, 220)), ((300, 500), (300, 500)), ((1000, 2048), (500, 1024))],
)
def test_small_images_are_enlarged_by_a_whole_number_and_photos_reduced(size, want):
    picture = overlay(np.full((*size, 3), 200, np.uint8), result(np.ones(size, bool)))
    assert picture.shape == (*want, 3)


def test_pixels_outside_the_region_are_darker_and_prompts_have_their_colour():
    mask = np.zeros((300, 300), bool)
    mask[:, 150:] = True
    picture = overlay(np.full((300, 300, 3), 200, np.uint8), result(mask, prompts=(("hsv", 220, 100),)))
    assert picture[50, 20].tolist() == [140, 140, 140]
    assert picture[50, 290].tolist() == [200, 200, 200]
    assert picture[100, 220].tolist() == [86, 180, 233]


@pytest.mark.parametrize(("score", "outline"), [(0.1, (213, 94, 0)), (0.5, (255, 255, 255))])
def test_regions_not_to_be_trusted_have_an_outline_of_their_own_and_captions_say_so(score, outline):
    mask = np.zeros((300, 300), bool)
    mask[100:200, 100:200] = True
    region = result(mask, score=score)
    picture = overlay(np.full((300, 300, 3), 120, np.uint8), region)
    assert tuple(picture[150, 100]) == outline
    assert (picture[290, :20] == 0).all(1).any(), "the score is written into the lower left corner"
    assert caption("a.png", region) == {0.1: "a.png · 0.10 doubtful", 0.5: "a.png · 0.50"}[score]


def test_a_sheet_has_a_tile_for_each_image_six_in_a_row():
    tile = ("a.png", np.full((40, 40, 3), 120, np.uint8))
    heights = [contact_sheet([tile] * n, "Regions").shape[0] for n in (1, 6, 7)]
    widths = [contact_sheet([tile] * n, "Regions").shape[1] for n in (1, 3, 6, 7)]
    assert heights[0] == heights[1] < heights[2]
    assert widths[0] == widths[1] < widths[2] == widths[3]
    assert widths[3] > 6 * TILE[0]


def test_a_caption_of_any_length_stays_in_its_tile():
    picture = np.full((40, 40, 3), 120, np.uint8)
    short, long = (contact_sheet([(name, picture)], "T" * 200) for name in ("a", "x" * 500))
    assert short.shape == long.shape


@given(MASKS)
@settings(max_examples=20)
def test_a_mask_as_png_is_black_and_white(mask):
    image = np.array(Image.open(io.BytesIO(png(mask))))
    assert np.array_equal(image, mask * 255)


def test_a_picture_as_png_keeps_its_colours():
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    assert np.array_equal(np.array(Image.open(io.BytesIO(png(picture)))), picture)
