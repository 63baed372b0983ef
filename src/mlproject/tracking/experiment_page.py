"""What MLflow's UI shows of an experiment: a note, two saved views, and a colour for each model.

The UI reads them from tags of the experiment and of its runs (MLflow 3.17). A view is the state of the page
with the runs, as compact JSON, compressed and in base64. Links are relative to the UI, wherever it is served.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from mlproject.files import sha256
from mlproject.tracking.reach import reaching
from mlproject.tracking.store import Store

NOTE, NOTE_DIGEST = "mlflow.note.content", "note.sha256"
"""The note of a page, and the digest of the last one that was written here: a person's is never replaced."""
RUN_COLOUR, COLOURS_GIVEN = "mlflow.runColor", "model.colours"
LOGGED_TABLES = "mlflow.loggedArtifacts"
"""Tag that names the tables of a run that the UI shows beside those of other runs."""
VIEW = "mlflow.sharedViewState."
BY_LOSS, CHARTS = "cells-by-loss", "scaling-charts"
TITLES = {BY_LOSS: "Cells by loss", CHARTS: "Scaling charts"}
MODE = "?workflowType=machine_learning"
"""Opens a page in the mode for training; without it the UI shows that for language models."""
N_CHARTED = 100
"""Runs that a chart shows; the UI offers no more."""
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
    "#332288", "#117733", "#882255", "#999933", "#44AA99", "#AA4499",
)  # fmt: skip
"""Colours of models in the order in which an experiment meets them: of the figures, then Tol's muted ones."""
CONTROL_COLOUR = "#5f5f5f"
"""The colour of random features."""


def experiment_link(experiment_id: str, view: str = BY_LOSS, *, shown: str = "") -> str:
    """The page of an experiment's runs in a saved view (empty: in none), in the mode for training.

    ``shown`` is how the UI shows the runs: as a table, as ``CHART``, or by their tables, ``ARTIFACT``.
    """
    mode = f"&compareRunsMode={shown}" if shown else ""
    saved = f"&viewStateShareKey={view}" if view else ""
    return f"#/experiments/{experiment_id}/runs{MODE}{mode}{saved}"


def run_link(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """The page of a run, or of one of its artifacts, in the mode for training."""
    below = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{below}{MODE}"


def server_page(uri: str, page: str) -> str:
    """The address of a page in the UI of the tracking server at ``uri``; empty where that is no server."""
    address = urlsplit(uri)
    if address.scheme not in ("http", "https"):
        return ""
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path.rstrip('/')}/{page}"


def describe_experiment(
    store: Store, *, loss: str, columns: Sequence[str], note: str, replace: bool = True
) -> None:
    """Write the views and the note of an experiment, where they differ from what is there.

    ``loss`` is the metric that cells are sorted by, ``columns`` are the parameters and metrics beside it
    (``params.name``, ``metrics.name``). Links to the views are added to ``note``, which replaces an earlier
    note only where ``replace`` is true, and never one that a person wrote.
    """
    with reaching(store.uri):
        experiment = store.client.get_experiment(store.experiment_id)
        pages = {
            TITLES[BY_LOSS]: experiment_link(store.experiment_id),
            TITLES[CHARTS]: experiment_link(store.experiment_id, CHARTS, shown="CHART"),
            "Losses of images side by side": experiment_link(store.experiment_id, shown="ARTIFACT"),
        }
        links = " · ".join(f"[{title}]({page})" for title, page in pages.items())
        text = f"{note.strip()}\n\n{links}\n"
        tags = _views(loss, columns, experiment.creation_time or 0)
        there = experiment.tags.get(NOTE, "")
        written_here = experiment.tags.get(NOTE_DIGEST) == sha256(there.encode())
        if not there or (replace and written_here):
            tags |= {NOTE: text, NOTE_DIGEST: sha256(text.encode())}
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                store.client.set_experiment_tag(store.experiment_id, name, value)


def model_colour(store: Store, model: str, *, control: bool = False) -> str:
    """The colour of a model's runs in this experiment; a ``control`` with random features is grey.

    Colours are given in the order in which models come, and remembered with the experiment.
    """
    if control:
        return CONTROL_COLOUR
    if model not in store.colours:
        with reaching(store.uri):
            store.colours.update(_colours(store.client.get_experiment(store.experiment_id).tags))
            if model not in store.colours:
                store.colours[model] = COLOURS[len(store.colours) % len(COLOURS)]
                given = json.dumps(store.colours)
                store.client.set_experiment_tag(store.experiment_id, COLOURS_GIVEN, given)
    return store.colours[model]


def _colours(tags: Mapping[str, str]) -> dict[str, str]:
    """The colours that an experiment remembers; none where its tag holds anything else."""
    try:
        colours = json.loads(tags.get(COLOURS_GIVEN, "{}"))
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in colours.items()} if isinstance(colours, dict) else {}


def _views(loss: str, columns: Sequence[str], created: int) -> dict[str, str]:
    """The tags of both views; ``created`` in ms since the epoch."""
    shown = [_column(f"metrics.{loss}"), *map(_column, columns)]
    cells = {
        "searchFilter": "tags.kind = 'cell'",
        "orderByKey": _column(f"metrics.{loss}"),
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": shown,
        "columnOrder": shown,
        "runsHiddenMode": "SHOW_ALL",
    }
    training = {"metricKey": "train.loss", "selectedMetricKeys": ["train.loss"]}
    charts = {
        "compareRunCharts": [
            _chart(0, "images", type="SCATTER", **_axes("log10.dataset_size", "log10.loss")),
            _chart(1, "images", type="SCATTER", **_axes("log10.params", "log10.loss")),
            _chart(2, "training", type="LINE", xAxisKey="step", scaleType="log", **training),
        ],
        "compareRunSections": [
            _section("images", "Loss against training images and parameters (log10)"),
            _section("training", "Training loss"),
        ],
    }
    states = {BY_LOSS: cells, CHARTS: cells | charts}
    return {f"{VIEW}{id_}": _encoded(TITLES[id_], state, created) for id_, state in states.items()}


def _encoded(title: str, state: Mapping[str, Any], created: int) -> str:
    compact = json.dumps(state, separators=(",", ":")).encode()
    packed = base64.b64encode(zlib.compress(compact)).decode()
    return json.dumps(
        {"name": title, "createdAt": created, "updatedAt": created, "state": f"deflate;{packed}"}
    )


def _column(name: str) -> str:
    kind, _, key = name.partition(".")
    return f"{kind}.`{key}`"


def _axes(x: str, y: str) -> dict[str, dict[str, str]]:
    return {"xaxis": {"key": x, "type": "METRIC"}, "yaxis": {"key": y, "type": "METRIC"}}


def _chart(number: int, section: str, **settings: Any) -> dict[str, Any]:
    common = {"deleted": False, "isGenerated": False, "runsCountToCompare": N_CHARTED}
    return {"uuid": f"chart-{number}", "metricSectionId": section} | common | settings


def _section(uuid: str, name: str) -> dict[str, Any]:
    common = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return {"uuid": uuid, "name": name} | common
