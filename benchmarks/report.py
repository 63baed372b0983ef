"""What a report costs: CPU seconds, memory and size of the page, for made-up observations.

python -m benchmarks.report --cells 1000 --images 1000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlproject.analysis import analyse
from mlproject.cell import Cell
from mlproject.losses import Observation, PerImageLosses
from mlproject.report import write_report

SEEDS = 5
SIZES = np.unique(np.geomspace(100, 10_000, 10).round().astype(int)).tolist()


def observations(n_cells: int, n_images: int) -> Iterator[Observation]:
    """Models by sizes and seeds: L = E + k D^-0.3 for an image of its own difficulty, with noise."""
    rng = np.random.default_rng(0)
    hard = np.exp(rng.normal(size=n_images))
    ids = tuple(f"{i:05d}.png" for i in range(n_images))
    grid = [
        (m, d, s) for m in range(-(-n_cells // (len(SIZES) * SEEDS))) for d in SIZES for s in range(SEEDS)
    ]
    for model, size, seed in grid[:n_cells]:
        this = Cell(
            recipe="probe", model=f"net{model:02d}", weights="imagenet", weights_digest=f"w{model}",
            data="made-up", data_digest="d", dataset_size=size, eval_size=n_images, seed=seed,
            knobs={"target": "labels", "lr": 1e-3},
        )  # fmt: skip
        noise = np.random.default_rng(zlib.crc32(this.key.encode())).normal(size=n_images + 1)
        mean = (0.2 + (4 + 0.05 * model) * size**-0.3) * np.exp(0.02 * noise[0])
        losses = mean * hard * np.exp(0.2 * noise[1:])
        table = PerImageLosses(
            kind="cross_entropy", image_ids=ids, splits=("eval",) * n_images, values={"cross_entropy": losses}
        )
        yield Observation(
            cell=this,
            run_id=f"run-{this.key}",
            metrics={"params": 1e6 * 1.2**model, "flops": 4e8 * size, "eval.loss": float(losses.mean())},
            losses_digest=table.digest,
            load_losses=lambda table=table: table,  # type: ignore[misc]
        )


def main() -> None:
    """Print the CPU seconds of analysis and report, the peak of memory, and the size of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    runs = list(observations(given.cells, given.images))
    start = time.process_time()
    study = analyse(runs)
    analysed = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_report(study, Path(folder))
        page = (Path(folder) / "report.html").stat().st_size
    reported = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(
        f"{given.cells} cells x {given.images} images: analysis {analysed - start:.1f} CPU-s, report ", end=""
    )
    print(f"{reported - analysed:.1f} CPU-s, peak {peak:.2f} GiB, page {page / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
