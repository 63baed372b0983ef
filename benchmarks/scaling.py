"""Scaling laws against their peers, all in one run: extrapolation error, coverage, width, CPU seconds.

    PYTHONPATH=src python benchmarks/scaling.py --curves curves.csv --chinchilla points.csv

``--curves``: the learning curves of Alabdulmohsin, Neyshabur, Zhai 2022 (columns Domain, Task, Model,
Seen Examples, Loss, Training; Training 1 fits, 0 tests). ``--chinchilla``: points of Besiroglu et al. 2024
(columns model_size, training_flop, loss). Neither ships with this repository. Without them the script runs
the sections with a known truth: simulated curves, simulated N x D grids, and per-image exponents
(``--repeats 0`` leaves them out; ``scaling_simulation.py`` plants every law). Packages of others run where
they are installed (``scaling_peers``), on ``--slow`` curves or the first fit, since each takes seconds.

RMSLE is the root mean squared log error; cov the share of held-out losses inside nominal 95 % intervals (of
the mean, and of a new run); width the median log width. A bar is what the project set out to reach. Takes
about ten minutes on one core; errors repeat exactly, seconds vary with the machine.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_classic import curve_fit_default, curve_fit_scaled, m4_objective, straight_line
from scaling_joint import chinchilla, grids
from scaling_known import known_truth, per_image
from scaling_peers import peers
from scaling_scores import rmsle, score_average, score_peer

from mlproject.scaling import fit

Array = NDArray[np.float64]
Curve = tuple[Array, Array, Array, Array]


def read_curves(path: Path, domain: str = "IC") -> list[Curve]:
    """Fit and test part of every curve, in order of scale."""
    groups: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["Domain"] == domain:
                point = float(row["Seen Examples"]), float(row["Loss"]), float(row["Training"])
                groups.setdefault((row["Task"], row["Model"]), []).append(point)
    tables = [np.array(sorted(rows)) for rows in groups.values()]
    return [(*t[t[:, 2] == 1, :2].T, *t[t[:, 2] == 0, :2].T) for t in tables]


def few(x: Array, y: Array, n: int = 8) -> tuple[Array, Array]:
    """``n`` points of a curve, equally spaced in log scale, both ends included."""
    at = np.linspace(np.log(x[0]), np.log(x[-1]), n) - 1e-9
    rows = np.unique(np.searchsorted(np.log(x), at))
    return x[rows], y[rows]


def by_law(law: str) -> Callable[[Array, Array, Array], Array]:
    """One law, solved to its optimum by this project's solver."""
    return lambda x, y, at: fit(x, y, law=law).predict(at).mean


PEERS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "curve_fit, default": curve_fit_default,
    "curve_fit, scaled, bounded": curve_fit_scaled,
    "log-log line": straight_line,
    "M2 (E + k x^-a)": by_law("power_floor"),
    "M3": by_law("m3"),
    "M4, its own objective": m4_objective,
    "M4, log loss": by_law("m4"),
    "BNSL, one break": by_law("bnsl1"),
}


def vision(curves: list[Curve], label: str, bars: str, slow: int) -> None:
    """Extrapolation of learning curves."""
    print(f"\n{label}: {len(curves)} curves. Bars: {bars}")
    print(
        f"{'method':28s} {'mean':>7s} {'median':>7s} {'worst':>7s}"
        f" {'cov':>6s} {'run':>6s} {'width':>6s} {'s':>6s}"
    )
    for name, method in PEERS.items():
        start = time.process_time()
        errors = np.array([rmsle(method(x, y, at), seen) for x, y, at, seen in curves])
        spent = (time.process_time() - start) / len(curves)
        print(
            f"{name:28s} {errors.mean():7.4f} {np.median(errors):7.4f} {errors.max():7.4f}"
            f" {'':20s} {spent:6.3f}"
        )
    vision_average(curves, "average (this project)")
    some = curves[:: max(1, len(curves) // slow)][:slow]
    for name, peer in peers(1).items():
        start = time.process_time()
        rows = np.array([score_peer(peer, x[:, None], y, at[:, None], seen) for x, y, at, seen in some])
        spent = (time.process_time() - start) / len(some)
        error, cover, width = rows.T
        print(
            f"{name[:28]:28s} {error.mean():7.4f} {np.median(error):7.4f} {error.max():7.4f}"
            f" {cover.mean():6.3f} {'':6s} {np.median(width):6.3f} {spent:6.3f} ({len(some)} of the curves)"
        )
    vision_average(some, f"average, the same {len(some)}")


def vision_average(curves: list[Curve], name: str) -> None:
    """The row of this project's average."""
    start = time.process_time()
    rows = np.array([score_average(x, y, at, seen) for x, y, at, seen in curves])
    spent = (time.process_time() - start) / len(curves)
    error, cover, run, width = rows.T
    print(
        f"{name:28s} {error.mean():7.4f} {np.median(error):7.4f} {error.max():7.4f}"
        f" {cover.mean():6.3f} {run.mean():6.3f} {np.median(width):6.3f} {spent:6.3f}"
    )


def main() -> None:
    """Run the sections that the arguments allow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--chinchilla", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--slow", type=int, default=8, help="curves for peers that take seconds each")
    arguments = parser.parse_args()
    if arguments.curves:
        curves = read_curves(arguments.curves)
        vision(curves, "vision, full curves", "mean 0.030, cov 0.93-0.98, width 0.13, 0.2 s", arguments.slow)
        short = [(*few(x, y), at, seen) for x, y, at, seen in curves]
        vision(short, "vision, 8 points each", "mean 0.035, cov 0.93-0.98, width 0.28, 0.2 s", arguments.slow)
    if arguments.chinchilla:
        chinchilla(arguments.chinchilla)
    if not arguments.repeats:
        return
    known_truth(arguments.repeats)
    grids(max(arguments.repeats // 5, 5))
    per_image()


if __name__ == "__main__":
    main()
