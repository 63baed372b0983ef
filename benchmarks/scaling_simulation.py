"""Planted laws: how often intervals hold the truth, for every law, two noise levels and 500 data sets each.

    PYTHONPATH=src python benchmarks/scaling_simulation.py --laws power,power_floor --repeats 500

One axis: eight sizes from 100 to 12,800, three runs each. Two axes: five models by five sizes over three and
two decades, one run each. Noise is normal on ln L; its size is not told to the fit. ``cov`` is the share of
nominal 95 % intervals that hold the planted exponent (the lower of two), floor E, and loss at four times the
largest scale; ``bias`` the median log error of that loss, ``width`` the median log width of its interval. A
fit that is called *not identifiable* keeps its interval and counts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import LAWS, fit
from mlproject.scaling.verdict import exponents

Array = NDArray[np.float64]
NOISES = (0.01, 0.05)
AHEAD = 4.0
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


def run(name: str, noise: float, repeats: int) -> list[float]:
    """Coverage of exponent, floor and loss ahead, bias and width of that loss, share that is identified."""
    x, clean, ahead, loss, values = truth(name)
    rows = []
    for seed in range(repeats):
        y = clean * np.exp(
            noise * np.random.default_rng([seed, int(1e4 * noise)]).standard_normal(len(clean))
        )
        found = fit(x, y, law=name)
        told = found.predict(ahead)
        held = [found.parameters[key].holds(values[key]) for key in exponents(LAWS[name])]
        held += [True] * (2 - len(held))
        floor = found.parameters["E"].holds(values["E"]) if "E" in values else np.nan
        inside = told.low[0] <= loss <= told.high[0]
        off, width = np.log(told.mean[0] / loss), np.log(told.high[0] / told.low[0])
        rows.append([*held, floor, inside, off, width, found.verdict == "scaling"])
    table = np.array(rows, dtype=float)
    mean = table.mean(axis=0)
    one = mean[0] if LAWS[name].axes == 1 else min(mean[0], mean[1])
    return [one, mean[2], mean[3], *np.median(table[:, 4:6], axis=0), mean[6]]


def main() -> None:
    """Run the laws that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--laws", default=",".join(PLANTED))
    parser.add_argument("--repeats", type=int, default=500)
    arguments = parser.parse_args()
    print(f"{arguments.repeats} data sets a row")
    head = ("cov exp", "cov E", "cov loss", "bias", "width", "scaling", "s a fit")
    print(f"{'law':12s} {'noise':>6s}" + "".join(f"{word:>9s}" for word in head))
    for name in arguments.laws.split(","):
        for noise in NOISES:
            start = time.process_time()
            row = run(name, noise, arguments.repeats)
            spent = (time.process_time() - start) / arguments.repeats
            print(f"{name:12s} {noise:6.2f}" + "".join(f"{v:9.3f}" for v in (*row, spent)), flush=True)


if __name__ == "__main__":
    main()
