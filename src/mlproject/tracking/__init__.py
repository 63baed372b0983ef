"""The one package that knows MLflow: open a store, run under its eye, read finished runs back.

A cell is done when a run of its key is FINISHED, carries the tag ``cell.complete`` (set last) and its
losses match their logged digest. An attempt is always a new run. Whoever runs a cell holds its lock; a
RUNNING run whose lock is free has lost its owner and is closed as KILLED.
"""

from mlproject.tracking.location import open_store, peek_done
from mlproject.tracking.store import LOSSES_DIGEST, Run, Store

__all__ = ["LOSSES_DIGEST", "Run", "Store", "open_store", "peek_done"]
