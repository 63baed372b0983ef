"""What the sections of the scaling benchmark score a prediction by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scaling_peers import Peer
from scipy import stats

from mlproject.scaling import average

Array = NDArray[np.float64]


def rmsle(predicted: Array, truth: Array) -> float:
    """Root mean squared log error."""
    return float(np.sqrt(np.mean((np.log(np.maximum(predicted, 1e-12)) - np.log(truth)) ** 2)))


def score_peer(peer: Peer, x: Array, y: Array, at: Array, seen: Array) -> tuple[float, float, float]:
    """RMSLE, coverage and median log width of a peer; not a number where it gives no interval."""
    mean, low, high = peer(x, y, at)
    if low is None or high is None:
        return rmsle(mean, seen), np.nan, np.nan
    ends = np.maximum(low, 1e-12), np.maximum(high, 1e-12)
    inside = np.mean((low <= seen) & (seen <= high))
    return rmsle(mean, seen), float(inside), float(np.median(np.log(ends[1] / ends[0])))


def score_average(x: Array, y: Array, at: Array, seen: Array) -> tuple[float, float, float, float]:
    """RMSLE, coverage of the mean and of a new run, median log width."""
    p = average(x, y).predict(at)
    inside = np.mean((p.low <= seen) & (seen <= p.high))
    run = np.mean((p.new_run_low <= seen) & (seen <= p.new_run_high))
    return rmsle(p.mean, seen), float(inside), float(run), float(np.median(np.log(p.high / p.low)))


def coverage(held: int, of: int) -> str:
    """How many intervals held, their share, and its exact 95 % interval (Clopper and Pearson 1934)."""
    low = stats.beta.ppf(0.025, held, of - held + 1) if held else 0.0
    high = stats.beta.ppf(0.975, held + 1, of - held) if held < of else 1.0
    return f"{held:d}/{of:d} {held / of:.3f} [{low:.3f}, {high:.3f}]"
