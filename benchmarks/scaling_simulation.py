"""Planted laws: how often intervals hold the truth, for every law, two noise levels and 500 data sets each.

    PYTHONPATH=src python benchmarks/scaling_simulation.py --laws power,power_floor --repeats 500

One axis: eight sizes from 100 to 12,800, three runs each. Two axes: five models by five sizes over three and
two decades, one run each. Noise is normal on ln L; its size is not told to the fit. Coverage is the share of
nominal 95 % intervals that hold the planted exponents, floor E, and loss at four times the largest scale. A
fit that is called *not identifiable* keeps its intervals and counts; beside it stands the coverage of the
others. ``bias`` is the median log error of that loss, ``width`` the median log width of its interval.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import LAWS, fit

Array = NDArray[np.float64]
NOISES = (0.01, 0.05)
AHEAD = 4.0
SHOWN = ("alpha", "beta", "E")
PLANTED: dict[str, dict[str, float]] = {
    "power": {"alpha": 0.4, "k": 1.0},
    "power_floor": {"alpha": 0.5, "E": 0.3, "k": 1.0},
    "shifted": {"alpha": 0.6, "log_x0": -0.5, "k": 1.0},
    "zhai": {"alpha": 0.6, "log_x0": -1.0, "E": 0.3, "k": 1.0},
    "m3": {"alpha": 0.5, "log_g": -2.0, "k": 1.0},
    "bounded": {"alpha": 0.7, "log_xc": -1.0, "E": 0.2, "L0": 2.0},
    "separable": {"alpha": 0.35, "beta": 0.45, "E": 0.3, "A": 0.5, "B": 0.5},
    "product": {"alpha": 0.2, "beta": 0.25, "E": 0.3, "k": 1.0},
    "interaction": {"alpha": 0.35, "beta": 0.45, "E": 0.3, "A": 0.4, "B": 0.4, "G": 0.3},
    "coupled": {"alpha": 0.3, "beta": 0.4, "logit_r": 0.3, "log_c": -0.6, "E": 0.2, "k": 1.0},
    "kaplan": {"alpha": 0.3, "beta": 0.4, "logit_r": 0.3, "k": 1.0},
}


def design(axes: int) -> Array:
    """The cells [m, axes] that are measured."""
    if axes == 1:
        return np.repeat(100.0 * 2.0 ** np.arange(8), 3)[:, None]
    n, d = np.meshgrid(np.geomspace(1e5, 1e8, 5), np.geomspace(100.0, 1e4, 5))
    return np.stack([n.ravel(), d.ravel()], axis=1)


def truth(name: str) -> tuple[Array, Array, Array, float, dict[str, float]]:
    """Cells, their losses, the scale ahead, its loss, and the planted parameters in the units of the data."""
    law = LAWS[name]
    x = design(law.axes)
    ahead = AHEAD * x.max(axis=0, keepdims=True)
    unit = np.log(x).mean(axis=0)
    theta = np.array([[PLANTED[name][key] for key in law.names]])
    values = {key: float(value[0]) for key, value in law.physical(theta, unit, 1.0).items()}
    losses = [law.mean(theta, np.log(at) - unit)[0].real for at in (x, ahead)]
    return x, losses[0], ahead, float(losses[1][0]), values


@dataclass(frozen=True, kw_only=True)
class Row:
    """Shares of intervals that hold the planted exponents, floor and loss ahead, over all fits and over those
    that are identified; the share that is refused; bias and width of the loss ahead; CPU seconds of a fit."""

    held: Array
    held_identified: Array
    refused: float
    bias: float
    width: float
    seconds: float


def run(name: str, noise: float, repeats: int) -> Row:
    """Fit one law to data sets that are drawn from it; what it lacks (a second axis, a floor) is NaN."""
    x, clean, ahead, loss, values = truth(name)
    start, held, other = time.process_time(), [], []
    for seed in range(repeats):
        rng = np.random.default_rng([seed, int(1e4 * noise), *name.encode()])
        found = fit(x, clean * np.exp(noise * rng.standard_normal(len(clean))), law=name)
        told = found.predict(ahead)
        known = [found.parameters[key].holds(values[key]) if key in values else np.nan for key in SHOWN]
        held.append([*known, told.low[0] <= loss <= told.high[0]])
        off, width = np.log(told.mean[0] / loss), np.log(told.high[0] / told.low[0])
        other.append([off, width, found.verdict == "scaling"])
    table, (off, width, sure) = np.array(held, dtype=float), np.array(other, dtype=float).T
    return Row(
        held=table.mean(axis=0),
        held_identified=table[sure == 1].mean(axis=0) if sure.any() else np.full(len(SHOWN) + 1, np.nan),
        refused=float(1.0 - sure.mean()),
        bias=float(np.median(off)),
        width=float(np.median(width)),
        seconds=(time.process_time() - start) / repeats,
    )


def main() -> None:
    """Run the laws that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--laws", default=",".join(PLANTED))
    parser.add_argument("--repeats", type=int, default=500)
    arguments = parser.parse_args()
    names = (*SHOWN, "loss")
    print(f"{arguments.repeats} data sets a row: coverage over all fits, and over those that are identified")
    head = "".join(f"{word:>7s}" for word in (*names, "refused", *names, "bias", "width", "s"))
    print(f"{'law':12s} {'noise':>6s}{head}")
    for name in arguments.laws.split(","):
        for noise in NOISES:
            row = run(name, noise, arguments.repeats)
            cells = (*row.held, row.refused, *row.held_identified, row.bias, row.width, row.seconds)
            print(f"{name:12s} {noise:6.2f}" + "".join(f"{v:7.3f}" for v in cells), flush=True)


if __name__ == "__main__":
    main()
