"""The scaling benchmark's sections on two axes: the Chinchilla points, and planted N x D grids."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_peers import peers
from scaling_scores import rmsle, score_average, score_peer

from mlproject.scaling import average, fit
from mlproject.scaling.fitting.fit import physical_values
from mlproject.scaling.fitting.points import read_points
from mlproject.scaling.fitting.robust import huber
from mlproject.scaling.laws import find_law

Array = NDArray[np.float64]
BARS = {1e21: 0.0095, 3e20: 0.0135, 1e20: None}


def read_chinchilla(path: Path) -> tuple[Array, Array, Array]:
    """N and D [240, 2], compute, loss; D = C / 6N; without the five highest losses, as in the replication."""
    with path.open(newline="") as lines:
        rows = [(r["model_size"], r["training_flop"], r["loss"]) for r in csv.DictReader(lines)]
    n, c, loss = np.array(sorted(np.array(rows, float).tolist(), key=lambda r: r[2])[:-5]).T
    return np.stack([n, c / (6.0 * n)], axis=1), c, loss


def chinchilla(path: Path) -> None:
    """The published joint points: the Huber fit, then C >= 1e21 predicted from cheaper runs."""
    x, c, loss = read_chinchilla(path)
    start = time.process_time()
    points, law = read_points(x, loss), find_law("separable")
    full = physical_values(points, law, huber(points.problem(law), delta=1e-3))
    print(f"\nChinchilla, {len(loss)} points, Huber 0.001 in {time.process_time() - start:.2f} s:")
    print("  " + "  ".join(f"{name} {value:.6g}" for name, value in full.items()))
    print("  replication's optimum: A 477.84  B 2143.86  E 1.81724  alpha 0.34731  beta 0.36718")
    held = c >= 1e21
    cheap = [(f"{(c < cut).sum()} runs below {cut:g}", c < cut, bar) for cut, bar in BARS.items()]
    print(
        f"  predict {held.sum()} runs at C >= 1e21; bars: cov 0.9, 0.0125 on draws of 16 runs, others below"
    )
    for label, rows, bar in cheap:
        report_joint(x, loss, [rows], held, f"{label} (bar {bar})")
    rng, usable = np.random.default_rng(0), np.flatnonzero((c < 3e20) & (x[:, 1] > x[:, 0]))
    report_joint(
        x, loss, [rng.choice(usable, 16, replace=False) for _ in range(20)], held, "20 draws of 16 runs"
    )


def report_joint(x: Array, loss: Array, fits: list[Array], held: Array, label: str) -> None:
    """Mean over fits of every joint law and of the average."""
    print(f"  {label}")
    for law in ("separable", "product", "coupled", "kaplan"):
        errors = [rmsle(fit(x[rows], loss[rows], law=law).predict(x[held]).mean, loss[held]) for rows in fits]
        print(f"    {law:24s} {np.mean(errors):7.4f}")
    for name, peer in peers(2).items():
        start = time.process_time()
        with_peer = [score_peer(peer, x[rows], loss[rows], x[held], loss[held]) for rows in fits[:1]]
        spent = time.process_time() - start
        error, cover, width = np.mean(with_peer, axis=0)
        print(f"    {name:40s} {error:7.4f}  cov {cover:.3f} width {width:.3f} {spent:.2f} s (the first fit)")
    start = time.process_time()
    rows_ = [score_average(x[rows], loss[rows], x[held], loss[held]) for rows in fits]
    spent = (time.process_time() - start) / len(fits)
    error, cover, run, width = np.mean(rows_, axis=0)
    print(
        f"    {'average (this project)':24s} {error:7.4f}"
        f"  cov {cover:.3f} run {run:.3f} width {width:.3f} {spent:.2f} s"
    )


def grids(repeats: int) -> None:
    """Planted joint laws on a 4 x 5 grid with 2 % noise; largest N, largest D or the corner held out."""
    print(f"\nN x D grids, {repeats} a row, RMSLE; nobody is told the form")
    print(
        f"{'planted':10s} {'noise':8s} {'held out':9s} {'separable':>9s} {'product':>9s}"
        f" {'coupled':>9s} {'average':>9s} cov width"
    )
    for kind in ("separable", "product", "coupled"):
        for told in (False, True):
            for hold in ("N", "D", "corner"):
                rows = np.array([list(grid_row(kind, hold, seed, told)) for seed in range(repeats)])
                m = rows.mean(axis=0)
                errors = " ".join(f"{v:9.4f}" for v in m[:4])
                print(
                    f"{kind:10s} {'given' if told else 'unknown':8s} {hold:9s} {errors} {m[4]:.2f} {m[5]:.3f}"
                )


def grid_row(kind: str, hold: str, seed: int, told: bool) -> Iterator[float]:
    rng = np.random.default_rng([seed, len(kind)])
    n, d = (
        v.ravel() for v in np.meshgrid(np.geomspace(5e6, 9e7, 4), np.geomspace(200, 6400, 5), indexing="ij")
    )
    truth = planted(kind, n, d, rng)
    out = {"N": n == n.max(), "D": d == d.max(), "corner": (n > 3e7) & (d > 2e3)}[hold]
    x = np.stack([n, d], axis=1)
    y = truth * np.exp(0.02 * rng.standard_normal(len(n)))
    for law in ("separable", "product", "coupled"):
        yield rmsle(fit(x[~out], y[~out], law=law).predict(x[out]).mean, truth[out])
    p = average(x[~out], y[~out], sd=0.02 * y[~out] if told else None).predict(x[out])
    yield rmsle(p.mean, truth[out])
    yield float(np.mean((p.low <= truth[out]) & (truth[out] <= p.high)))
    yield float(np.median(np.log(p.high / p.low)))


def planted(kind: str, n: Array, d: Array, rng: np.random.Generator) -> Array:
    """A random law of one kind."""
    a, b = rng.uniform(0.15, 0.6, 2)
    floor, r = rng.choice([0.0, 0.1, 0.3]), rng.uniform(0.25, 0.75)
    u, v = n / np.exp(np.log(n).mean()), d / np.exp(np.log(d).mean())
    if kind == "separable":
        return np.asarray(floor + r * u**-a + (1 - r) * v**-b)
    if kind == "product":
        return np.asarray(floor + u ** (-a / 1.5) * v ** (-b / 1.5))
    return np.asarray(floor + (r * u ** (-a / 0.4) + (1 - r) * v ** (-b / 0.4)) ** 0.4)
