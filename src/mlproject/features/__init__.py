"""Frozen features of images, computed once and stored. Importing this package needs no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlproject.features.cost import ExtractionCost, extraction_cost, missing_digests
from mlproject.features.extraction import Features, LargeImages
from mlproject.features.pixels import PixelReader
from mlproject.features.prepared import KEPT, Decoder, KeptImages
from mlproject.features.store import FeatureStore, forget
from mlproject.features.table import SHARD_ROWS, TableInfo, list_tables, prune, table_faults
from mlproject.features.training_state import (
    ABANDONED_DAYS,
    held_by_nobody,
    prune_unfinished,
    unfinished,
    unfinished_folder,
)

if TYPE_CHECKING:
    from mlproject.features.engines import eager_engine, onnx_engine
    from mlproject.features.streamed import StreamedImages

__all__ = [
    "ABANDONED_DAYS",
    "KEPT",
    "SHARD_ROWS",
    "Decoder",
    "ExtractionCost",
    "FeatureStore",
    "Features",
    "KeptImages",
    "LargeImages",
    "PixelReader",
    "StreamedImages",
    "TableInfo",
    "eager_engine",
    "extraction_cost",
    "forget",
    "held_by_nobody",
    "list_tables",
    "missing_digests",
    "onnx_engine",
    "prune",
    "prune_unfinished",
    "table_faults",
    "unfinished",
    "unfinished_folder",
]


NEED_TORCH = {"eager_engine": "engines", "onnx_engine": "engines", "StreamedImages": "streamed"}


def __getattr__(name: str) -> Any:
    module = NEED_TORCH.get(name)
    if module is not None:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
