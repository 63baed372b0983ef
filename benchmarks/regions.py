"""CPU milliseconds of the blob stage for one image, overlays apart, on one core.

    PYTHONPATH=src python benchmarks/regions.py

Process time, one OpenCV thread, median of rounds. Scenes are drawn from a seed: a fish on a textured ground
at 500 x 375 and 4000 x 3000, noise with many contours, and an embedded 28 x 28 image. ``stage`` is all that
regions.csv says of an image: Otsu, HSV, funnel, points, masks, run-length codes.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

os.environ |= {"OMP_NUM_THREADS": "1"}

import cv2
import numpy as np

from mlproject.data import load_images
from mlproject.regions import RegionFinder, find_settings
from mlproject.regions.blobs import find_blobs
from mlproject.report import overlay, png

BAR = 15.0


def main() -> None:
    cv2.setNumThreads(1)
    finder = RegionFinder(settings=find_settings("blobs"), root=Path())
    limits = finder.settings.limits
    print(f"{'CPU ms an image':24}{'Otsu alone':>12}{'blobs':>10}{'stage':>10}{'overlay':>10}{'prompts':>10}")
    for name, image in scenes().items():
        rounds = 3 if image.shape[0] > 1000 else 40
        found = finder.find(image)
        times = [
            clock(lambda i=image: otsu_alone(i), rounds),
            clock(lambda i=image: find_blobs(i, limits), rounds),
            clock(lambda i=image: finder.find(i), rounds),
            clock(lambda i=image, f=found: png(overlay(i, f)), rounds),
        ]
        print(
            f"{name:24}" + "".join(f"{t:{w}.2f}" for t, w in zip(times, (12, 10, 10, 10), strict=True)),
            end="",
        )
        print(f"{len(found.prompts):10}  {'over the bar' if '500' in name and times[2] > BAR else ''}")


def otsu_alone(image: np.ndarray) -> None:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)


def clock(work, rounds: int) -> float:
    work()
    seen = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seen.append(time.process_time() - start)
    return 1000 * median(seen)


def scenes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (375, 500, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    images = load_images("embedded")
    return {
        "fish 500x375": fish((375, 500), rng),
        "pure noise 500x375": noise,
        "smooth noise 500x375": cv2.normalize(blurred, None, 0, 255, cv2.NORM_MINMAX),
        "fish 4000x3000": fish((3000, 4000), rng),
        "embedded 28x28": images.read(0),
    }


def fish(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    height, width = size
    ground = cv2.resize(rng.normal(170, 18, (height // 8, width // 8, 3)), (width, height))
    image = np.clip(ground + rng.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)
    centre, axes = (width // 2, height // 2), (width // 4, height // 7)
    cv2.ellipse(image, centre, axes, 15, 0, 360, (60, 75, 50), -1)
    cv2.circle(image, (centre[0] - axes[0] // 2, centre[1] - height // 20), height // 60, (230, 230, 220), -1)
    return image


if __name__ == "__main__":
    main()
