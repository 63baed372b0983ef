"""Replay of finished pools of cells: what a share of the budget buys, chosen by design or in simple orders.

    PYTHONPATH=src python benchmarks/until.py [--curves CURVES.csv] [--orders 20] [--coverage 100]
        [--store sqlite:///mlflow.db]

A pool is one curve whose largest scale is held out: it cannot be bought. Every order but ``random`` begins
with the three smallest scales, a seed of each, as ``mlproject sweep --until`` does. A cell costs its images.
Errors are |ln predicted - ln observed| at the held-out scale, by the same average of laws for all; medians
over curves. The example: ScaleBench (arXiv 2604.22753). ``--coverage`` plants curves, and counts how often
the interval holds the truth where the rounds stop, beside intervals of the same number of cells.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scaling_planted import PLANTED
from scaling_public import few, read_curves, read_ecoset

from mlproject.analysis import Aim, Design, FinishedRun, next_batch
from mlproject.cell import Cell
from mlproject.errors import BadInput
from mlproject.scaling import average
from mlproject.tracking import open_store

SHARES = (0.05, 0.1, 0.2, 0.5)
START = 3
CELL = Cell(
    recipe="probe", model="m", weights="random", weights_digest="w", data="d", data_digest="d",
    dataset_size=1, eval_size=1, knobs={},
)  # fmt: skip
Bought = list[tuple[float, float]]
"""Scale and loss of each cell."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Losses of the cells of a curve by scale, seeds in order; the held-out scale, and its mean loss."""

    name: str
    cells: dict[int, list[float]]
    target: int
    observed: float

    @property
    def cost(self) -> float:
        """What all cells cost."""
        return float(sum(size * len(losses) for size, losses in self.cells.items()))

    def ordered(
        self, rng: np.random.Generator | None, *, descending: bool = False
    ) -> list[tuple[int, float]]:
        """All cells by scale (seed after seed within), or in a random order."""
        cells = [(size, loss) for size in sorted(self.cells) for loss in self.cells[size]]
        if rng is not None:
            return [cells[i] for i in rng.permutation(len(cells))]
        return cells[::-1] if descending else cells

    def spread(self) -> list[tuple[int, float]]:
        """A seed of every scale, the smallest first, then the next seed of every scale."""
        most = max(map(len, self.cells.values()))
        return [
            (s, self.cells[s][i]) for i in range(most) for s in sorted(self.cells) if i < len(self.cells[s])
        ]


def pools_of(name: str, sizes: np.ndarray, losses: np.ndarray) -> Pool | None:
    """The pool of a curve with its largest scale held out; None below five scales."""
    scales = np.unique(sizes)
    if len(scales) < 5:
        return None
    cells = {int(size): losses[sizes == size].tolist() for size in scales[:-1]}
    target = int(scales[-1])
    return Pool(name=name, cells=cells, target=target, observed=float(np.mean(losses[sizes == target])))


def ecoset() -> Iterator[Pool]:
    """Every architecture on ecoset."""
    names, _, x, y = read_ecoset()
    for name in dict.fromkeys(names):
        rows = np.array([other == name for other in names])
        if pool := pools_of(name, x[rows, 1], y[rows]):
            yield pool


def vision(path: Path, domain: str) -> Iterator[Pool]:
    """Published curves: 16 points of the fit part, and the last point of the test part as the target."""
    for i, (x, y, at, seen) in enumerate(read_curves(path, domain)):
        fx, fy, _, _ = few((x, y, at, seen), 16)
        unit = 1.0 if fx.max() < 1e12 else 1e6
        sizes = np.append(np.round(fx / unit), np.round(at[-1] / unit))
        if pool := pools_of(f"{domain} {i}", sizes, np.append(fy, seen[-1])):
            yield pool


def planted() -> Iterator[Pool]:
    """Planted curves of eight scales, three seeds, noise that falls from 6 to 2 %."""
    for name, (_, loss) in PLANTED.items():
        for seed in range(3):
            rng = np.random.default_rng([seed, len(name)])
            sizes = (100 * 2 ** np.arange(8)).astype(int)
            noise = 0.06 * (sizes / 100) ** -0.23
            cells = {
                int(s): (loss(np.full(3, float(s))) * np.exp(n * rng.standard_normal(3))).tolist()
                for s, n in zip(sizes, noise, strict=True)
            }
            yield Pool(name=name, cells=cells, target=51200, observed=float(loss(np.array([51200.0]))[0]))


def stored(uri: str) -> Iterator[Pool]:
    """The curves of the finished cells of a store, by model."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    runs = list(open_store("", create=False).observations())
    for model in sorted({run.cell.model for run in runs}):
        of_model = sorted((r for r in runs if r.cell.model == model), key=lambda run: run.cell.seed)
        sizes = np.array([run.cell.dataset_size for run in of_model], dtype=np.float64)
        losses = np.array([run.metrics["eval.loss"] for run in of_model])
        if pool := pools_of(model, sizes, losses):
            yield pool


def chosen(pool: Pool, shares: tuple[float, ...], *, largest: bool = False) -> list[Bought]:
    """What the rounds of linear Bayes design buy up to each share of the budget.

    With ``largest`` the largest size that a share affords is bought first.
    """
    left = {size: list(losses) for size, losses in pool.cells.items()}
    runs = [_run(size, left) for size in sorted(left)[:START]]
    bought: list[Bought] = []
    for share in shares:
        left_over = share * pool.cost - sum(run.size for run in runs)
        affordable = [size for size, losses in left.items() if losses and size <= left_over]
        if largest and affordable and not any(run.size >= max(affordable) for run in runs):
            runs.append(_run(max(affordable), left))
        while True:
            allowance = share * pool.cost - sum(run.size for run in runs)
            waiting = {(0, size): len(losses) for size, losses in left.items() if losses}
            if not waiting or min(size for _, size in waiting) > allowance:
                break
            design = Design(cells=(CELL,), n_pool=10**12, runs=tuple(runs))
            aim = Aim(target=pool.target, budget=allowance)
            batch = next_batch(design, aim, waiting, log_width=np.inf, wanted=0.0, least=1)
            if not batch.cells:
                break
            runs += [_run(size, left) for _, size in batch.cells]
        bought.append([(float(run.size), run.loss) for run in runs])
    return bought


def _run(size: int, left: dict[int, list[float]]) -> FinishedRun:
    return FinishedRun(
        model=0, size=size, seed=0, loss=left[size].pop(0), params=np.nan, flops=0.0, seconds=0.0
    )


def in_order(
    pool: Pool, order: list[tuple[int, float]], shares: tuple[float, ...], *, start: bool
) -> list[Bought]:
    """What an order buys up to each share: every cell that is still affordable, one after the other."""
    bought: Bought = []
    if start:
        for size in sorted(pool.cells)[:START]:
            order.remove((size, pool.cells[size][0]))
            bought.append((float(size), pool.cells[size][0]))
    results = []
    for share in shares:
        for cell in list(order):
            if sum(size for size, _ in bought) + cell[0] <= share * pool.cost:
                bought.append((float(cell[0]), cell[1]))
                order.remove(cell)
        results.append(list(bought))
    return results


def predicted(pool: Pool, bought: Bought) -> tuple[float, float]:
    """The error at the held-out scale, and the local exponent at the largest scale of the pool; or NaN."""
    x, y = np.array(bought).T if bought else (np.array([]), np.array([]))
    try:
        averaged = average(x, y)
    except BadInput:
        return np.nan, np.nan
    mean = averaged.predict(np.array([float(pool.target)])).mean[0]
    return abs(float(np.log(mean / pool.observed))), averaged.local_exponent(max(pool.cells)).value


def table(title: str, pools: list[Pool], n_orders: int) -> None:
    """Median errors of every order at every share, and where no law can be fitted."""
    start, rng = time.process_time(), np.random.default_rng(0)
    every = [predicted(pool, [(float(s), v) for s, v in pool.ordered(None)]) for pool in pools]
    orders = {
        "by design": lambda p: [chosen(p, SHARES)],
        "largest, then design": lambda p: [chosen(p, SHARES, largest=True)],
        "random": lambda p: [in_order(p, p.ordered(rng), SHARES, start=False) for _ in range(n_orders)],
        "random, started": lambda p: [
            in_order(p, p.ordered(rng), SHARES, start=True) for _ in range(n_orders)
        ],
        "largest first": lambda p: [in_order(p, p.ordered(None, descending=True), SHARES, start=True)],
        "smallest first": lambda p: [in_order(p, p.ordered(None), SHARES, start=True)],
        "every scale first": lambda p: [in_order(p, p.spread(), SHARES, start=True)],
    }
    print(f"\n{title}: {len(pools)} pools; everything: error {np.median([e for e, _ in every]):.4f}")
    print(f"{'order':20s} " + " ".join(f"{f'{share:.0%}':>24s}" for share in SHARES))
    print(f"{'':20s} " + " ".join(f"{'error  ×all  Δα  none':>24s}" for _ in SHARES))
    for name, order in orders.items():
        results = [[[predicted(pool, b) for b in bought] for bought in order(pool)] for pool in pools]
        cells = []
        for k in range(len(SHARES)):
            errors = np.concatenate([[r[k][0] for r in of_pool] for of_pool in results])
            shift = np.concatenate(
                [[abs(r[k][1] - e[1]) for r in of] for of, e in zip(results, every, strict=True)]
            )
            middle = float(np.nanmedian(errors)) if np.isfinite(errors).any() else np.nan
            ratio = middle / np.median([e for e, _ in every])
            cells.append(
                f"{middle:8.4f} {ratio:5.2f} {np.nanmedian(shift):5.3f} {np.isnan(errors).mean():4.0%}"
            )
        print(f"{name:20s} " + " ".join(cells), flush=True)
    print(f"{time.process_time() - start:.0f} CPU-s", flush=True)


def coverage(repeats: int, width: float = 0.15) -> None:
    """Share of intervals that hold the planted loss where rounds stop, and with all cells of the pool."""
    print(f"\nStopped at width <= {width:g}, {repeats} planted data sets a row: covered, spent, all cells")
    for name, (_, loss) in PLANTED.items():
        held, whole, spent, narrow = [], [], [], 0
        for seed in range(repeats):
            rng = np.random.default_rng([seed, 7])
            cells = {
                int(s): (loss(np.full(4, float(s))) * np.exp(0.03 * rng.standard_normal(4))).tolist()
                for s in 100 * 2 ** np.arange(8)
            }
            pool = Pool(name=name, cells=cells, target=25600, observed=float(loss(np.array([25600.0]))[0]))
            for share, bought in zip(*_stops(pool, width), strict=True):
                low, high = _interval(pool, bought)
                if high / low - 1 <= width or share == 1.0:
                    narrow += share < 1.0
                    held.append(low <= pool.observed <= high)
                    spent.append(share)
                    break
            low, high = _interval(pool, [(float(s), v) for s, v in pool.ordered(None)])
            whole.append(low <= pool.observed <= high)
        print(
            f"{name:16s} {np.mean(held):.2f}  {np.median(spent):.2f}  {np.mean(whole):.2f}"
            f"  narrow before the end {narrow} of {repeats}",
            flush=True,
        )


def _stops(pool: Pool, width: float) -> tuple[list[float], list[Bought]]:
    shares = [0.03 * 1.25**k for k in range(16)] + [1.0]
    return shares, chosen(pool, tuple(shares))


def _interval(pool: Pool, bought: Bought) -> tuple[float, float]:
    x, y = np.array(bought).T
    p = average(x, y).predict(np.array([float(pool.target)]))
    return float(p.low[0]), float(p.high[0])


def main() -> None:
    """Print a table for each kind of pool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=Path, nargs="*", default=[])
    parser.add_argument("--store", default="", help="finished cells, of which each model is a pool")
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--coverage", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of pools")
    options = parser.parse_args()
    sets = {"ecoset": list(ecoset()), "planted": list(planted())}
    if options.store:
        sets[options.store] = list(stored(options.store))
    for path in options.curves:
        domain = "NMT" if "language" in path.name else "IC"
        sets[f"{path.stem}"] = list(vision(path, domain))[::2]
    for title, pools in sets.items():
        if pools and title in (options.only or sets):
            table(title, pools, options.orders)
    if options.coverage:
        coverage(options.coverage)


if __name__ == "__main__":
    main()
