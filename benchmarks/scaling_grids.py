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

``--coverage 20``: instead, 20 planted 4 x 5 grids for each law and noise, the noise known: the share of 95 %
intervals of the mean that hold the loss at 2 and 10 times the largest compute (N and D grow alike), and of
those over all laws that hold alpha and beta (bar 0.93 to 0.98); the smallest effective sample size of a law
with weight; CPU seconds. ``--dense``: 600 to 3,000 rows. ``--contaminated 4``: one run of 20 doubled or
halved, and by how many standard errors alpha and beta move (bar 1).
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_scores import rmsle

from mlproject.scaling import assess, average, fit
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.selection import select

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


EXACT = ("separable", "product", "log_plane", "coupled", "bounded")
KNOWN_NOISE = (0.003, 0.01, 0.05)
COMPUTE = (2.0, 10.0)
U, V = (
    axis.ravel()
    for axis in np.meshgrid(
        np.log(18.0) * np.linspace(-0.5, 0.5, 4), np.log(32.0) * np.linspace(-0.5, 0.5, 5), indexing="ij"
    )
)


def scales(u: Array, v: Array) -> Array:
    """N and D at centred logarithms."""
    return np.stack([2e7 * np.exp(u), 1e3 * np.exp(v)], axis=1)


def exact(kind: str, rng: np.random.Generator) -> tuple[float, float, Callable[[Array, Array], Array]]:
    """A random law: alpha, beta, and the loss at centred logarithms of N and D."""
    a, b = rng.uniform(0.15, 0.6, 2)
    r, floor = rng.uniform(0.25, 0.75), rng.choice([0.0, 0.1, 0.3])
    if kind == "separable":
        return a, b, lambda u, v: floor + r * np.exp(-a * u) + (1 - r) * np.exp(-b * v)
    if kind in ("product", "log_plane"):
        floor = floor + 0.1 if kind == "product" else 0.0
        return a / 1.5, b / 1.5, lambda u, v: floor + np.exp(-(a * u + b * v) / 1.5)
    if kind == "coupled":
        c = rng.choice([0.4, 0.6, 2.0])
        return a, b, lambda u, v: floor + (r * np.exp(-a / c * u) + (1 - r) * np.exp(-b / c * v)) ** c
    size, low = np.exp(rng.uniform(-1.5, 1.0)), 0.3 * floor

    def bounded(u: Array, v: Array) -> Array:
        h = size * (r * np.exp(-1.3 * a * u) + (1 - r) * np.exp(-1.3 * b * v))
        return np.asarray(low + 0.98 * (1 - low) * h / (1 + h))

    return 1.3 * a, 1.3 * b, bounded


def exact_row(kind: str, noise: float, seed: int) -> list[float]:
    """What the intervals of losses and exponents hold, log widths, effective size, CPU seconds."""
    rng = np.random.default_rng([seed, EXACT.index(kind)])
    a, b, loss = exact(kind, rng)
    y = loss(U, V) * np.exp(noise * rng.standard_normal(len(U)))
    start = time.process_time()
    averaged = average(scales(U, V), y, sd=noise * y)
    beyond = 0.5 * np.log(COMPUTE)
    p = averaged.predict(scales(U.max() + beyond, V.max() + beyond))
    spent = time.process_time() - start
    truth = loss(U.max() + beyond, V.max() + beyond)
    alpha, beta = averaged.parameters["alpha"], averaged.parameters["beta"]
    size = min(
        post.effective_size for name, post in averaged.posteriors.items() if averaged.weights[name] > 0.05
    )
    held = (p.low <= truth) & (truth <= p.high)
    return [*held, *np.log(p.high / p.low), alpha.holds(a), beta.holds(b), alpha.width, size, spent]


def coverage(repeats: int, first: int) -> None:
    print("planted     noise    2x   10x  width  width  alpha  beta  width  samples  CPU-s")
    for kind in EXACT:
        for noise in KNOWN_NOISE:
            rows = np.array([exact_row(kind, noise, first + i) for i in range(repeats)], float)
            held, median = rows.mean(axis=0), np.median(rows, axis=0)
            print(
                f"{kind:10s} {noise:6.3f}  {held[0]:.2f}  {held[1]:.2f} {median[2]:6.3f} {median[3]:6.3f}"
                f"   {held[4]:.2f}  {held[5]:.2f} {median[6]:6.3f}  {rows[:, 7].min():7.0f} {median[8]:6.2f}",
                flush=True,
            )


def dense() -> None:
    print("models sizes   alpha (0.34)                 beta (0.28)                 CPU-s: average, assess")
    for models, sizes in ((4, 5), (6, 100), (6, 400), (30, 100)):
        u, v = np.meshgrid(np.linspace(-1.4, 1.5, models), np.linspace(-3.4, 3.5, sizes), indexing="ij")
        rng = np.random.default_rng(0)
        y = 0.2 + 0.5 * np.exp(-0.34 * u.ravel()) + 0.5 * np.exp(-0.28 * v.ravel())
        x, y = scales(u.ravel(), v.ravel()), y * np.exp(0.005 * rng.standard_normal(y.size))
        start = time.process_time()
        shown = [f"{e.value:.4f} [{e.low:.4f}, {e.high:.4f}]" for e in average(x, y).parameters.values()]
        averaged = time.process_time()
        assess(x, y)
        spent = f"{averaged - start:.2f} {time.process_time() - averaged:.2f}"
        print(f"{models:6d} {sizes:5d}   {'    '.join(shown)}   {spent}", flush=True)


def contaminated(repeats: int, first: int) -> None:
    print("planted     noise   named   largest and mean movement of alpha and beta, in standard errors")
    for kind in EXACT:
        for noise in KNOWN_NOISE:
            named, moved = 0, []
            for seed in range(first, first + repeats):
                rng = np.random.default_rng([seed, EXACT.index(kind)])
                y = exact(kind, rng)[2](U, V) * np.exp(noise * rng.standard_normal(len(U)))
                x, row, spoilt = scales(U, V), int(rng.integers(len(y))), y.copy()
                spoilt[row] *= rng.choice([0.5, 2.0])
                kept, _ = select(read_points(x, spoilt))
                named += not kept[row]
                clean, other = average(x, y), average(x[kept], spoilt[kept])
                for name, e in clean.parameters.items():
                    moved.append(abs(other.parameters[name].value - e.value) / (e.width / 3.92))
            print(
                f"{kind:10s} {noise:6.3f}  {named}/{repeats}   {max(moved):.2f} {np.mean(moved):.2f}",
                flush=True,
            )


def known(arguments: argparse.Namespace) -> None:
    """The tables of planted laws."""
    if arguments.coverage:
        coverage(arguments.coverage, arguments.seed)
    if arguments.contaminated:
        contaminated(arguments.contaminated, arguments.seed)
    if arguments.dense:
        dense()


def main() -> None:
    """Simulated grids, then real ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="grids a row")
    parser.add_argument("--seed", type=int, default=0, help="of the first grid")
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--coverage", type=int, help="grids of a known law a row")
    parser.add_argument("--contaminated", type=int, help="grids a row")
    parser.add_argument("--dense", action="store_true")
    arguments = parser.parse_args()
    if arguments.coverage or arguments.contaminated or arguments.dense:
        return known(arguments)
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
