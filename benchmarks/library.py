"""Gain and harm of the law library, each study left out: `python benchmarks/library.py --curves PATH`.

Every published curve (thinned to ``POINTS`` in equal steps of ln x) is predicted from its 3, 4, 5 or 8
smallest scales at its larger ones, with a library that lacks its study: whole, and from where its error has
left chance (``REGION``). Beside it the same without a library, and a power law whose exponent is the
library's median. Then planted curves unlike all others. RMSLE, share of held-out losses in the 95 % interval
of a new run, median log width, interval score of ln L (Gneiting and Raftery 2007, J. Amer. Statist. Assoc.
102, 359: width + 40 times the distance of what is missed), share of local exponents held where planted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_public import read_curves, read_ecoset
from scaling_scores import rmsle

from mlproject.scaling import Library, assess, find_library

Array = NDArray[np.float64]
POINTS, REGION, SIZES = 10, 0.9, (3, 4, 5, 8)
STRANGE = ((0.9, 0.0), (0.02, 0.0), (0.5, 0.6))  # exponents and floors of planted curves
HEADER = f"{'':34s} {'n':>2s} {'RMSLE':>7s} {'held':>6s} {'width':>6s} {'score':>6s} {'CPU-s':>6s}"


def curves(path: Path) -> Iterator[tuple[str, Array, Array]]:
    """Study, scales and errors of every curve."""
    for x, y, at, seen in read_curves(path):
        yield "Alabdulmohsin 2022", np.concatenate([x, at]), np.concatenate([y, seen])
    names, _, x, y = read_ecoset()
    for name in dict.fromkeys(names):
        here = np.array([other == name for other in names])
        sizes = np.unique(x[here, 1])
        yield "Gokce 2025", sizes, np.array([y[here & (x[:, 1] == size)].mean() for size in sizes])


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most POINTS points in equal steps of ln x."""
    steps = np.linspace(np.log(x[0]), np.log(x[-1]), POINTS) - 1e-9
    kept = np.unique(np.searchsorted(np.log(x), steps)) if len(x) > POINTS else np.arange(len(x))
    return x[kept], y[kept]


def score(x: Array, y: Array, n: int, library: Library | None) -> tuple[float, ...] | None:
    """RMSLE, share held, width, interval score and CPU seconds; None where nothing is predicted."""
    start = time.process_time()
    p = assess(x[:n], y[:n], library=library).predict(x[n:])
    spent, seen = time.process_time() - start, y[n:]
    if p is None:
        return None
    low, high = np.log(np.maximum(p.new_run_low, 1e-3)), np.log(p.new_run_high)
    log = np.log(seen)
    missed = np.maximum(low - log, 0.0) + np.maximum(log - high, 0.0)
    held, width = np.mean(missed == 0.0), np.median(high - low)
    return rmsle(p.mean, seen), float(held), float(width), float(np.mean(high - low + 40 * missed)), spent


def fixed(x: Array, y: Array, n: int, library: Library) -> tuple[float, ...]:
    """The RMSLE of a power law whose exponent is the library's median."""
    pooled = library.log_exponent
    alpha = float(np.exp(pooled.weights @ pooled.means))
    level = np.mean(np.log(y[:n]) + alpha * np.log(x[:n]))
    return (rmsle(np.exp(level - alpha * np.log(x[n:])), y[n:]), np.nan, np.nan, np.nan, 0.0)


def show(title: str, sets: list[tuple[str, Array, Array]], library: Library) -> None:
    """A row for each study, number of scales and method."""
    print(f"\n{title}\n{HEADER}", flush=True)
    rows: dict[tuple[str, str, int], list[tuple[float, ...]]] = {}
    for study, x, y in sets:
        rest = library.without([study])
        for n in (n for n in SIZES if n < len(x)):
            made = {"without": score(x, y, n, None), "library": score(x, y, n, rest)}
            for method, values in {**made, "fixed exponent": fixed(x, y, n, rest)}.items():
                if values is not None:
                    rows.setdefault((study, method, n), []).append(values)
    for (study, method, n), values in sorted(rows.items(), key=lambda item: (item[0][0], item[0][2])):
        a, b, c, d, e = np.mean(values, axis=0)
        print(
            f"{study}, {method} ({len(values)})".ljust(34),
            f"{n:2d} {a:7.3f} {b:6.3f} {c:6.2f} {d:6.2f} {e:6.3f}",
        )


def main() -> None:
    """All tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--curves", type=Path, required=True)
    library = find_library("vision", "images", "error")
    every = list(curves(options.parse_args().curves))
    show("whole curves", [(study, *thinned(x, y)) for study, x, y in every], library)
    left = [(study, x[y <= REGION], y[y <= REGION]) for study, x, y in every]
    show("from where the error has left chance", [(s, *thinned(x, y)) for s, x, y in left], library)
    x = 1000.0 * 2.0 ** np.arange(POINTS)
    for alpha, floor in STRANGE:
        noise = [np.exp(0.01 * np.random.default_rng(seed).normal(size=POINTS)) for seed in range(8)]
        planted = [("planted", x, (floor + (0.9 - floor) * (x / x[0]) ** -alpha) * each) for each in noise]
        show(f"planted: exponent {alpha}, floor {floor}, noise 1 %", planted, library)


if __name__ == "__main__":
    main()
