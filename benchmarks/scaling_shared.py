"""Rows that share noise: what intervals hold where an offset of each run or model is planted.

    PYTHONPATH=src python benchmarks/scaling_shared.py --repeats 100 [--average 16]

Grids of 6 models times 12 sizes of the data, a sum or a product, with an offset of each model: no column
of runs (*tested*), the models as runs (*stated*), or all rows taken as independent (*independent*). Curves
(``crossed``, ``staggered``, ``between``): 8 runs of 20 checkpoints at the same scales, at scales that start
later for each run, and of 5 rows at a single scale each. Offsets and noise are normal on ln L. Columns:
shares of 95 % intervals of the planted law that hold alpha, beta (grids), E, and the loss at 3 times the
largest scale (of each axis of a grid); median widths of alpha and of the (first) loss in ln L; shares of data
sets in which an offset was fitted, and in which it is reported (chance below 1 %). Bar: 0.93 to 0.98.

``--average``: instead, averages over laws of this many data sets: alpha far beyond the data, the local
exponent at the largest scale of a curve, the loss.
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from itertools import product
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import Points, average, fit
from mlproject.scaling.fitting import shared_noise

Array = NDArray[np.float64]
ALPHA, BETA, FLOOR = 0.34, 0.28, 0.2
CURVE = (0.4, 0.3)  # exponent and floor of the curves
AHEAD = 3.0
GRIDS, CURVES = ("separable", "product"), ("crossed", "staggered", "between")
TREATED = {"grid": ("independent", "tested", "stated"), "curve": ("independent", "stated")}
NOISES = {"grid": ((0.004, 0.001), (0.004, 0.01), (0.0, 0.01)), "curve": ((0.004, 0.001), (0.004, 0.01))}


def loss(kind: str, x: Array) -> Array:
    """The planted loss at scales [m, axes]."""
    if kind in CURVES:
        return np.asarray(CURVE[1] + 5 * x[:, 0] ** -CURVE[0])
    n, d = (x / np.array([3e7, 2e3])).T
    both = 0.5 * n**-ALPHA + 0.5 * d**-BETA if kind == "separable" else n**-ALPHA * d**-BETA
    return np.asarray(FLOOR + both)


def design(kind: str) -> tuple[Array, NDArray[np.intp]]:
    """Scales [m, axes] and the run of each row [m]."""
    if kind in GRIDS:
        n, d = np.meshgrid(np.geomspace(5e6, 2.7e8, 6), np.geomspace(200, 25600, 12), indexing="ij")
        return np.stack([n.ravel(), d.ravel()], axis=1), np.repeat(np.arange(6), 12)
    if kind == "between":
        return np.repeat(100 * 2.0 ** np.arange(8), 5)[:, None], np.repeat(np.arange(8), 5)
    later = 2.0 ** np.arange(8) if kind == "staggered" else np.ones(8)
    return np.outer(later, np.geomspace(100, 5000, 20)).ravel()[:, None], np.repeat(np.arange(8), 20)


def row(kind: str, offset: float, noise: float, treated: str, seed: int, averaged: bool) -> list[float]:
    """What the intervals of one data set hold, their widths, whether an offset was fitted and reported."""
    x, run = design(kind)
    rng = np.random.default_rng([seed, *kind.encode()])
    error = offset * rng.standard_normal(run.max() + 1)[run] + noise * rng.standard_normal(len(run))
    y, runs = loss(kind, x) * np.exp(error), run.tolist() if treated == "stated" else None
    at = x.max(axis=0) * (1.0 + (AHEAD - 1.0) * np.eye(x.shape[1]))
    truth = loss(kind, at)
    alpha, beta, floor = (ALPHA, BETA, FLOOR) if kind in GRIDS else (CURVE[0], np.nan, CURVE[1])
    if averaged:
        model = average(x, y, runs=runs)
        far = x.max(axis=0)[None] * np.exp([[-0.01], [0.01]])
        local = -np.diff(np.log(loss(kind, far)))[0] / 0.02
        third = model.local_exponent(float(x.max())).holds(local) if kind in CURVES else np.nan
        fitted = reported = np.nan
    else:
        ignored = treated == "independent"
        with mock.patch.object(shared_noise, "membership", none) if ignored else nullcontext():
            model = fit(x, y, law=kind if kind in GRIDS else "power_floor", runs=runs)
        third, fitted = model.parameters["E"].holds(floor), model.shared is not None
        reported = fitted and model.shared.chance < shared_noise.SHOWN
    p = model.predict(at)
    both = [model.parameters["alpha"].holds(alpha)]
    both += [model.parameters["beta"].holds(beta) if kind in GRIDS else np.nan]
    held = [*((p.low <= truth) & (truth <= p.high)), *([np.nan] * (2 - len(truth)))]
    widths = [model.parameters["alpha"].width, np.log(p.high / p.low)[0]]
    return [*both, third, *held, *widths, fitted, reported]


def none(points: Points) -> None:
    """No rows belong together."""


def main() -> None:
    """A line for each design, noise and treatment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--average", type=int, default=0)
    options = parser.parse_args()
    repeats, averaged = options.average or options.repeats, options.average > 0
    print(
        f"{repeats} data sets a row\n{'planted':10s} offset  noise  rows         alpha  beta  "
        f"{'local' if averaged else 'E    '}  loss        width of alpha, loss   fitted reported"
    )
    for kind in (*GRIDS, *CURVES):
        of = "grid" if kind in GRIDS else "curve"
        for (offset, noise), treated in product(NOISES[of], TREATED[of]):
            m = np.array([row(kind, offset, noise, treated, i, averaged) for i in range(repeats)], float)
            held, middle = m.mean(axis=0), np.median(m, axis=0)
            shares = "  ".join("    " if np.isnan(v) else f"{v:4.2f}" for v in held[:5])
            print(
                f"{kind:10s} {offset:6.3f} {noise:6.3f}  {treated:12s} {shares}   "
                f"{middle[5]:.4f} {middle[6]:.4f}          {held[7]:.2f} {held[8]:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
