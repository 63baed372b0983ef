"""How many distinct scales a law of p parameters needs before it may be called *scaling*.

    PYTHONPATH=src python benchmarks/scaling_verdicts.py --repeats 200

Three to six scales between 100 and 3,200, one loss each, noise normal on ln L. Planted: a power law, a power
law with a floor (a third of the loss at the largest scale), and a constant. The noise is either reported,
with replicates as a bootstrap gives them, or has to be read from the residuals. Every law with at least one
degree of freedom is fitted, and the answer of an assessment is formed under the rule that p + 1 scales
suffice and under the rule that p + 2 are needed.

Columns. ``law``: the law that was fitted, with n - p degrees of freedom; ``alpha`` and ``ahead``: share of
95 % intervals that hold the planted exponent (same law only) and the loss at four times the largest scale;
``scaling`` and ``flat``: shares of these verdicts; ``ahead|scaling``: coverage among fits called scaling.
``answer``: verdict over all laws under each rule: share of scaling, and share of *false* verdicts, which are
scaling for a constant, flat for a law that falls, and scaling with an interval that does not hold the
planted exponent of the law that gives the answer, or, where another law gives it, the loss ahead.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import Fit, average, fit

Array = NDArray[np.float64]
PARAMETERS = {"power": 2, "power_floor": 3}
PLANTED = {"power": (0.0, 0.4), "power_floor": (1.0 / 3.0, 0.6), "flat": (1.0, 0.4)}
NOISES = (0.01, 0.05)
SCALES = (3, 4, 5, 6)
LARGEST, AHEAD, N_DRAWS = 3200.0, 4.0, 200
LEAST_WEIGHT = 0.1


def loss(planted: str, x: Array) -> Array:
    """The planted loss, 1 at the largest scale; the floor is a share of it."""
    floor, alpha = PLANTED[planted]
    return floor + (1.0 - floor) * (x / LARGEST) ** -alpha


def answer(fits: dict[str, Fit], weights: dict[str, float], n: int, spare: int) -> tuple[str, str]:
    """Verdict over the laws, and the law that gives it, where a law needs ``spare`` scales more than p."""
    verdicts = {}
    for law, fitted in fits.items():
        enough = n >= PARAMETERS[law] + spare
        verdicts[law] = fitted.verdict if enough or fitted.verdict == "flat" else "not identifiable"
    order = sorted(fits, key=lambda law: -weights[law])
    flat = [law for law in order if verdicts[law] == "flat"]
    decided = [law for law in order if verdicts[law] == "scaling" and weights[law] >= LEAST_WEIGHT]
    chosen = (flat or decided or order)[0]
    return verdicts[chosen], chosen


def is_false(planted: str, verdict: str, law: str, fitted: Fit, ahead_held: bool) -> bool:
    """Whether an answer says something that is not so."""
    if verdict == "not identifiable":
        return False
    if planted == "flat" or verdict == "flat":
        return (planted == "flat") != (verdict == "flat")
    return not fitted.parameters["alpha"].holds(PLANTED[planted][1]) if law == planted else not ahead_held


def run(planted: str, noise: float, known: bool, n: int, repeats: int) -> list[str]:
    """The lines of one design."""
    x = np.geomspace(100.0, LARGEST, n)
    ahead, truth = np.array([AHEAD * LARGEST]), float(loss(planted, np.array([AHEAD * LARGEST]))[0])
    rows: dict[str, list[list[float]]] = defaultdict(list)
    answers: dict[int, list[list[float]]] = defaultdict(list)
    for seed in range(repeats):
        rng = np.random.default_rng([seed, n, int(1e4 * noise), int(known), *planted.encode()])
        y = loss(planted, x) * np.exp(noise * rng.standard_normal(n))
        given = {}
        if known:
            given = {"sd": noise * y, "draws": y * np.exp(noise * rng.standard_normal((N_DRAWS, n)))}
        fits = {law: fit(x, y, law=law, **given) for law, p in PARAMETERS.items() if n > p}
        weights, held = average(x, y, laws=PARAMETERS, **given).weights, {}
        for law, fitted in fits.items():
            told = fitted.predict(ahead)
            held[law] = bool(told.low[0] <= truth <= told.high[0])
            alpha = fitted.parameters["alpha"].holds(PLANTED[planted][1]) if law == planted else np.nan
            rows[law].append([alpha, held[law], fitted.verdict == "scaling", fitted.verdict == "flat"])
        for spare in (1, 2):
            verdict, law = answer(fits, weights, n, spare)
            wrong = is_false(planted, verdict, law, fits[law], held[law])
            answers[spare].append([verdict == "scaling", wrong])
    head = f"{planted:12s} {noise:5.2f} {'known' if known else 'read':6s} {n:d}"
    lines = []
    for law, values in rows.items():
        table = np.array(values, dtype=float)
        sure = table[:, 2] == 1
        among = table[sure, 1].mean() if sure.any() else np.nan
        lines.append(
            f"{head}  {law:12s} {n - PARAMETERS[law]:d} {table[:, 0].mean():6.3f} {table[:, 1].mean():6.3f}"
            f" {table[:, 2].mean():8.3f} {table[:, 3].mean():6.3f} {among:8.3f}"
        )
    cells = []
    for spare, shares in answers.items():
        scaling, false = np.array(shares).mean(axis=0)
        cells.append(f"p+{spare}: scaling {scaling:.3f} false {false:.3f}")
    return [*lines, f"{head}  answer        {'   '.join(cells)}"]


def main() -> None:
    """All designs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    print("planted      noise noise  n  law          dof  alpha  ahead  scaling   flat  ahead|scaling")
    for n, known, planted, noise in product(SCALES, (True, False), PLANTED, NOISES):
        print("\n".join(run(planted, noise, known, n, repeats)), flush=True)


if __name__ == "__main__":
    main()
