"""Ten planted curves: what the answer of an assessment covers, and how wide it is.

    PYTHONPATH=src python benchmarks/scaling_planted.py --repeats 100 [--noise 0.001 0.01 0.05] [--seeds 1 3]

Eight scales from 100 to 12,800, noise normal on ln L. Columns, all of 95 % intervals of ``mlproject.assess``:
``local``: share that hold the local exponent at the largest scale, its median width and error;
``2x``, ``10x``: share of intervals of the mean that hold the loss there, and the median width of its log;
``x true``: that width at 10x relative to the planted law fitted alone, where it is one of the laws;
``alpha``: share of the exponents over all laws far beyond the data that hold the local exponent (what was
quoted before); verdicts. A bar of 0.93 to 0.98 holds for ``local``, ``2x`` and ``10x``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mlproject.scaling import Prediction, assess, fit

Array = NDArray[np.float64]
SCALES = 100.0 * 2.0 ** np.arange(8)
LARGEST = float(SCALES[-1])
BEYOND = (2.0, 10.0)
PLANTED: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "power": ("power", lambda x: 5 * x**-0.3),
    "floor": ("power_floor", lambda x: 0.4 + 5 * x**-0.4),
    "small floor": ("power_floor", lambda x: 0.05 + 5 * x**-0.3),
    "shifted": ("shifted", lambda x: 20 * (x + 1500) ** -0.4),
    "shifted floor": ("zhai", lambda x: 0.3 + 20 * (x + 1000) ** -0.5),
    "bounded": ("bounded", lambda x: 0.1 + 2.2 * (x / 2000) ** -0.8 / (1 + (x / 2000) ** -0.8)),
    "kink steepening": ("", lambda x: 3 * x**-0.1 * (1 + (x / 2500) ** 5) ** (-0.3 / 5)),
    "kink flattening": ("", lambda x: 5 * x**-0.4 * (1 + (x / 2500) ** 5) ** (0.25 / 5)),
    "linear in ln x": ("", lambda x: 3 - 0.25 * np.log(x)),
    "flat": ("", lambda x: 1.3 + 0 * x),
}


def slope(loss: Callable[[Array], Array], x: float) -> float:
    """-d ln L / d ln x."""
    step = 1e-4
    low, high = loss(np.array([x * np.exp(-step), x * np.exp(step)]))
    return float(np.log(low / high) / (2 * step))


def log_width(prediction: Prediction) -> Array:
    """Widths of the intervals of the mean, in ln L."""
    return np.asarray(np.log(prediction.high / prediction.low))


def row(name: str, noise: float, seeds: int, repeats: int) -> str:
    """One line of the table."""
    law, loss = PLANTED[name]
    at, truth = LARGEST * np.array(BEYOND), slope(loss, LARGEST)
    verdicts: Counter[str] = Counter()
    local, alpha, held, widths, ratio = [], [], [], [], []
    for seed in range(repeats):
        rng = np.random.default_rng([seed, seeds])
        x = np.repeat(SCALES, seeds)
        y = loss(x) * np.exp(noise * rng.standard_normal(len(x)))
        answer = assess(x, y)
        verdicts[answer.verdict] += 1
        predicted = answer.predict(at)
        if predicted is None or answer.local is None:
            continue
        local.append((answer.local.holds(truth), answer.local.width, abs(answer.local.value - truth)))
        alpha.append(answer.exponents["alpha"].holds(truth))
        held.append((predicted.low <= loss(at)) & (loss(at) <= predicted.high))
        widths.append(log_width(predicted))
        if law:
            ratio.append(widths[-1][1] / log_width(fit(x, y, law=law).predict(at))[1])
    if not local:
        return f"{name:16s} {noise:6.3f} {seeds}  no average: {dict(verdicts)}"
    covered, width, error = np.mean(local, axis=0)[0], *np.median(np.array(local, float)[:, 1:], axis=0)
    (near, far), (near_width, far_width) = np.mean(held, axis=0), np.median(widths, axis=0)
    relative = f"{np.median(ratio):5.2f}" if ratio else "     "
    return (
        f"{name:16s} {noise:6.3f} {seeds}  {truth:6.3f}  {covered:.2f} {width:6.3f} {error:6.3f}"
        f"   {near:.2f} {near_width:6.3f}   {far:.2f} {far_width:6.3f} {relative}   {np.mean(alpha):.2f}"
        f"  {', '.join(f'{verdict} {n}' for verdict, n in verdicts.most_common())}"
    )


def main() -> None:
    """Print a line for each curve, noise and number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.001, 0.01, 0.05])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3])
    options = parser.parse_args()
    print(
        f"{options.repeats} data sets a row\n{'curve':16s}  noise seeds  true  local  width  error"
        "     2x  width    10x  width x true  alpha  verdicts"
    )
    for seeds, noise, name in product(options.seeds, options.noise, PLANTED):
        print(row(name, noise, seeds, options.repeats), flush=True)


if __name__ == "__main__":
    main()
