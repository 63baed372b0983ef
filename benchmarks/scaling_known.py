"""The scaling benchmark's sections with a known truth: coverage at few scales, exponents of images."""

from __future__ import annotations

import time

import numpy as np
from scaling_scores import coverage

from mlproject.scaling import average, fit, image_exponents

METHODS = {"average": average, "fit power_floor": fit}


def known_truth(repeats: int) -> None:
    """E + 1.5 x^-a at few scales, three seeds, 2 % noise; predict ten times beyond. Bar: cov 0.93 to 0.99."""
    print(f"\nknown truth, {repeats} data sets a row; bar: intervals hold 0.93 to 0.99 (loss at 10x, alpha)")
    print(f"{'scales':>6s} {'E':>4s} {'method':16s} {'error':>7s} {'width':>7s}   {'loss':29s} alpha")
    for n_scales in (3, 4, 6, 8):
        for floor in (0.0, 0.3):
            rows = np.array([known_row(n_scales, floor, seed) for seed in range(repeats)])
            for name, (error, width, loss, alpha) in zip(METHODS, rows.transpose(1, 2, 0), strict=True):
                held = [coverage(int(which.sum()), repeats) for which in (loss, alpha)]
                numbers = f"{n_scales:6d} {floor:4.1f} {name:16s} {error.mean():7.4f} {np.median(width):7.3f}"
                print(f"{numbers}   {held[0]:29s} {held[1]}", flush=True)


def known_row(n_scales: int, floor: float, seed: int) -> list[tuple[float, float, bool, bool]]:
    """For each method the log error at 10x, the log width, and whether loss and alpha are held."""
    rng = np.random.default_rng([seed, n_scales])
    alpha = rng.choice([0.2, 0.35, 0.5, 0.8])
    x = np.repeat(np.geomspace(1.0, 10**1.5, n_scales), 3)
    y = (floor + 1.5 * x**-alpha) * np.exp(0.02 * rng.standard_normal(len(x)))
    at = 10**2.5
    truth, row = floor + 1.5 * at**-alpha, []
    for method in METHODS.values():
        found = method(x, y)
        p = found.predict([at])
        width = float(np.log(p.high[0] / p.low[0]))
        inside = bool(p.low[0] <= truth <= p.high[0])
        row.append(
            (abs(float(np.log(p.mean[0] / truth))), width, inside, found.parameters["alpha"].holds(alpha))
        )
    return row


def per_image() -> None:
    """50,000 images by seven sizes. Bar: 10 s."""
    rng, sizes = np.random.default_rng(0), 100.0 * 2.0 ** np.arange(7)
    alpha = 0.2 + 0.1 * rng.standard_normal(50_000)
    losses = np.exp(0.3 * rng.standard_normal((50_000, 7))) * sizes ** -alpha[:, None]
    start = time.process_time()
    found = image_exponents(sizes, losses)
    spent = time.process_time() - start
    z = (found.exponent - alpha) / found.standard_error
    print(
        f"\nper image: 50,000 x 7 in {spent:.3f} s (bar 10 s); sd of z {z.std():.3f};"
        f" mean {found.mean:.4f}, spread {found.spread:.4f}"
    )
