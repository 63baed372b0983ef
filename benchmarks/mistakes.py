"""Coverage of the intervals of mistakes by scale, simulated: `python benchmarks/mistakes.py`.

κ: an image of difficulty h ~ N(0, 1) is right in a run of a cell where a + δ + ε > b h, with δ ~ N(0, s^2) of
the run and ε ~ N(0, 1) of run and image, part of which the cells of a seed share. κ of runs of different
seeds is then an integral over h. Two cells of accuracies 0.73 and 0.87 or 0.87 and 0.97 are compared, and
one with itself (on the diagonal). With one seed, κ is that of the two runs.

Calibration: confidences c, right with probability logistic(logit(c) / T_r), T_r = T exp(s z_r) of the run.
The calibration error is that over bins of equal probability, and the ECE that is expected of so few images.

Printed: the share of 95 % intervals that hold the value, how many lie above and below it, and their mean
width.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy import special

from mlproject.analysis.calibration import N_BINS, binned_errors
from mlproject.analysis.error_consistency import kappas

Array = NDArray[np.float64]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(200)
WEIGHTS /= WEIGHTS.sum()
SHARED = 0.3  # part of the variance of ε that the cells of a seed share
HEADER = f"{'':40s} {'held':>6s} {'above':>6s} {'below':>6s} {'width':>6s}"


def kappa_of(a: Array, b: float, spread: Array) -> Array:
    """κ [cells, cells] of cells of thresholds a [cells], of runs that differ by ``spread`` [cells]."""
    right = special.ndtr((a[:, None] - b * NODES) / np.sqrt(1.0 + spread[:, None] ** 2))
    p = right @ WEIGHTS
    both = (right * WEIGHTS) @ right.T
    observed = 2.0 * both - p[:, None] - p + 1.0
    expected = np.outer(p, p) + np.outer(1.0 - p, 1.0 - p)
    return (observed - expected) / (1.0 - expected)


def simulate_kappa(a: Array, b: float, spread: float, n_seeds: int, n_images: int, rng: np.random.Generator):
    """Right or wrong [seeds, cells, images], and the κ that the intervals are of."""
    delta = spread * rng.normal(size=(n_seeds, len(a)))
    hard = rng.normal(size=n_images)
    own = rng.normal(size=(n_seeds, len(a), n_images))
    noise = np.sqrt(SHARED) * rng.normal(size=(n_seeds, 1, n_images)) + np.sqrt(1.0 - SHARED) * own
    if n_seeds == 1:
        noise = own  # the κ of two runs is then an integral as well
    right = (a[:, None] + delta[:, :, None] + noise > b * hard).astype(float)
    truth = kappa_of(a, b, np.full(len(a), spread))
    return right, kappa_of(a + delta[0], b, np.zeros(len(a))) if n_seeds == 1 else truth


def kappa_coverage(n_draws: int, rng: np.random.Generator) -> None:
    """Coverage of κ between two cells, and of one with itself."""
    for a, b in (((1.0, 1.8), 1.5), ((1.8, 3.0), 1.5), ((1.0, 1.8), 4.0)):
        for n_images in (100, 500, 2000):
            for n_seeds in (1, 2, 3, 5):
                drawn = [simulate_kappa(np.array(a), b, 0.15, n_seeds, n_images, rng) for _ in range(n_draws)]
                limits = [kappas(right, np.ones(right.shape[:2]))[1:3] for right, _ in drawn]
                for name, at in (("between", (0, 1)), ("itself", (0, 0)))[: min(n_seeds, 2)]:
                    rows = [
                        (t[at], low[at], high[at]) for (_, t), (low, high) in zip(drawn, limits, strict=True)
                    ]
                    known = [row for row in rows if np.isfinite(row[1])]
                    report(f"κ {name}, a {a}, b {b}, {n_seeds} × {n_images}", known)


def calibration_coverage(n_draws: int, rng: np.random.Generator) -> None:
    """Coverage of the calibration error, and of the ECE that is expected of so many images."""
    for temperature, spread in ((1.0, 0.0), (1.2, 0.1), (2.0, 0.1), (2.0, 0.4)):
        truth = calibration_error(temperature, spread)
        for n_images in (100, 500, 2000):
            for n_seeds in (1, 2, 3, 5):
                known, eces = [], []
                for _ in range(n_draws):
                    confidences, right, of_runs = simulate_calibration(
                        temperature, spread, n_seeds, n_images, rng
                    )
                    error, ece, _ = binned_errors(confidences, right)
                    known.append((of_runs if n_seeds == 1 else truth, error.low, error.high))
                    eces.append((ece.value, ece.low, ece.high))
                name = f"T {temperature} ± {spread}, {n_seeds} × {n_images}"
                report(f"calibration error, {name}", known)
                if n_seeds > 1:  # that of one run depends on the run
                    expected = float(np.mean([value for value, _, _ in eces]))
                    report(f"ECE, {name}", [(expected, low, high) for _, low, high in eces])


def simulate_calibration(
    temperature: float, spread: float, n_seeds: int, n_images: int, rng: np.random.Generator
):
    """Confidences and what is right [seeds, images], and the calibration error of these runs."""
    each = temperature * np.exp(spread * rng.normal(size=n_seeds))
    hard = rng.normal(size=n_images)
    confidences = special.expit(1.8 + 1.2 * (0.8 * hard + 0.6 * rng.normal(size=(n_seeds, n_images))))
    chance = special.expit(special.logit(confidences) / each[:, None])
    right = (rng.random(confidences.shape) < chance).astype(float)
    return confidences, right, float(np.sqrt(np.mean([squared_error(value) for value in each])))


def calibration_error(temperature: float, spread: float) -> float:
    """The root of the expectation over runs of the squared calibration error."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    errors = [squared_error(temperature * np.exp(spread * z)) for z in nodes]
    return float(np.sqrt(weights @ np.array(errors) / weights.sum()))


def squared_error(temperature: float) -> float:
    """Of one run, over bins of equal probability."""
    quantiles = special.ndtri((np.arange(10_000) + 0.5) / 10_000)
    c = special.expit(1.8 + 1.2 * quantiles)
    gap = c - special.expit(special.logit(c) / temperature)
    return float(np.mean(gap.reshape(N_BINS, -1).mean(axis=1) ** 2))


def report(name: str, known: list[tuple[float, float, float]]) -> None:
    """A row: of intervals (value, low, high), how many hold the value."""
    value, low, high = np.array(known).T
    held = np.mean((low <= value) & (value <= high))
    print(
        f"{name:40s} {held:6.3f} {np.mean(low > value):6.3f} {np.mean(high < value):6.3f} "
        f"{np.mean(high - low):6.3f}"
    )


def main() -> None:
    """Both simulations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("kappa", "calibration"))
    parser.add_argument("--draws", type=int, default=400)
    given = parser.parse_args()
    print(HEADER)
    start = time.process_time()
    if given.only != "calibration":
        kappa_coverage(given.draws, np.random.default_rng(1))
    if given.only != "kappa":
        calibration_coverage(given.draws, np.random.default_rng(2))
    print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
