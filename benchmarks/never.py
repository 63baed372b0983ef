"""How often a plan that is run until its prediction is narrow stops wrongly with "it never will be".

    PYTHONPATH=src python benchmarks/never.py [--repeats 4] [--store sqlite:///mlflow.db --target 4000]

Planted curves of 300 shared evaluation images, six sizes and three seeds, or the finished cells of a store by
curve, are bought in rounds as ``mlproject sweep --until`` does, to the end. At each round the width expected
after all cells is compared with the width that all cells give. A margin m stops wrongly where it is asked for
a width that all cells reach just so, and a round expects more than m times its logarithm; it goes on in vain
where it is asked for a half of that logarithm, by the share of the cost that is spent until it stops.
"""

from __future__ import annotations

import argparse
import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np

from mlproject.analysis import Aim, Design, finished_run, next_batch, predict_targets
from mlproject.cell import Cell
from mlproject.losses import Observation, PerImageLosses
from mlproject.tracking import open_store

SIZES, SEEDS, N_IMAGES, START = (100, 200, 400, 800, 1600, 3200), 3, 300, 3
MARGINS = (1.0, 1.25, 1.5, 2.0, 3.0)
LAWS = {
    "power": lambda x: 6.0 * x**-0.4,
    "floor": lambda x: 0.25 + 6.0 * x**-0.5,
    "shallow": lambda x: 2.0 * x**-0.15,
    "kink": lambda x: 0.1 + 3.0 * x**-0.3 * (1 + (x / 800) ** 2) ** -0.1,
}
Round = tuple[float, float, float, float]
"""Share of the cost, log width, and log widths expected of all: images bounded, and unbounded."""


def planted(name: str, repeat: int) -> list[Observation]:
    """A curve of images of their own difficulty, with 5 % of noise between seeds and 20 % between runs."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), repeat])
    hard = np.exp(0.9 * rng.normal(size=N_IMAGES))
    ids = tuple(f"{i}.png" for i in range(N_IMAGES))
    return [
        _observation(
            Cell(
                recipe="probe", model="m", weights="random", weights_digest="w", data="d", data_digest="d",
                dataset_size=size, eval_size=N_IMAGES, seed=seed, knobs={},
            ),
            ids,
            LAWS[name](size) * math.exp(0.05 * rng.normal()) * hard * np.exp(0.2 * rng.normal(size=N_IMAGES)),
        )
        for size in SIZES
        for seed in range(SEEDS)
    ]  # fmt: skip


def _observation(cell: Cell, ids: tuple[str, ...], losses: np.ndarray) -> Observation:
    table = PerImageLosses(kind="mse", image_ids=ids, splits=("eval",) * len(ids), values={"mse": losses})
    metrics = {"params": 1e6, "flops": 1.0 * cell.dataset_size, "eval.loss": float(np.mean(losses))}
    return Observation(
        cell=cell, run_id=cell.key, metrics=metrics, losses_digest=table.digest, load_losses=lambda: table
    )


def stored(uri: str) -> Iterator[tuple[str, list[Observation]]]:
    """The finished cells of a store by model."""
    import os

    os.environ["MLFLOW_TRACKING_URI"] = uri
    curves: dict[str, list[Observation]] = {}
    for run in open_store("", create=False).observations():
        curves.setdefault(run.cell.model, []).append(replace(run, load_losses=cache(run.load_losses)))
    yield from curves.items()


def rounds(runs: list[Observation], target: int) -> tuple[list[Round], float]:
    """What every round knew, and the log width that all cells give."""
    by_size: dict[int, list[Observation]] = {}
    for run in sorted(runs, key=lambda run: run.cell.seed):
        by_size.setdefault(run.cell.dataset_size, []).append(run)
    cost = sum(run.cell.dataset_size for run in runs)
    bought = [by_size[size].pop(0) for size in sorted(by_size)[:START]]
    known: list[Round] = []
    while any(by_size.values()):
        (predicted,) = set(predict_targets(bought, Aim(target=target, budget=1.0), n_draws=200).values())
        design = Design(cells=(runs[0].cell,), n_pool=10**9, runs=tuple(finished_run(run) for run in bought))
        waiting = {(0, size): len(left) for size, left in by_size.items() if left}
        aim = Aim(target=target, budget=float(sum(size * n for (_, size), n in waiting.items())))
        width = math.inf if predicted.few else predicted.log_width
        common = {"log_width": width, "wanted": 0.0, "least": 1}
        batch = next_batch(design, aim, waiting, of_images=predicted.of_images, **common)
        before = next_batch(design, aim, waiting, **common)
        spent = sum(run.cell.dataset_size for run in bought) / cost
        if not predicted.few:
            known.append((spent, predicted.log_width, batch.expected_of_all, before.expected_of_all))
        bought += [by_size[size].pop(0) for _, size in batch.cells] or [
            left.pop(0) for left in by_size.values() if left
        ]
    (final,) = set(predict_targets(bought, Aim(target=target, budget=1.0), n_draws=200).values())
    return known, final.log_width


def table(title: str, pools: list[tuple[list[Round], float]]) -> None:
    """Wrong stops and what is spent in vain, by margin, with images bounded and unbounded."""
    print(f"\n{title}: {len(pools)} data sets, log width of all cells {np.median([w for _, w in pools]):.2f}")
    print("margin  wrong stops: bounded, unbounded   spent where half is asked for: bounded, unbounded")
    for margin in MARGINS:
        cells = []
        for place in (2, 3):
            wrong = [_stop(known, final, margin, place, final) < 1.0 for known, final in pools]
            vain = [_stop(known, final / 2, margin, place, 0.0) for known, final in pools]
            cells.append((np.mean(wrong), np.median(vain)))
        (a, b), (c, d) = cells
        print(f"{margin:6.2f}  {a:11.2f} {c:18.2f} {b:30.2f} {d:18.2f}", flush=True)


def _stop(known: list[Round], wanted: float, margin: float, place: int, narrow: float) -> float:
    """The share of the cost at which it stops as never narrow enough; 1 where it does not."""
    for each in known:
        if each[1] <= narrow:
            return 1.0
        if each[place] > margin * wanted:
            return each[0]
    return 1.0


def main() -> None:
    """Print a table for each law, and one for the curves of a store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--store", default="")
    parser.add_argument("--target", type=int, default=4000)
    options = parser.parse_args()
    if options.store:
        table(options.store, [rounds(runs, options.target) for _, runs in stored(options.store)])
    every = []
    for name in LAWS if options.repeats else ():
        pools = [rounds(planted(name, repeat), 2 * SIZES[-1]) for repeat in range(options.repeats)]
        table(name, pools)
        every += pools
    if every:
        table("all", every)


if __name__ == "__main__":
    main()
