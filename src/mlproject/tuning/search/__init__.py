"""Search for knobs. The only package that imports Optuna, and only for storages and studies."""

from __future__ import annotations

from mlproject.tuning.search.settings import Tune, read_tune, split_words
from mlproject.tuning.search.space import Choices, Dimension, Range

__all__ = ["Choices", "Dimension", "Range", "Tune", "read_tune", "split_words"]
