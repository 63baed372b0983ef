"""Search: the one package that knows Optuna. Settings and spaces need none of it and are read without."""

from __future__ import annotations

from mlproject.tuning.search.settings import Tune, read_tune, split_words
from mlproject.tuning.search.space import Choices, Range

__all__ = ["Choices", "Range", "Tune", "read_tune", "split_words"]
