"""The scaling benchmark's public data: every method extrapolates the same curves and grids.

Curves: those of Alabdulmohsin, Neyshabur, Zhai 2022, fit and test parts as published, whole and with 8
points; and 18 architectures on up to 7 subsets of ecoset (``ecoset/``, Gokce and Schrimpf 2025), the largest
or the two largest subsets held out. Grids: families of these architectures (and all of them) with the largest
model, the largest or the two largest subsets, or the most expensive corner held out.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_classic import curve_fit_default, curve_fit_scaled, line_intervals, m4_objective
from scaling_peers import Peer, Told, peers
from scaling_scores import rmsle

from mlproject.scaling import assess, fit

Array = NDArray[np.float64]
Curve = tuple[Array, Array, Array, Array]
ECOSET = Path(__file__).parent / "ecoset" / "grid.csv"
FAMILIES: dict[str, tuple[str, ...]] = {
    "ResNet": ("ResNet",),
    "ConvNeXt": ("ConvNeXt",),
    "DeiT": ("ViT",),
    "ResNet, EfficientNet": ("ResNet", "EfficientNet"),
    "all": ("AlexNet", "CORnet-S", "ConvNeXt", "EfficientNet", "ResNet", "ViT"),
}
QUICK = 3  # curves, and grids, of a table with --quick
SLOW = 5  # curves or grids for peers that take seconds each


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


def few(curve: Curve, n: int = 8) -> Curve:
    """``n`` points of a curve's fit part, equally spaced in log scale, both ends included."""
    x, y, at, seen = curve
    places = np.linspace(np.log(x[0]), np.log(x[-1]), n) - 1e-9
    rows = np.unique(np.searchsorted(np.log(x), places))
    return x[rows], y[rows], at, seen


def read_ecoset() -> tuple[list[str], list[str], Array, Array]:
    """Architecture and family of every run, parameters and images [m, 2], and the top-1 error [m]."""
    with ECOSET.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    x = np.array([(float(row["params"]), float(row["images"])) for row in rows])
    names, families = [row["arch"] for row in rows], [row["family"] for row in rows]
    return names, families, x, np.array([float(row["error"]) for row in rows])


def ecoset_curves() -> list[Curve]:
    """Each architecture with its largest subset held out, then with its two largest."""
    names, _, x, y = read_ecoset()
    sizes, curves = np.unique(x[:, 1]), []
    for left_out in (1, 2):
        for name in dict.fromkeys(names):
            rows = np.array([other == name for other in names])
            held = rows & (x[:, 1] >= sizes[-left_out])
            curves.append((x[rows & ~held, 1], y[rows & ~held], x[held, 1], y[held]))
    return curves


def ecoset_grids() -> Iterator[tuple[str, Array, Array, NDArray[np.bool_]]]:
    """Label, scales, errors and held-out rows of every hold-out."""
    _, families, x, y = read_ecoset()
    for label, members in FAMILIES.items():
        rows = np.array([family in members for family in families])
        n, d = (np.unique(axis) for axis in x[rows].T)
        held = {
            "N": x[:, 0] == n[-1],
            "D": x[:, 1] == d[-1],
            "2 D": x[:, 1] >= d[-2],
            "corner": (x[:, 0] >= n[-2]) & (x[:, 1] >= d[-2]),
        }
        for which, out in held.items():
            if len(np.unique(x[rows & ~out, 0])) >= 3:
                yield f"{label}, {which}", x[rows], y[rows], out[rows]


def of_law(law: str) -> Peer:
    """One law, fitted by this project, with its interval of a new run."""

    def predict(x: Array, y: Array, at: Array) -> Told:
        p = fit(x, y, law=law).predict(at)
        return p.mean, p.new_run_low, p.new_run_high

    return predict


def of_average(x: Array, y: Array, at: Array) -> Told:
    """This project's assessment, with its interval of a new run."""
    p = assess(x, y).predict(at)
    if p is None:
        return np.full(len(at), np.nan), None, None
    return p.mean, p.new_run_low, p.new_run_high


def alone(method: Callable[[Array, Array, Array], Array]) -> Peer:
    """A method without intervals."""
    return lambda x, y, at: (method(x, y, at), None, None)


CURVE_METHODS: dict[str, Peer] = {
    "curve_fit, default": alone(curve_fit_default),
    "curve_fit, scaled, bounded": curve_fit_scaled,
    "log-log line": line_intervals,
    "M2 (E + k x^-a)": of_law("power_floor"),
    "M3": of_law("m3"),
    "M4, its own objective": alone(m4_objective),
    "M4, log loss": of_law("m4"),
    "BNSL, one break": of_law("bnsl1"),
    "mlproject": of_average,
}
GRID_METHODS: dict[str, Peer] = {
    "log plane": of_law("log_plane"),
    "separable": of_law("separable"),
    "product": of_law("product"),
    "coupled": of_law("coupled"),
    "bounded sum": of_law("bounded_sum"),
    "mlproject": of_average,
}
HEADER = (
    f"{'method':40s} {'RMSLE':>7s} {'median':>7s} {'worst':>7s} {'covered':>7s} {'width':>6s} {'CPU-s':>6s}"
)


def table(title: str, methods: Mapping[str, Peer], sets: Sequence[Curve], slow: Mapping[str, Peer]) -> None:
    """A row for each method: errors, coverage and median log width of the interval of a new run, time."""
    print(f"\n{title}\n{HEADER}", flush=True)
    for name, method in methods.items():
        line(name, method, sets)
    subset = sets[:: max(1, len(sets) // SLOW)][:SLOW]
    for name, method in slow.items():
        line(f"{name} ({len(subset)} of them)", method, subset)
    if slow:
        line(f"mlproject ({len(subset)} of them)", of_average, subset)


def line(name: str, method: Peer, sets: Sequence[Curve]) -> None:
    """One row of a table; sets on which a method fails are counted."""
    errors, held, widths, failed, start = [], [], [], 0, time.process_time()
    for x, y, at, seen in sets:
        try:
            mean, low, high = method(x, y, at)
        except (RuntimeError, ValueError, ArithmeticError):
            mean, low, high = np.full(len(at), np.nan), None, None
        if not np.isfinite(mean).all():
            failed += 1
            continue
        errors.append(rmsle(mean, seen))
        if low is not None and high is not None:
            ends = np.maximum(low, 1e-12), np.maximum(high, 1e-12)
            held.append(np.mean((low <= seen) & (seen <= high)))
            widths.append(np.median(np.log(ends[1] / ends[0])))
    spent = (time.process_time() - start) / len(sets)
    shown = f"{np.mean(held):7.3f} {np.median(widths):6.3f}" if held else f"{'':14s}"
    missing = f"  failed on {failed} of {len(sets)}" if failed else ""
    numbers = f"{np.mean(errors):7.4f} {np.median(errors):7.4f} {max(errors):7.4f}" if errors else f"{'':23s}"
    print(f"{name:40s} {numbers} {shown} {spent:6.3f}{missing}", flush=True)


def public(curves: Path | None, quick: bool) -> None:
    """The tables; the published curves only where they are given."""
    step = slice(None, QUICK) if quick else slice(None)
    slow, slow_grids = peers(1), peers(2)
    if curves is None:
        print("the public curves are not given (--curves): left out")
    else:
        whole = read_curves(curves)[step]
        table(f"vision curves, whole: {len(whole)}", CURVE_METHODS, whole, slow)
        table(f"vision curves, 8 points: {len(whole)}", CURVE_METHODS, [few(curve) for curve in whole], slow)
    architectures = ecoset_curves()[step]
    table(f"ecoset, curves of architectures: {len(architectures)}", CURVE_METHODS, architectures, {})
    grids = [(x[~out], y[~out], x[out], y[out]) for _, x, y, out in ecoset_grids()][step]
    table(f"ecoset, hold-outs of N x D: {len(grids)}", GRID_METHODS, grids, slow_grids)
