"""Scaling laws against their peers, all in one run: extrapolation error, coverage, width, CPU seconds.

    PYTHONPATH=src python benchmarks/scaling.py [--curves curves.csv] [--chinchilla points.csv] [--quick]

``--curves``: the learning curves of Alabdulmohsin, Neyshabur, Zhai 2022 (columns Domain, Task, Model,
Seen Examples, Loss, Training; Training 1 fits, 0 tests). ``--chinchilla``: points of Besiroglu et al. 2024
(columns model_size, training_flop, loss). Neither ships with this repository; curves and grids of ecoset do
(``scaling_public``). Then come the sections with a known truth: simulated curves, simulated N x D grids, and
per-image exponents (``--repeats 0`` leaves them out; ``scaling_simulation.py`` plants every law,
``scaling_planted.py`` ten curves, ``scaling_shared.py`` noise that rows share). Packages of others run where
they are installed (``scaling_peers``), on a few of the curves, since each takes seconds; one that is not
installed is named. ``--quick`` takes three curves and grids of each table, in a minute or two.

RMSLE is the root mean squared log error, its mean, median and worst over curves; covered is the share of
held-out losses inside nominal 95 % intervals of a new run; width the median log width of these. The whole
takes about a quarter of an hour on one core; errors repeat exactly, seconds vary with the machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scaling_joint import chinchilla, grids
from scaling_known import known_truth, per_image
from scaling_public import public


def main() -> None:
    """Run the sections that the arguments allow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--curves", type=Path)
    parser.add_argument("--chinchilla", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="three curves and grids of each table")
    arguments = parser.parse_args()
    public(arguments.curves, arguments.quick)
    if arguments.chinchilla and not arguments.quick:
        chinchilla(arguments.chinchilla)
    if not arguments.repeats or arguments.quick:
        return
    known_truth(arguments.repeats)
    grids(max(arguments.repeats // 5, 5))
    per_image()


if __name__ == "__main__":
    main()
