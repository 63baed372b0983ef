"""A check of every picture in a folder: drawn, of a sensible size, and not cut off at its edges."""

import numpy as np
from matplotlib.image import imread


def assert_not_blank(folder):
    for path in folder.rglob("*.png"):
        pixels = imread(path)[..., :3]
        ink = np.mean(pixels.min(axis=2) < 0.9)
        assert min(pixels.shape[:2]) > 300, path.name
        assert 0.005 < ink < 0.95, path.name
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert edge.min() > 0.9, f"{path.name} is cut off"
    assert all(path.read_bytes().startswith(b"%PDF") for path in folder.rglob("*.pdf"))
