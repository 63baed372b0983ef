"""Images whose regions are known to the pixel."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT, WIDTH = 375, 500


def plain(value: int | tuple[int, int, int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def rectangle(x: int, y: int, width: int, height: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size, np.bool_)
    mask[y : y + height, x : x + width] = True
    return mask


def disc(x: int, y: int, radius: float, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def paint(mask: np.ndarray, front=(40, 40, 40), back=(200, 200, 200)) -> np.ndarray:
    """The mask in one colour (or grey) on another."""
    image = np.empty((*mask.shape, 3), np.uint8)
    image[:], image[mask] = back, front
    return image


def contour_of(mask: np.ndarray) -> np.ndarray:
    (found,), _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(found, np.int32)
