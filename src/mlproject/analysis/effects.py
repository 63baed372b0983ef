"""Effects: means over seeds and images with intervals, paired tests, and intervals of proportions.

A contrast is a number for every seed and image, such as the loss of one arm minus that of another; whatever
the two have in common for a seed and image cancels. Everything reported about arms is the mean of a contrast.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
CHUNK = 8_000_000
"""Weights held at once: bounds memory at 64 MB, however many images there are."""
Z95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


Range = Literal["any", "positive", "share", "difference of shares"]
"""What a mean can be: any number, above 0 (a loss), within 0 and 1 (errors), within -1 and 1."""
EDGE = 1e-9
"""Shares of bootstrap draws stay so far from 0 and 1, where their logits are infinite."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A mean with its 95 % interval and the p-value of the mean being 0.

    The interval of one seed is over images alone: it concerns the networks that were trained, and says
    nothing about training them again.
    """

    value: float
    low: float
    high: float
    p: float
    n_seeds: int
    n_images: int

    @property
    def over(self) -> str:
        """What the interval is over: ``images``, or ``images and seeds``."""
        return "images" if self.n_seeds == 1 else "images and seeds"


@dataclass(frozen=True, kw_only=True)
class Discordant:
    """How often only the first was wrong, and only the second; the p-value of both being as often."""

    first_only: int
    second_only: int
    p: float


def effect(contrast: Floats, *, n_draws: int, seed: int, within: Range = "any") -> Effect:
    """The mean of a contrast [seeds, images]; NaN marks an image that was not evaluated with a seed.

    Interval: bootstrap percentiles over images (Bayesian, Rubin 1981) and seeds (n - 1 of n, Rao and Wu
    1988), drawn independently (Owen 2007, Annals of Applied Statistics 1, 386), their distance from the
    mean stretched by t / 1.96. The degrees of freedom of t are Satterthwaite's for a sum of two variances,
    that of the seeds' means and that of the images' means; the p-value is that of the same t. One seed
    has no variance: the interval then covers images only. Intervals stay ``within`` what a mean can be:
    those of losses are stretched as logarithms, those of shares as logits (Wilson's where every image is
    alike), those of differences of shares as inverse hyperbolic tangents, as of correlations.
    """
    contrast = contrast[:, ~np.isnan(contrast).all(axis=0)]
    value = float(np.nanmean(contrast, axis=1).mean())
    error, freedom = _standard_error(contrast)
    draws = _draws(contrast, n_draws, seed)
    stretch = float(stats.t.ppf(0.975, freedom)) / 1.959964
    quantiles = np.percentile(draws, (2.5, 97.5))
    low, high = _ends(value, quantiles, stretch, within, contrast.shape[1])
    p = 2 * float(stats.t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    return Effect(
        value=value,
        low=min(value, low),
        high=max(value, high),
        p=p,
        n_seeds=contrast.shape[0],
        n_images=contrast.shape[1],
    )


def _ends(
    value: float, quantiles: Floats, stretch: float, within: Range, n_images: int
) -> tuple[float, float]:
    """Quantiles [2] of the draws, their distance from the mean stretched, within what a mean can be."""
    if within == "positive" and min(value, *quantiles) > 0:
        low, high = value * np.exp(stretch * np.log(quantiles / value))
    elif within == "share" and 0 < value < 1:
        at = float(special.logit(value))
        away = special.logit(np.clip(quantiles, EDGE, 1 - EDGE)) - at
        low, high = special.expit(at + stretch * away)
    elif within == "difference of shares" and abs(value) < 1:
        at = float(np.arctanh(value))
        away = np.arctanh(np.clip(quantiles, EDGE - 1, 1 - EDGE)) - at
        low, high = np.tanh(at + stretch * away)
    elif within == "share":
        low, high = wilson(value * n_images, n_images)
    else:
        low, high = value + stretch * (quantiles - value)
    bounds = {"positive": (0.0, math.inf), "difference of shares": (-1.0, 1.0)}
    least, most = bounds.get(within, (-math.inf, math.inf))
    return max(float(low), least), min(float(high), most)


def _standard_error(contrast: Floats) -> tuple[float, float]:
    """Of the mean, from seeds and images as crossed random effects, with its degrees of freedom."""
    parts = [np.nanmean(contrast, axis=axis) for axis in (1, 0)]
    known = [part for part in parts if len(part) > 1]
    variances = np.array([part.var(ddof=1) / len(part) for part in known])
    total = float(variances.sum())
    if total == 0:
        return 0.0, 1.0
    shares = sum(v**2 / (len(part) - 1) for v, part in zip(variances, known, strict=True))
    return total**0.5, total**2 / float(shares)


def _draws(contrast: Floats, n_draws: int, seed: int) -> Floats:
    evaluated = ~np.isnan(contrast)
    filled = np.where(evaluated, contrast, 0.0)
    n_seeds, n_images = contrast.shape
    weights: Iterable[tuple[Floats, Floats]]
    if n_draws * n_images <= CHUNK:
        weights = _kept_weights(n_seeds, n_images, n_draws, seed)
    else:
        weights = _weights(n_seeds, n_images, n_draws, seed)
    parts = []
    for of_seeds, of_images in weights:
        means = (of_images @ filled.T) / (of_images @ evaluated.T)
        parts.append((means * of_seeds).sum(axis=1))
    return np.asarray(np.concatenate(parts))


def _weights(n_seeds: int, n_images: int, n_draws: int, seed: int) -> Iterator[tuple[Floats, Floats]]:
    """Weights of seeds [draws, seeds] and of images [draws, images], in parts of so many draws as fit."""
    rng = np.random.default_rng([seed, 2])
    counts, step = seed_weights(n_seeds, n_draws, rng), max(1, CHUNK // n_images)
    for start in range(0, n_draws, step):
        size = (min(step, n_draws - start), n_images)
        yield counts[start : start + step], rng.standard_exponential(size)


@functools.lru_cache(maxsize=2)
def _kept_weights(n_seeds: int, n_images: int, n_draws: int, seed: int) -> tuple[tuple[Floats, Floats], ...]:
    """The weights of the last effects: most effects of a study are over as many seeds and images."""
    return tuple(_weights(n_seeds, n_images, n_draws, seed))


def seed_weights(n_seeds: int, n_draws: int, rng: np.random.Generator) -> Floats:
    """Weights [draws, seeds] of seeds that were drawn n - 1 of n; 1 for one seed, without a draw."""
    if n_seeds == 1:
        return np.ones((n_draws, 1))
    return rng.multinomial(n_seeds - 1, np.full(n_seeds, 1.0 / n_seeds), size=n_draws) / (n_seeds - 1)


def mcnemar(first: Floats, second: Floats) -> Discordant:
    """McNemar's test on errors [seeds, images] of 0 and 1: are both wrong equally often on the same images?

    Exact (binomial) with one seed. Several seeds share the images, so that an image is a cluster:
    (sum of its b - c)^2 over the sum of squares, chi-squared with 1 degree of freedom (Durkalski et al.
    2003, Statistics in Medicine 22, 2417). It concerns the networks that were trained, not new seeds.
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    b, c = (((x > y) & both).sum(axis=0) for x, y in ((first, second), (second, first)))
    n, k = int(b.sum() + c.sum()), int(b.sum())
    if n == 0:
        return Discordant(first_only=0, second_only=0, p=1.0)
    if len(first) == 1:
        p = float(stats.binomtest(k, n, 0.5).pvalue)
    else:
        apart = (b - c).astype(float)
        p = float(stats.chi2.sf(apart.sum() ** 2 / np.square(apart).sum(), 1)) if apart.any() else 1.0
    return Discordant(first_only=k, second_only=n - k, p=p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the same order: Holm 1979 (Scand. J. Statist. 6, 65)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def wilson(n_correct: float, n_total: float, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927, JASA 22:209), 95 % by default.

    ``n_total`` may be an effective number. Raises: ValueError unless 0 <= n_correct <= n_total > 0.

    >>> tuple(round(limit, 4) for limit in wilson(270, 300))
    (0.8608, 0.929)
    """
    if not (n_total > 0 and 0 <= n_correct <= n_total):
        raise ValueError(f"a proportion needs 0 <= n_correct <= n_total > 0, not {n_correct} of {n_total}")
    share, spread = n_correct / n_total, z * z / n_total
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n_total + spread / (4 * n_total))
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def effective_total(errors: Floats, n_total: float) -> float:
    """The number of independent trials that ``n_total`` pixels equal, given each image's share of errors.

    Errors of the pixels of one image are correlated: p (1 - p) over the variance of the mean over images (the
    design effect, Kish 1965). Whole images count as themselves.
    """
    n_images = len(errors)
    if n_total <= n_images or n_images < 2:
        return n_total
    share = float(errors.mean())
    variance = float(errors.var(ddof=1)) / n_images
    if variance == 0 or not 0 < share < 1:
        return float(n_images)
    return min(n_total, share * (1 - share) / variance)
