"""Pictures of regions: an image with its mask's outline and its prompt points, and a contact sheet of many.

Colours: Okabe and Ito 2008; points are orange (Otsu), blue (HSV) or purple (fallback) inside a white ring,
the outline is white on black.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mlproject.regions.found import Found

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

LARGEST_SIDE, SMALLEST_SIDE = 1024, 224
"""Longest side of an overlay: photos are reduced, small images enlarged by a whole number."""
COLOURS = {"otsu": (230, 159, 0), "hsv": (86, 180, 233), "fallback": (204, 121, 167)}
BLACK, WHITE, PAPER, INK = (0, 0, 0), (255, 255, 255), (250, 250, 250), (30, 30, 30)
COLUMNS, TILE, CAPTION, MARGIN, HEAD = 6, (228, 171), 18, 6, 26
"""The sheet: tiles a row, width and height of a tile, height of its caption, gaps, height of the legend."""
N_SHEET = 24


def overlay(image: Pixels, found: Found, largest: int = LARGEST_SIDE) -> Pixels:
    """The picture, [h, w, 3], of an image, [H, W, 3], at most so large; what is not in the mask is darker."""
    height, width = found.size
    side = max(found.size)
    scale = largest / side if side > largest else max(1, SMALLEST_SIDE // side)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    shown = cv2.resize(image, size, interpolation=smooth).astype(np.uint8)
    mask = cv2.resize(found.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    shown[mask == 0] = (shown[mask == 0] * 0.7).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(max(size) / 400))
    cv2.drawContours(shown, lines, -1, BLACK, thick + 2)
    cv2.drawContours(shown, lines, -1, WHITE, thick)
    radius = max(3, round(max(size) / 120))
    for source, x, y in found.prompts:
        centre = (int((x + 0.5) * scale), int((y + 0.5) * scale))
        cv2.circle(shown, centre, radius + 2, BLACK, -1, cv2.LINE_AA)
        cv2.circle(shown, centre, radius + 1, WHITE, -1, cv2.LINE_AA)
        cv2.circle(shown, centre, radius, COLOURS[source], -1, cv2.LINE_AA)
    return shown


def contact_sheet(tiles: Sequence[tuple[str, Pixels]], title: str) -> Pixels:
    """Overlays with their captions, six a row, under a title and a legend of the points' colours."""
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
    at = width - MARGIN
    for source, colour in reversed(COLOURS.items()):
        at -= int(draw.textlength(source, font)) + 6
        draw.text((at, 5), source, INK, font)
        draw.ellipse((at - 14, 7, at - 5, 16), colour, INK)
        at -= 18
    draw.text((MARGIN, 5), _fitting(draw, font, title, at - MARGIN), INK, font)


def _fitting(draw: ImageDraw.ImageDraw, font: Font, text: str, width: int) -> str:
    """The end of a text that is as wide as there is room for."""
    shown = text
    while shown and draw.textlength(shown, font) > width:
        shown = "…" + shown[2:] if shown.startswith("…") else "…" + shown[1:]
    return shown
