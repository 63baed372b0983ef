"""N x D grids as vision makes them: the average against every form alone, by what is held out.

    PYTHONPATH=src python benchmarks/scaling_grids.py --repeats 20 --curves curves.csv

Four to seven models times four to eight sizes of the data, one run a cell, the form known to nobody: planted
sums, products, coupled and bounded laws under three kinds of noise: 2 % alone (*alone*); images that all
cells are evaluated on, with a little by model, by data and by seed (*shared*); and models that differ in more
than their size, by 2 or 5 % and smoothly along the data (*models*). Held out are the largest model (N), the
largest data (D), and the dear corner. ``--curves``: grids of six real models read off the learning curves of
``scaling.py``. RMSLE is the root mean squared log error of held-out runs; *best* is the form with the least
mean in that row, chosen afterwards; cov the share of runs inside the 95 % interval of a new run, width the
median log width of that of the mean. About seven minutes on one core; ``--seed`` draws other grids.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_scores import rmsle

from mlproject.scaling import average, fit

Array = NDArray[np.float64]
FORMS = ("separable", "product", "coupled", "kaplan")
PLANTED, NOISES = ("separable", "product", "coupled", "bounded"), ("alone", "shared", "models")
MODELS = {"ViT/S/16": 22e6, "BiT/50/1": 25.5e6, "MiX/B/16": 59e6, "ViT/B/16": 86.6e6, "MiX/L/16": 208e6}
MODELS["BiT/101/3"] = 382e6  # parameters, as published with each architecture
TASKS = {
    "bird": (2e7, 2.0),
    "cal": (1.6e7, 1.5),
}  # examples seen in the first column, and from one to the next


def planted(kind: str, u: Array, v: Array, rng: np.random.Generator) -> Array:
    """A random law of one kind at centred logarithms of N and D, with a floor of its loss at the dearest."""
    a, b = rng.uniform(0.08, 0.6, 2)
    floor, r = rng.choice([0.0, 0.2, 0.5]) * rng.uniform(0.5, 1.5), rng.uniform(0.25, 0.75)
    if kind == "separable":
        shape = r * np.exp(-a * u) + (1 - r) * np.exp(-b * v)
    elif kind == "product":
        shape = np.exp(-(a * u + b * v) / 1.5)
    elif kind == "coupled":
        c = rng.choice([0.4, 0.6, 2.0, 3.0])
        shape = (r * np.exp(-a / c * u) + (1 - r) * np.exp(-b / c * v)) ** c
    else:
        h = np.exp(rng.uniform(-1.5, 1.0)) * (r * np.exp(-1.3 * a * u) + (1 - r) * np.exp(-1.3 * b * v))
        shape = h / (1 + h)
    return np.asarray(shape + floor / (1 - floor) * shape[-1])


def noise(kind: str, ln_d: Array, models: int, rng: np.random.Generator) -> Array:
    """Logarithmic errors [models, sizes of the data]."""
    alone = rng.standard_normal((models, len(ln_d)))
    if kind == "alone":
        return np.asarray(0.02 * alone)
    by_model, by_data = rng.standard_normal((models, 1)), rng.standard_normal(len(ln_d))
    if kind == "shared":
        return np.asarray(0.02 * rng.standard_normal() + 0.008 * (by_model + by_data) + 0.01 * alone)
    size = rng.choice([0.02, 0.05])
    lower = np.linalg.cholesky(np.exp(-np.abs(ln_d[:, None] - ln_d) / 2.0) + 1e-12 * np.eye(len(ln_d)))
    slopes = 0.5 * size * rng.standard_normal((models, len(ln_d))) @ lower.T
    moved = np.cumsum(slopes * np.diff(ln_d, prepend=ln_d[0]), axis=1)
    own = size * by_model + moved - moved.mean(axis=1, keepdims=True)
    return np.asarray(own + 0.008 * by_data + 0.01 * alone)


def grid(kind: str, noisy: str, seed: int) -> tuple[Array, Array]:
    """One grid: x [m, 2] and single runs y [m]; models are not equally spaced."""
    rng = np.random.default_rng([seed, PLANTED.index(kind), NOISES.index(noisy)])
    n_models, n_sizes = rng.integers(4, 8), rng.integers(4, 9)
    ln_n = np.log(rng.choice([8.0, 20.0, 80.0])) * np.linspace(-0.5, 0.5, n_models)
    ln_n[1:-1] += rng.uniform(-0.25, 0.25, n_models - 2) * (ln_n[1] - ln_n[0])
    ln_d = np.log(rng.choice([8.0, 32.0, 100.0])) * np.linspace(-0.5, 0.5, n_sizes)
    u, v = (axis.ravel() for axis in np.meshgrid(ln_n, ln_d, indexing="ij"))
    error = noise(noisy, ln_d, n_models, rng).ravel()
    x = np.stack([2e7 * np.exp(u), 1e4 * np.exp(v)], axis=1)
    return x, 0.7 * planted(kind, u, v, rng) * np.exp(error)


def curves(path: Path) -> Iterator[tuple[str, Array, Array]]:
    """Real grids: the run nearest to each of six sizes of the data, where a model's curve reaches it."""
    with path.open(newline="") as lines:
        rows = [r for r in csv.DictReader(lines) if r["Model"] in MODELS]
    for task in sorted({r["Task"] for r in rows if r["Task"].split("_")[0] in TASKS}):
        cells, (first, ratio) = [], TASKS[task.split("_")[0]]
        for model, n in MODELS.items():
            mine = [r for r in rows if r["Task"] == task and r["Model"] == model]
            seen = np.array(sorted((float(r["Seen Examples"]), float(r["Loss"])) for r in mine))
            for d in first * ratio ** np.arange(6.0):
                if 0.95 * seen[0, 0] <= d <= 1.05 * seen[-1, 0]:
                    cells.append((n, d, seen[np.argmin(np.abs(np.log(seen[:, 0] / d))), 1]))
        table = np.array(cells)
        yield task, table[:, :2], table[:, 2]


def holds(x: Array) -> dict[str, NDArray[np.bool_]]:
    """What to hold out."""
    n, d = (np.unique(axis) for axis in x.T)
    corner = (x[:, 0] >= n[-2 if len(n) > 3 else -1]) & (x[:, 1] >= d[-2 if len(d) > 4 else -1])
    return {"N": x[:, 0] == n[-1], "D": x[:, 1] == d[-1], "corner": corner}


def score(x: Array, y: Array, out: NDArray[np.bool_]) -> list[float]:
    """RMSLE of each form and of the average, coverage, width."""
    errors = [rmsle(fit(x[~out], y[~out], law=law).predict(x[out]).mean, y[out]) for law in FORMS]
    p = average(x[~out], y[~out]).predict(x[out])
    inside = np.mean((p.new_run_low <= y[out]) & (y[out] <= p.new_run_high))
    return [*errors, rmsle(p.mean, y[out]), float(inside), float(np.median(np.log(p.high / p.low)))]


def show(label: str, rows: list[list[float]]) -> None:
    m = np.mean(rows, axis=0)
    best, forms = m[:4].min(), " ".join(f"{value:9.4f}" for value in m[:4])
    print(f"{label:24s} {forms} {best:7.4f} {m[4]:8.4f} {m[4] / best:6.2f} {m[5]:5.2f} {m[6]:6.3f}")


def main() -> None:
    """Simulated grids, then real ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="grids a row")
    parser.add_argument("--seed", type=int, default=0, help="of the first grid")
    parser.add_argument("--curves", type=Path)
    arguments = parser.parse_args()
    print(f"{'planted, noise, held out':24s} {' '.join(f'{form:>9s}' for form in FORMS)}"
          "    best  average  ratio   cov  width")  # fmt: skip
    for kind in PLANTED:
        for noisy in NOISES:
            grids = [grid(kind, noisy, arguments.seed + i) for i in range(arguments.repeats)]
            for held in ("N", "D", "corner"):
                show(f"{kind} {noisy} {held}", [score(x, y, holds(x)[held]) for x, y in grids])
    for task, x, y in curves(arguments.curves) if arguments.curves else ():
        for held, out in holds(x).items():
            show(f"{task} {held}", [score(x, y, out)])


if __name__ == "__main__":
    main()
