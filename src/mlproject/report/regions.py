"""The report of a region run: pictures of the regions, all masks in COCO's format, a table and a summary.

Colours: Okabe and Ito 2008; points are orange (Otsu), blue (HSV), green (saliency) or purple (fallback)
inside a white ring, the outline is white on black, or red where the region is not to be trusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mlproject.regions import Fact, RegionResult
from mlproject.report.document import Answer, Document, Section, Table
from mlproject.report.formats import as_count, as_fixed, as_text

Row = Mapping[str, Fact]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

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
DOUBTFUL_BELOW = 0.25
"""A region that scores less is not to be trusted: on the photographs of known outline that it was chosen on,
85 % of the masks above had an IoU of at least 0.5, and 19 % of those below (EXPERIMENTS.md)."""
MEASURED = {
    "blobs": 0.29, "blobs seed limits": 0.03, "blobs grey": 0.33, "blobs colour": 0.04, "blobs both": 0.23,
    "blobs best": 0.63, "blobs grabcut": 0.23, "blobs best grabcut": 0.71,
}  # fmt: skip
"""Median IoU by settings on the photographs that were kept for the final check."""
BEST, CHANCE = "blobs best grabcut", 0.45
"""The settings with the highest IoU there, and the IoU of a centred box of half the image's sides."""
AGREEMENT = {"iou_otsu_hsv": "Otsu and HSV", "iou_otsu_sam": "Otsu and SAM", "iou_hsv_sam": "HSV and SAM"}
LARGEST_SIDE, SMALLEST_SIDE = 1024, 224
"""Longest side of an overlay: photos are reduced, small images enlarged by a whole number."""
COLOURS = {
    "otsu": (230, 159, 0),
    "hsv": (86, 180, 233),
    "saliency": (0, 158, 115),
    "fallback": (204, 121, 167),
}
BLACK, WHITE, PAPER, INK = (0, 0, 0), (255, 255, 255), (250, 250, 250), (30, 30, 30)
DOUBT = (213, 94, 0)
COLUMNS, TILE, CAPTION, MARGIN, HEAD = 6, (228, 171), 18, 6, 26
"""The sheet: tiles a row, width and height of a tile, height of its caption, gaps, height of the legend."""
N_SHEET = 24


def region_document(rows: Sequence[Row], title: str) -> Document:
    """Summary of a region run: how many candidates passed each step, fallbacks, agreement, every image."""
    numbers = region_summary(rows)
    marked = [{**row, "doubtful": is_doubtful(row)} for row in rows]
    funnel = [{"step": label, "contours": numbers[name]} for name, label in FUNNEL.items()]
    agreement = [
        {"masks": label, "iou": numbers[f"mean_{name}"], "images": numbers[f"n_{name}"]}
        for name, label in AGREEMENT.items()
        if f"mean_{name}" in numbers
    ]
    steps = {"step": as_text("step"), "contours": as_count("contours")}
    pairs = {"masks": as_text("masks"), "mean IoU": as_fixed("iou", 3), "images": as_count("images")}
    rule = "Intersection over union, over images in which either mask has a pixel."
    agreed = Table(name="agreement", rows=agreement, formats=pairs, caption=rule)
    sections = (
        Section(title="Paths", tables=(_paths(rows),)),
        Section(title="Funnel", tables=(Table(name="funnel", rows=funnel, formats=steps),)),
        Section(title="Fallback", paragraphs=(_fallbacks(numbers),)),
        Section(title="Agreement", tables=(agreed,)),
        Section(title="Images", tables=(Table(name="regions", rows=[*marked]),)),
    )
    return Document(
        title=title, answer=Answer(result=(_trust(rows, numbers), _masks(numbers))), sections=sections
    )


def region_summary(rows: Sequence[Row]) -> dict[str, float]:
    """Means and shares over images; an agreement counts the images in which either mask has a pixel."""
    n = len(rows)
    numbers = {"images": float(n)}
    numbers |= {name: float(sum(float(row[name]) for row in rows)) for name in FUNNEL}
    for kind in ("shape", "centre"):
        numbers[f"fallback_{kind}_share"] = sum(row["fallback"] == kind for row in rows) / n
    numbers["doubtful_share"] = sum(is_doubtful(row) for row in rows) / n
    numbers["empty_share"] = sum(bool(row["empty"]) for row in rows) / n
    numbers["bright_share"] = sum(row["polarity"] == "bright" for row in rows) / n
    for name in ("fraction", "score", "predicted_iou", "stability_score", *AGREEMENT):
        values = [float(row[name]) for row in rows if row[name] != ""]
        if values:
            numbers[f"mean_{name}"] = float(np.mean(values))
            numbers[f"n_{name}"] = float(len(values))
    return numbers | {"seconds": float(sum(float(row["seconds"]) for row in rows))}


def is_doubtful(facts: Row) -> bool:
    """Whether a region is not to be trusted: it is empty, or scores too little."""
    return float(facts["score"]) < DOUBTFUL_BELOW


def _trust(rows: Sequence[Row], numbers: Mapping[str, float]) -> str:
    """How many regions are not to be trusted, how well these settings were measured, and what is better."""
    n_doubtful, settings = sum(is_doubtful(row) for row in rows), str(rows[0]["method"])
    measured = MEASURED.get(settings)
    text = (
        f"{n_doubtful:,} of {len(rows):,} regions ({numbers['doubtful_share']:.1%}) are not to be trusted: "
        f"they score below {DOUBTFUL_BELOW} (doubtful in regions.csv, outlined in red in the overlays). "
    )
    if measured is None:
        text += "These settings were not measured on photographs of known outline."
    else:
        text += (
            "On 21 photographs of known outline these settings gave a median IoU of "
            f"{measured:.2f} (a centred box: {CHANCE:.2f})."
        )
    if n_doubtful and settings in MEASURED and settings != BEST:
        text += f" With paths=best and refine=grabcut it was {MEASURED[BEST]:.2f}."
    return text + " A high score does not make a region right: look at the overlays."


def _paths(rows: Sequence[Row]) -> Table:
    """How many images took which path, and how their regions score."""
    table = []
    for path in sorted({str(row["path"]) for row in rows}):
        group = [row for row in rows if row["path"] == path]
        numbers = region_summary(group)
        n_doubtful = round(numbers["doubtful_share"] * len(group))
        mean = numbers["mean_score"]
        table.append({"path": path, "images": len(group), "score": mean, "doubtful": n_doubtful})
    formats = {"path": as_text("path"), "images": as_count("images"), "mean score": as_fixed("score", 3)}
    formats["not to be trusted"] = as_count("doubtful")
    rule = "Score: contrast x centrality x compactness x (1 - border contact) x extent, each 0 to 1."
    return Table(name="paths", rows=table, formats=formats, caption=rule)


def _masks(numbers: Mapping[str, float]) -> str:
    text = (
        f"{numbers['images']:,.0f} images, {numbers['seconds']:,.1f} seconds when first computed. A region "
        f"covers {numbers['mean_fraction']:.1%} of its image on average; {numbers['empty_share']:.1%} of the "
        f"regions are empty; {numbers['bright_share']:.1%} of the objects are brighter than their "
        "surroundings."
    )
    if "mean_predicted_iou" in numbers:
        text += f" SAM's mean predicted IoU is {numbers['mean_predicted_iou']:.3f}"
        text += f", its mean stability score {numbers.get('mean_stability_score', float('nan')):.3f}."
    return text


def _fallbacks(numbers: Mapping[str, float]) -> str:
    return (
        f"{numbers['fallback_shape_share']:.1%} of the images: the largest contour failed the limits of "
        f"circularity alone, and was taken. {numbers['fallback_centre_share']:.1%}: no contour was found, "
        "and the centre of the image is the prompt."
    )


def coco_json(images: Iterable[tuple[str, RegionResult]]) -> bytes:
    """All regions and objects that have a pixel, as a COCO data set that ``pycocotools.coco.COCO`` loads."""
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, region) in enumerate(images, 1):
        height, width = region.size
        listed.append({"id": number, "file_name": name, "height": height, "width": width})
        for annotation in _annotations(region):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
    content = {"images": listed, "annotations": annotations, "categories": CATEGORIES}
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _annotations(region: RegionResult) -> Iterator[dict[str, Any]]:
    facts = region.facts
    if facts["area"]:
        box = [facts[name] for name in ("x", "y", "width", "height")]
        yield _annotation(1, region, region.counts, facts["area"], box)
    for item in region.objects:
        shape = item.shape
        if not shape.area:
            continue
        box = [shape.x, shape.y, shape.width, shape.height]
        origin: dict[str, Any] = {"source": item.source, "point": list(item.point)}
        if item.scores:
            origin |= {"score": item.scores[item.chosen], "scores": list(item.scores), "chosen": item.chosen}
            origin |= {"stability_score": item.stability, "logits_sha256": item.logits_sha256}
        yield _annotation(2, region, item.counts, shape.area, box) | origin


def _annotation(
    category: int, region: RegionResult, counts: str, area: Fact, box: Sequence[Fact]
) -> dict[str, Any]:
    segmentation = {"size": list(region.size), "counts": counts}
    shape = {"category_id": category, "iscrowd": 0, "area": area, "bbox": list(box)}
    return {**shape, "segmentation": segmentation}


def overlay(image: Pixels, region: RegionResult, largest: int = LARGEST_SIDE) -> Pixels:
    """An image [H, W, 3] with outline and prompts drawn, resized to [h, w, 3]; pixels outside are darker."""
    height, width = region.size
    side = max(region.size)
    scale = largest / side if side > largest else max(1, SMALLEST_SIDE // side)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    shown = cv2.resize(image, size, interpolation=smooth).astype(np.uint8)
    mask = cv2.resize(region.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    shown[mask == 0] = (shown[mask == 0] * 0.7).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(max(size) / 400))
    cv2.drawContours(shown, lines, -1, BLACK, thick + 2)
    cv2.drawContours(shown, lines, -1, DOUBT if _doubted(region) else WHITE, thick)
    radius = max(3, round(max(size) / 120))
    for source, x, y in region.prompts:
        centre = (int((x + 0.5) * scale), int((y + 0.5) * scale))
        cv2.circle(shown, centre, radius + 2, BLACK, -1, cv2.LINE_AA)
        cv2.circle(shown, centre, radius + 1, WHITE, -1, cv2.LINE_AA)
        cv2.circle(shown, centre, radius, COLOURS[source], -1, cv2.LINE_AA)
    if "score" in region.facts and largest > TILE[0]:
        _write_score(shown, region)
    return shown


def _doubted(region: RegionResult) -> bool:
    return "score" in region.facts and is_doubtful(region.facts)


def _write_score(shown: Pixels, region: RegionResult) -> None:
    """Write the score, and whether it is too low, into the lower left corner of an overlay."""
    low = _doubted(region)
    text = f"score {float(region.facts['score']):.2f}{': not to be trusted' if low else ''}"
    size, font = max(0.4, max(shown.shape[:2]) / 1200), cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    bottom = shown.shape[0]
    cv2.rectangle(shown, (0, bottom - height - 9), (width + 6, bottom), BLACK, -1)
    cv2.putText(shown, text, (3, bottom - 5), font, size, WHITE, 1, cv2.LINE_AA)


def caption(name: str, region: RegionResult) -> str:
    """A picture's caption on the contact sheet: its name and its score."""
    return f"{name} · {float(region.facts['score']):.2f}{' doubtful' if _doubted(region) else ''}"


def contact_sheet(tiles: Sequence[tuple[str, Pixels]], title: str) -> Pixels:
    """Overlays with captions, six in a row, under a title and a legend of the points' colours."""
    columns, rows = max(3, min(COLUMNS, len(tiles))), -(-len(tiles) // COLUMNS)
    step = (TILE[0] + MARGIN, TILE[1] + CAPTION + MARGIN)
    sheet = Image.new("RGB", (columns * step[0] + MARGIN, HEAD + rows * step[1] + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    _legend(draw, font, title, sheet.width)
    for i, (caption, picture) in enumerate(tiles):
        left, top = MARGIN + (i % COLUMNS) * step[0], HEAD + (i // COLUMNS) * step[1]
        small = Image.fromarray(picture)
        small.thumbnail(TILE, Image.Resampling.BOX)
        sheet.paste(small, (left + (TILE[0] - small.width) // 2, top + TILE[1] - small.height))
        draw.text((left, top + TILE[1] + 2), _fitting(draw, font, caption, TILE[0]), INK, font)
    return np.array(sheet)


def png(picture: Pixels | Mask) -> bytes:
    """A PNG of an RGB picture, [h, w, 3], or of a mask, [H, W], as 0 and 255."""
    if picture.dtype == np.bool_:
        content = picture.astype(np.uint8) * np.uint8(255)
    else:
        content = np.ascontiguousarray(picture[..., ::-1])
    _, encoded = cv2.imencode(".png", content)
    return encoded.tobytes()


def _legend(draw: ImageDraw.ImageDraw, font: Font, title: str, width: int) -> None:
    at = width - MARGIN - int(draw.textlength("doubtful", font)) - 6
    draw.text((at, 5), "doubtful", INK, font)
    draw.rectangle((at - 15, 7, at - 5, 16), None, DOUBT, 2)
    at -= 20
    for source, colour in reversed(COLOURS.items()):
        at -= int(draw.textlength(source, font)) + 6
        draw.text((at, 5), source, INK, font)
        draw.ellipse((at - 14, 7, at - 5, 16), colour, INK)
        at -= 18
    draw.text((MARGIN, 5), _fitting(draw, font, title, at - MARGIN), INK, font)


def _fitting(draw: ImageDraw.ImageDraw, font: Font, text: str, width: int) -> str:
    """The longest end of a text that fits a width in pixels."""
    shown = text
    while shown and draw.textlength(shown, font) > width:
        shown = "…" + shown[2:] if shown.startswith("…") else "…" + shown[1:]
    return shown
