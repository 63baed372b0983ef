"""Tuning: a search chooses the knobs of each coordinate by the validation losses of its trials."""

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
from mlproject.tuning.tuner import SearchResult, Tuner, fail_trials, open_tuner

__all__ = [
    "BORROWED",
    "GFLOPS",
    "Choices",
    "Coordinate",
    "Range",
    "SearchResult",
    "Tune",
    "Tuner",
    "check_tunable",
    "coordinates",
    "fail_trials",
    "log_search",
    "open_tuner",
    "read_tune",
    "search_seconds",
    "split_words",
    "tune_of",
]
