"""Frozen features, computed once and kept. Importing this package needs no torch."""

from __future__ import annotations

from mlproject.features.extraction import Features
from mlproject.features.store import FeatureStore, cache_folder, forget, unfinished_folder
from mlproject.features.upkeep import ABANDONED_DAYS, TableInfo, list_tables, prune, prune_unfinished

__all__ = [
    "ABANDONED_DAYS",
    "FeatureStore",
    "Features",
    "TableInfo",
    "cache_folder",
    "forget",
    "list_tables",
    "prune",
    "prune_unfinished",
    "unfinished_folder",
]
