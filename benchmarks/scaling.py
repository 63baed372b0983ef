"""Scaling laws against their peers, all in one run: extrapolation error, coverage, width, CPU seconds.

    PYTHONPATH=src python benchmarks/scaling.py --curves curves.csv --chinchilla points.csv

``--curves``: the learning curves of Alabdulmohsin, Neyshabur, Zhai 2022 (columns Domain, Task, Model,
Seen Examples, Loss, Training; Training 1 fits, 0 tests). ``--chinchilla``: points of Besiroglu et al. 2024
(columns model_size, training_flop, loss). Neither ships with this repository. Without them the script runs
the sections with a known truth: simulated curves, simulated N x D grids, and per-image exponents
(``--repeats 0`` leaves them out; ``scaling_simulation.py`` plants every law). Packages of others run where
they are installed (``scaling_peers``).

RMSLE is the root mean squared log error; cov the share of held-out losses inside nominal 95 % intervals (of
the mean, and of a new run); width the median log width. A bar is what the project set out to reach. Takes
about ten minutes on one core; errors repeat exactly, seconds vary with the machine.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_classic import curve_fit_default, curve_fit_scaled, m4_objective, straight_line
from scaling_peers import Peer, peers

from mlproject.scaling import average, fit, image_exponents, robust_parameters

Array = NDArray[np.float64]
Curve = tuple[Array, Array, Array, Array]


def rmsle(predicted: Array, truth: Array) -> float:
    """Root mean squared log error."""
    return float(np.sqrt(np.mean((np.log(np.maximum(predicted, 1e-12)) - np.log(truth)) ** 2)))


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


def score_peer(peer: Peer, x: Array, y: Array, at: Array, seen: Array) -> tuple[float, float, float]:
    """RMSLE, coverage and median log width of a peer; not a number where it gives no interval."""
    mean, low, high = peer(x, y, at)
    if low is None or high is None:
        return rmsle(mean, seen), np.nan, np.nan
    ends = np.maximum(low, 1e-12), np.maximum(high, 1e-12)
    inside = np.mean((low <= seen) & (seen <= high))
    return rmsle(mean, seen), float(inside), float(np.median(np.log(ends[1] / ends[0])))


def score_average(x: Array, y: Array, at: Array, seen: Array) -> tuple[float, float, float, float]:
    """RMSLE, coverage of the mean and of a new run, median log width."""
    p = average(x, y).predict(at)
    inside = np.mean((p.low <= seen) & (seen <= p.high))
    run = np.mean((p.new_run_low <= seen) & (seen <= p.new_run_high))
    return rmsle(p.mean, seen), float(inside), float(run), float(np.median(np.log(p.high / p.low)))


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
    full = robust_parameters(x, loss, law="separable", delta=1e-3)
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


BARS = {1e21: 0.0095, 3e20: 0.0135, 1e20: None}


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


def known_truth(repeats: int) -> None:
    """E + 1.5 x^-a at few scales, three seeds, 2 % noise; predict ten times beyond. Bar: cov 0.93 to 0.99."""
    print(
        f"\nknown truth, {repeats} data sets a row: |log error| at 10x, cov of its loss, of alpha, log width"
    )
    print(f"{'scales, E':12s} {'average':>33s} {'fit power_floor':>37s}")
    for n_scales in (3, 4, 6, 8):
        for floor in (0.0, 0.3):
            rows = np.array([known_row(n_scales, floor, seed) for seed in range(repeats)])
            mean = rows.mean(axis=0)
            text = "  ".join(f"{m[0]:.4f} {m[1]:.3f} {m[2]:.3f} {m[3]:.3f}    " for m in (mean[:4], mean[4:]))
            print(f"{n_scales:4d}   {floor:.1f}      {text}")


def known_row(n_scales: int, floor: float, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, n_scales])
    alpha = rng.choice([0.2, 0.35, 0.5, 0.8])
    x = np.repeat(np.geomspace(1.0, 10**1.5, n_scales), 3)
    y = (floor + 1.5 * x**-alpha) * np.exp(0.02 * rng.standard_normal(len(x)))
    at = 10**2.5
    truth, row = floor + 1.5 * at**-alpha, []
    for found in (average(x, y), fit(x, y)):
        p = found.predict([at])
        inside = p.low[0] <= truth <= p.high[0]
        width = np.log(p.high[0] / p.low[0])
        row += [abs(np.log(p.mean[0] / truth)), inside, found.parameters["alpha"].holds(alpha), width]
    return row


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
