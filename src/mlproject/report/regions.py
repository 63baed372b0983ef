"""What a run of regions leaves: a row for each image, all masks as COCO's run-length code, a summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlproject.regions.found import Fact, Found
from mlproject.report.escape import markdown
from mlproject.report.rows import to_csv

Row = Mapping[str, Fact]
CATEGORIES = ({"id": 1, "name": "region"}, {"id": 2, "name": "object"})
"""The region of an image is the union of its objects, one for each prompt that gave a mask."""
FUNNEL = {
    "n_otsu_contours": "Otsu: outer contours",
    "n_otsu_in_area": "within the area limits",
    "n_otsu_off_border": "not holding most of the border",
    "n_otsu_round": "within the circularity limits",
    "n_hsv_contours": "HSV: outer contours",
    "n_hsv_in_area": "within the area limits",
    "n_hsv_off_border": "not holding most of the border",
    "n_points": "prompt points",
}
AGREEMENT = {"iou_otsu_hsv": "Otsu and HSV", "iou_otsu_sam": "Otsu and SAM", "iou_hsv_sam": "HSV and SAM"}


def regions_csv(rows: Iterable[Row]) -> bytes:
    """One row for each image; a column for each fact."""
    return to_csv(rows)


def coco_json(images: Iterable[tuple[str, Found]]) -> bytes:
    """All regions and objects that have a pixel, as a COCO data set that ``pycocotools.coco.COCO`` loads."""
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, found) in enumerate(images, 1):
        height, width = found.size
        listed.append({"id": number, "file_name": name, "height": height, "width": width})
        for annotation in _annotations(found):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    content = {"images": listed, "annotations": annotations, "categories": CATEGORIES}
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _annotations(found: Found) -> Iterator[dict[str, Any]]:
    facts = found.facts
    if facts["area"]:
        box = [facts[name] for name in ("x", "y", "width", "height")]
        yield _annotation(1, found, found.counts, facts["area"], box)
    for one in found.objects:
        shape = one.shape
        if not shape.area:
            continue
        box = [shape.x, shape.y, shape.width, shape.height]
        said: dict[str, Any] = {"source": one.source, "point": list(one.point)}
        if one.scores:
            said |= {"score": one.scores[one.chosen], "scores": list(one.scores), "chosen": one.chosen}
            said |= {"stability_score": one.stability, "logits_sha256": one.logits_sha256}
        yield _annotation(2, found, one.counts, shape.area, box) | said


def _annotation(category: int, found: Found, counts: str, area: Fact, box: Sequence[Fact]) -> dict[str, Any]:
    segmentation = {"size": list(found.size), "counts": counts}
    known = {"category_id": category, "iscrowd": 0, "area": area, "bbox": list(box)}
    return {**known, "segmentation": segmentation}


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Means and shares over images; an agreement counts the images in which either mask has a pixel."""
    n = len(rows)
    found = {"images": float(n)}
    found |= {name: float(sum(float(row[name]) for row in rows)) for name in FUNNEL}
    for kind in ("shape", "centre"):
        found[f"fallback_{kind}_share"] = sum(row["fallback"] == kind for row in rows) / n
    found["empty_share"] = sum(bool(row["empty"]) for row in rows) / n
    found["bright_share"] = sum(row["polarity"] == "bright" for row in rows) / n
    for name in ("fraction", "predicted_iou", "stability_score", *AGREEMENT):
        values = [float(row[name]) for row in rows if row[name] != ""]
        if values:
            found[f"mean_{name}"] = float(np.mean(values))
            found[f"n_{name}"] = float(len(values))
    return found | {"seconds": float(sum(float(row["seconds"]) for row in rows))}


def summary_md(found: Mapping[str, float], title: str) -> str:
    """The summary as a page: funnel, fallbacks, masks, agreement."""
    parts = [f"# {markdown(title)}", _masks(found), _funnel(found), _fallbacks(found), _agreement(found)]
    return "\n\n".join(parts) + "\n"


def _masks(found: Mapping[str, float]) -> str:
    text = (
        f"{found['images']:,.0f} images, {found['seconds']:,.1f} seconds when they were first computed. "
        f"A region holds {found['mean_fraction']:.1%} of its image on average; {found['empty_share']:.1%} of "
        f"the regions are empty; {found['bright_share']:.1%} of the objects are brighter than what is around."
    )
    if "mean_predicted_iou" in found:
        text += f" SAM's mean predicted IoU is {found['mean_predicted_iou']:.3f}"
        text += f", the mean stability {found.get('mean_stability_score', float('nan')):.3f}."
    return text


def _funnel(found: Mapping[str, float]) -> str:
    rows = [f"| {label} | {found[name]:,.0f} |" for name, label in FUNNEL.items()]
    return "## Funnel\n\n| step | contours |\n| --- | --: |\n" + "\n".join(rows)


def _fallbacks(found: Mapping[str, float]) -> str:
    return (
        "## Fallback\n\n"
        f"{found['fallback_shape_share']:.1%} of the images: only circularity stood against their largest "
        f"contour, which was taken. {found['fallback_centre_share']:.1%}: nothing was found, and the image's "
        "centre is the prompt."
    )


def _agreement(found: Mapping[str, float]) -> str:
    rows = [
        f"| {label} | {found[f'mean_{name}']:.3f} | {found[f'n_{name}']:,.0f} |"
        for name, label in AGREEMENT.items()
        if f"mean_{name}" in found
    ]
    head = "## Agreement\n\nIntersection over union, over images in which either mask has a pixel.\n\n"
    return head + "| masks | mean IoU | images |\n| --- | --: | --: |\n" + "\n".join(rows)
