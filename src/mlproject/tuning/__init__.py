"""Tuning: a search chooses the knobs of each coordinate by the validation losses of its trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlproject.tuning.coordinate import (
    BORROWED,
    GFLOPS,
    Coordinate,
    check_tunable,
    coordinates,
    search_seconds,
    tune_of,
)
from mlproject.tuning.record import log_search
from mlproject.tuning.search import Choices, Range, Tune, read_tune, split_words
from mlproject.tuning.tuner import (
    Claim,
    SearchResult,
    StoredSearch,
    TrialBlock,
    Tuner,
    fail_trials,
    open_tuner,
    stored_searches,
)

if TYPE_CHECKING:
    from mlproject.tuning.trials import DescentCache, TrialLosses, evaluate_block

__all__ = [
    "BORROWED",
    "GFLOPS",
    "Choices",
    "Claim",
    "Coordinate",
    "DescentCache",
    "Range",
    "SearchResult",
    "StoredSearch",
    "TrialBlock",
    "TrialLosses",
    "Tune",
    "Tuner",
    "check_tunable",
    "coordinates",
    "evaluate_block",
    "fail_trials",
    "log_search",
    "open_tuner",
    "read_tune",
    "search_seconds",
    "split_words",
    "stored_searches",
    "tune_of",
]


def __getattr__(name: str) -> Any:
    """Load what evaluates trials, and with it torch, on first use."""
    if name in ("DescentCache", "TrialLosses", "evaluate_block"):
        from mlproject.tuning import trials

        return getattr(trials, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
