"""How well regions fit the object of sixty photographs whose outlines were drawn by hand.

    PYTHONPATH=src python benchmarks/photographs.py [--part tuning|final|all] [--sheet overlays.png]

One row for each way of finding the object: intersection over union (IoU) with the outline over the
photographs, median with a 95 % interval (bootstrap over photographs), mean, share from 0.5, CPU milliseconds
a picture. The first rows guess without looking. Then: how the score separates good masks from bad ones, and
every photograph by the last method. Pictures, outlines, authors, licences: ``photographs/photographs.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1"}

import cv2
import numpy as np
from PIL import Image

from mlproject.regions import RegionFinder, RegionResult, RegionSettings, find_settings
from mlproject.regions.masks import overlap
from mlproject.report import DOUBTFUL_BELOW, contact_sheet, overlay, png

FOLDER = Path(__file__).with_suffix("")
GOOD = 0.5
CHOICES = [
    ("grey-first", "none", "seed"),
    *((p, "none", "relative") for p in ("grey-first", "grey", "colour")),
]
CHOICES += [("both", "none", "relative"), ("best", "none", "relative"), ("grey-first", "grabcut", "relative")]
CHOICES += [("best", "grabcut", "relative")]


@dataclass(frozen=True)
class Photograph:
    """A picture [H, W, 3] and the pixels of its object [H, W]; ``part`` says what it may be used for."""

    name: str
    part: str
    image: np.ndarray
    mask: np.ndarray


def photographs(part: str = "all") -> Iterator[Photograph]:
    for entry in json.loads((FOLDER / "photographs.json").read_text("utf-8")):
        if part in ("all", entry["part"]):
            image = np.asarray(Image.open(FOLDER / f"{entry['name']}.jpg").convert("RGB"))
            mask = np.zeros(image.shape[:2], np.uint8)
            for value, lines in ((1, entry["outlines"]), (0, entry.get("holes", []))):
                for line in lines:
                    cv2.fillPoly(mask, [np.array(line, np.int32)], value)
            yield Photograph(entry["name"], entry["part"], image, mask.astype(np.bool_))


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", choices=["tuning", "final", "all"], default="tuning")
    parser.add_argument("--sheet", type=Path)
    chosen = parser.parse_args()
    pictures = list(photographs(chosen.part))
    print(f"{len(pictures)} photographs ({chosen.part}); the object covers {share(pictures):.0%} (median)")
    print(f"{'method':38}{'median IoU':>11}{'95 % interval':>18}{'mean':>7}{'from 0.5':>10}{'CPU ms':>8}")
    for side in (0.5, 0.6, 0.7):
        row(f"guess: centred box, {side:.0%} of each side", pictures, lambda p, s=side: box(p, s))
    for paths, refine, limits in CHOICES:
        settings = find_settings("blobs", paths=paths, refine=refine, limits=limits)
        finder = RegionFinder(settings=settings, root=Path())
        found = row(settings.label, pictures, lambda p, f=finder: f.find(p.image))
    explain(settings, pictures, found)
    if chosen.sheet:
        tiles = [(p.name, overlay(p.image, f)) for p, f in zip(pictures, found, strict=True)]
        chosen.sheet.write_bytes(png(contact_sheet(tiles, f"{settings.label}, {chosen.part}")))


def share(pictures: list[Photograph]) -> float:
    return float(np.median([p.mask.mean() for p in pictures]))


def box(picture: Photograph, side: float) -> np.ndarray:
    height, width = picture.mask.shape
    top, left = round(height * (1 - side) / 2), round(width * (1 - side) / 2)
    mask = np.zeros_like(picture.mask)
    mask[top : height - top, left : width - left] = True
    return mask


def row(name: str, pictures: list[Photograph], find: Callable) -> list[RegionResult]:
    start = time.process_time()
    results = [find(picture) for picture in pictures]
    spent = 1000 * (time.process_time() - start) / len(pictures)
    ious = np.array([iou(r, p) for r, p in zip(results, pictures, strict=True)])
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(ious, (10_000, len(ious))), axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    numbers = f"{np.median(ious):11.3f}{f'[{low:.3f}, {high:.3f}]':>18}{ious.mean():7.3f}"
    print(f"{name:38}{numbers}{(ious >= GOOD).mean():10.0%}{spent:8.1f}")
    return results


def iou(result: RegionResult | np.ndarray, picture: Photograph) -> float:
    mask = result if isinstance(result, np.ndarray) else result.mask
    return overlap(mask, picture.mask) or 0.0


def explain(settings: RegionSettings, pictures: list[Photograph], found: list[RegionResult]) -> None:
    """How far the score tells good masks from bad ones, for masks of all methods and for the last one."""
    pairs = []
    for paths in ("grey", "colour", "both", "best"):
        finder = RegionFinder(settings=find_settings("blobs", paths=paths), root=Path())
        results = [finder.find(p.image) for p in pictures]
        pairs += [(r.facts["score"], iou(r, p)) for r, p in zip(results, pictures, strict=True)]
    last = [(r.facts["score"], iou(r, p)) for r, p in zip(found, pictures, strict=True)]
    for title, values in (("grey, colour, both, best", np.array(pairs)), (settings.label, np.array(last))):
        print(f"\nscore of {title}: masks, IoU from 0.5, median IoU")
        edges = [0, 0.1, 0.2, DOUBTFUL_BELOW, 0.3, 0.4, 1.01]
        for low, high in pairwise(edges):
            inside = values[(values[:, 0] >= low) & (values[:, 0] < high), 1]
            if inside.size:
                good, median = (inside >= GOOD).mean(), np.median(inside)
                print(f"{low:.2f} to {high:.2f} {inside.size:5}{good:7.0%}{median:7.2f}")
    print(f"\n{'photograph':24}{'IoU':>6}{'score':>7}  path")
    rated = [(iou(r, p), p.name, r.facts) for r, p in zip(found, pictures, strict=True)]
    for value, name, facts in sorted(rated, key=lambda item: item[0]):
        print(f"{name:24}{value:6.2f}{facts['score']:7.2f}  {facts['path']}")


if __name__ == "__main__":
    main()
