"""The data of the golden scaling numbers and what is computed of them; ``scaling_api`` makes the calls.

``scaling_points.json`` holds, for every law, points planted on it with a noise of one per cent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import plain
from tests.golden import scaling_api as api

HERE = Path(__file__).parent
POINTS = plain.read(HERE / "scaling_points.json")
SIZES = np.array([100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0])
WAVE = np.array([0.3, -1.1, 0.8, 0.2, -0.6, 1.0, -0.7])
LOSSES = (0.3 + 10.0 * SIZES**-0.5) * (1 + 0.01 * WAVE)
BEYOND = [50.0, 2e4, 1e6]
DANWOOD = ([1.309, 1.471, 1.490, 1.565, 1.611, 1.680], [2.138, 3.421, 3.597, 4.340, 4.882, 5.660])
OPENAI = ([1.122944e12, 2.63296e11, 9.472e10], [0.2451, 0.31648, 0.36666])
OPENCLIP = (
    [33401015102.770027, 113924155760.17279, 388572419902.0453, 1325342500903.7065, 4520477148492.662],
    [0.37316, 0.36772, 0.29778, 0.26904, 0.22028],
)
CEILINGS = {"bounded": 2.0, "m4": 2.0, "bounded_sum": 3.0}


def grid(n_models: int = 7, n_sizes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Cells over N and D with losses of a sum of powers, wavy by a few per mille."""
    n, d = np.meshgrid(np.geomspace(1e5, 3e7, n_models), np.geomspace(100, 51200, n_sizes), indexing="ij")
    x = np.stack([n.ravel(), d.ravel()], axis=1)
    wavy = 1 + 0.004 * np.sin(3.0 * np.arange(len(x)))
    return x, (0.3 + 40 * x[:, 0] ** -0.35 + 8 * x[:, 1] ** -0.3) * wavy


def skewed(power: float = 0.4, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Losses of 200 images at six sizes: x, their means, 300 replicates, and the influence of images."""
    rng = np.random.default_rng(seed)
    x = 100.0 * 2.0 ** np.arange(6)
    hard = np.random.default_rng(9).gamma(0.7, size=(200, 1))
    losses = 3 * x**-power * (hard + 0.5 * rng.gamma(0.7, size=(200, 6))) / 1.05
    weights = np.random.default_rng(8).standard_exponential((300, 200))
    y = losses.mean(axis=0)
    return x, y, weights @ losses / weights.sum(axis=1, keepdims=True), (losses - y) / 200


def points(law: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Planted points of a law, and scales beyond them."""
    x, y = (np.array(POINTS[law][name]) for name in "xy")
    return x, y, x.max(axis=0) * np.array([[2.0], [10.0]])


def fit_of_law(law: str) -> Any:
    x, y, at = points(law)
    return api.told_fit(api.fit(x, y, law=law), at)


def fit_under_ceiling(law: str) -> Any:
    x, y, at = points(law)
    return api.told_fit(api.fit(x, y, law=law, ceiling=CEILINGS[law]), at)


def fit_known(law: str) -> Any:
    return api.told_fit(api.fit(SIZES, LOSSES, law=law, sd=0.01 * LOSSES), BEYOND)


def fit_drawn(law: str, accelerated: bool) -> Any:
    x, y, draws, moved = skewed()
    found = api.fit(x, y, law=law, draws=draws, influence=moved if accelerated else None)
    return api.told_fit(found, BEYOND)


def fit_linear() -> Any:
    return api.told_fit(api.fit(*DANWOOD, law="power", space="linear"), [1.0, 2.0])


def bennett() -> Any:
    text = (HERE.parent / "scaling" / "fitting" / "bennett5.txt").read_text()
    numbers = np.array(text.split("\n", 2)[2].split(), float)
    return api.told_fit(api.fit(numbers[1::2], -numbers[0::2], law="shifted", space="linear"), [200.0])


def verdicts() -> Any:
    """Words and numbers of a flat loss, of too few scales, of a design on one line, of a rising loss."""
    n = np.geomspace(1e6, 1e9, 12)
    line = np.stack([n, 20.0 * n], axis=1)
    found = {
        "flat": api.fit(SIZES, 1 + 0.01 * WAVE, law="power"),
        "flat with a floor": api.fit(SIZES, 1 + 0.01 * WAVE),
        "three scales": api.fit(SIZES[:3], LOSSES[:3]),
        "one degree of freedom": api.fit(SIZES[:3], LOSSES[:3], law="power"),
        "on one line": api.fit(line, 1.69 + 400 * n**-0.34 + 410 * (20 * n) ** -0.28, law="product"),
        "rising": api.fit(SIZES, SIZES**0.3 * (1 + 0.01 * WAVE), law="power"),
        "rejected noise": api.fit(SIZES, LOSSES, law="power", sd=1e-3 * LOSSES),
    }
    return {name: {"verdict": one.verdict, "identified": one.identified} for name, one in found.items()}


def table() -> Any:
    fits = api.fit_table(SIZES, LOSSES, laws=("power", "power_floor", "m3"), sd=0.02 * LOSSES)
    ranked = [(0.6, fits["power_floor"]), (0.3, fits["m3"]), (0.1, fits["power"])]
    return {"fits": {n: api.told_fit(one) for n, one in fits.items()}, "overall": api.overall(ranked)}


def averaged(**given: Any) -> Any:
    return api.told_average(api.average(SIZES, LOSSES, **given), BEYOND)


def average_drawn() -> Any:
    x, y, draws, _ = skewed()
    return api.told_average(api.average(x, y, draws=draws), BEYOND)


def average_few() -> Any:
    return api.told_average(api.average(SIZES[:4], LOSSES[:4]), BEYOND)


def average_rising() -> Any:
    return api.told_average(api.average(SIZES, SIZES**0.3 * (1 + 0.01 * WAVE)), BEYOND)


@cache
def plain_average(law: str) -> Any:
    """The average of the points of a law, or of ``SIZES``: two cases read some of them."""
    x, y = points(law)[:2] if law else (SIZES, LOSSES)
    return api.average(x, y)


def average_joint(law: str) -> Any:
    return api.told_average(plain_average(law), points(law)[2])


def average_known_joint() -> Any:
    x, y, at = points("separable")
    return api.told_average(api.average(x, y, sd=0.01 * y), at)


def next_cells() -> Any:
    found = plain_average("")
    offered = {"candidates": [200.0, 12800.0, 51200.0], "costs": [1.0, 10.0, 40.0]}
    return api.told_plan(api.plan_next(found, target=1e5, budget=100.0, **offered))


def next_cells_joint() -> Any:
    x, _, at = points("separable")
    candidates = np.concatenate([x[::5], at])
    costs = candidates.prod(axis=1) / 1e9
    found = plain_average("separable")
    told = api.plan_next(found, target=at[1:], candidates=candidates, costs=costs, budget=300.0)
    return api.told_plan(told)


def differences() -> Any:
    first, second = (skewed(power, seed) for power, seed in ((0.45, 1), (0.35, 2)))
    fits = [api.fit(x, y, law="power", draws=draws) for x, y, draws, _ in (first, second)]
    floors = [api.fit(SIZES, LOSSES * (1 + k * 0.02 * WAVE[::-1]), law="power_floor") for k in (0, 1)]
    return {
        "paired": api.told_difference(api.compare(*fits)),
        "unpaired": api.told_difference(api.compare(*fits, paired=False)),
        "floors": api.told_difference(api.compare(*floors, parameter="E")),
    }


def cost() -> Any:
    x, _ = grid()
    found = api.fit_cost(x[:, 0], x[:, 1], 3.0 * x[:, 0] ** 0.9 * x[:, 1] ** 1.1 * (1 + x[:, 0] / 1e8))
    return {name: getattr(found, name) for name in ("coefficient", "n_power", "d_power")}


def frontier_of(law: str) -> Any:
    x, y = grid()
    spending = api.Cost(coefficient=2.0, n_power=0.8, d_power=1.1)
    return api.told_frontier(api.frontier(api.fit(x, y, law=law), np.geomspace(1e9, 1e12, 4), cost=spending))


def frontier_drawn() -> Any:
    x, y = grid(4, 5)
    draws = y * np.exp(0.01 * np.random.default_rng(3).standard_normal((200, len(y))))
    return api.told_frontier(api.frontier(api.fit(x, y, law="separable", draws=draws), [1e10, 1e12]))


def envelope_of(method: str, noise: str) -> Any:
    x, y = grid()
    draws = y * np.exp(0.01 * np.random.default_rng(3).standard_normal((200, len(y))))
    given = {"none": {}, "sd": {"sd": 0.01 * y}, "draws": {"draws": draws}}[noise]
    return api.told_envelope(api.envelope(x, y, method=method, **given))


def images() -> Any:
    alpha = 0.2 + 0.1 * np.random.default_rng(0).standard_normal(60)
    noise = 0.3 * np.random.default_rng(1).standard_normal((60, 7))
    losses = np.exp(noise) * SIZES ** -alpha[:, None]
    losses[2, 3] = 0.0
    return api.told_images(api.image_exponents(SIZES, losses))


def bca_intervals() -> Any:
    sample = np.random.default_rng(1).gamma(0.7, size=(60, 3))
    weights = np.random.default_rng(2).standard_exponential((500, 60))
    draws, value = weights @ sample / weights.sum(axis=1, keepdims=True), sample.mean(axis=0)
    pull = api.acceleration_of((sample - value) / 60)
    kinds = {"bayesian": {}, "ordinary": {"bayesian": False}, "stretched": {"stretch": 1.5}}
    return {"acceleration": pull} | {n: api.bca(value, draws, pull, **given) for n, given in kinds.items()}


def bits() -> Any:
    draw = np.random.default_rng(0)
    constant = draw.gamma(4.0, size=120)
    losses, reference = constant * draw.uniform(0.3, 0.5, 120), constant * draw.uniform(0.1, 0.3, 120)
    return {
        "bits": api.information(0.11, 0.1493),
        "alone": api.told_information(api.measure(losses, constant)),
        "beside a reference": api.told_information(api.measure(losses, constant, reference, n_draws=300)),
        "beside nothing": api.told_information(api.measure(losses, constant, constant * 1.01)),
    }


def student() -> Any:
    return [api.told_estimate(api.t_interval(0.5, 0.1, dof)) for dof in (1, 4, float("inf"))]


@cache
def cases() -> dict[str, Callable[[], Any]]:
    """What is computed, by name."""
    found: dict[str, Callable[[], Any]] = {f"fit {law}": partial(fit_of_law, law) for law in POINTS}
    found |= {f"fit {law} under its ceiling": partial(fit_under_ceiling, law) for law in CEILINGS}
    for law in ("power", "power_floor", "m3"):
        found |= {f"fit {law} with known noise": partial(fit_known, law)}
    for law in ("power", "power_floor"):
        found |= {f"fit {law} with draws": partial(fit_drawn, law, False)}
        found |= {f"fit {law} with draws and influence": partial(fit_drawn, law, True)}
    found |= {f"frontier {law}": partial(frontier_of, law) for law in ("separable", "coupled")}
    for method in ("minimum over curves", "IsoFLOP cubic"):
        for noise in ("none", "sd", "draws"):
            found[f"envelope {method}, noise {noise}"] = partial(envelope_of, method, noise)
    return found | {
        "fit of DanWood in linear space": fit_linear,
        "fit of Bennett5 in linear space": bennett,
        "fit of OpenAI's points": lambda: api.told_fit(api.fit(*OPENAI, law="power")),
        "fit of OpenCLIP's points": lambda: api.told_fit(api.fit(*OPENCLIP, law="power")),
        "verdicts": verdicts,
        "table of laws": table,
        "average": lambda: api.told_average(plain_average(""), BEYOND),
        "average with known noise": partial(averaged, sd=0.01 * LOSSES),
        "average under a ceiling": partial(averaged, ceiling=2.3, laws=("power_floor", "bounded", "m4")),
        "average with draws": average_drawn,
        "average of four scales": average_few,
        "average of a rising loss": average_rising,
        "average of a sum": partial(average_joint, "separable"),
        "average of a product": partial(average_joint, "product"),
        "average of a sum with known noise": average_known_joint,
        "average over three axes": partial(average_joint, "separable3"),
        "next cells": next_cells,
        "next cells of a grid": next_cells_joint,
        "comparisons": differences,
        "cost": cost,
        "frontier with draws": frontier_drawn,
        "exponents of images": images,
        "bias-corrected intervals": bca_intervals,
        "information": bits,
        "t intervals": student,
    }
