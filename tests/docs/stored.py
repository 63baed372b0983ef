"""A small study in a tracking store, its losses planted: nothing is trained."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlproject.losses import Observation, write_losses
from mlproject.tracking import LOSSES_DIGEST, Store, open_store
from tests.studies import cell, planted

SIZES = (100, 200, 400, 800, 1600)


def store_study(experiment: str, sizes: Sequence[int] = SIZES) -> Store:
    """Finished cells of one model at some sizes and two seeds, in an experiment of that name."""
    store = open_store(experiment)
    for size in sizes:
        for seed in (0, 1):
            store_run(store, planted(cell(size=size, seed=seed), n=60))
    return store


def store_run(store: Store, observation: Observation, **further: str) -> str:
    """A finished run of a cell with the losses of an observation, and with further tags; its id."""
    this, losses = observation.cell, observation.load_losses()
    tags = {"cell.key": this.key, "cell.json": json.dumps(this.to_dict()), "sweep": "my-study", **further}
    with (
        store.run(kind="cell", name=this.label, tags=tags) as run,
        tempfile.TemporaryDirectory() as folder,
    ):
        run.log(
            params=this.to_params(),
            metrics={**observation.metrics, "dataset_size": this.dataset_size},
            tags={LOSSES_DIGEST: losses.digest, "losses.rows": str(len(losses.image_ids))},
        )
        write_losses(losses, Path(folder))
        run.log_files(Path(folder))
    return run.run_id
