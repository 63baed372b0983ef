"""Search for knobs. The only package that imports Optuna, and only for storages and studies."""

from __future__ import annotations

from mlproject.tuning.search.settings import Choices, Dimension, Range, Tune, read_tune, split_words

__all__ = ["Choices", "Dimension", "Range", "Tune", "read_tune", "split_words"]
