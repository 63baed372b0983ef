"""The note, the views and the colours that MLflow's UI shows of an experiment."""

import base64
import json
import zlib
from typing import Any

from mlproject.report.figures import GREY, PALETTE
from mlproject.tracking import Store, describe_experiment, experiment_link, model_colour, run_link
from mlproject.tracking.experiment_page import COLOURS, COLOURS_GIVEN, CONTROL_COLOUR


def describe(store: Store, note: str = "More images help.", **changes: Any) -> dict[str, str]:
    described = {"loss": "eval.loss", "columns": ["params.cell.model", "metrics.accuracy"]} | changes
    describe_experiment(store, note=note, **described)
    return dict(store.client.get_experiment(store.experiment_id).tags)


def state(tag: str) -> dict[str, Any]:
    """The state of a view, as the UI unpacks it."""
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    return dict(json.loads(zlib.decompress(base64.b64decode(packed))))


def test_two_views_show_cells_by_loss_and_losses_against_scales(store: Store) -> None:
    tags = describe(store)
    cells = state(tags["mlflow.sharedViewState.cells-by-loss"])
    assert (cells["searchFilter"], cells["orderByKey"]) == ("tags.kind = 'cell'", "metrics.`eval.loss`")
    assert cells["selectedColumns"] == ["metrics.`eval.loss`", "params.`cell.model`", "metrics.`accuracy`"]
    charts = state(tags["mlflow.sharedViewState.scaling-charts"])["compareRunCharts"]
    axes = [(chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in charts if chart["type"] == "SCATTER"]
    assert axes == [("log10.dataset_size", "log10.loss"), ("log10.params", "log10.loss")]
    assert [chart["metricKey"] for chart in charts if chart["type"] == "LINE"] == ["train.loss"]
    assert all(len(value) < 20_000 for value in tags.values()), "MLflow refuses longer tags"


def test_a_note_begins_with_its_first_sentence_and_leads_to_both_views(store: Store) -> None:
    note = describe(store)["mlflow.note.content"]
    assert note.startswith("More images help.\n")
    for view, shown in (("cells-by-loss", ""), ("scaling-charts", "CHART"), ("cells-by-loss", "ARTIFACT")):
        assert f"({experiment_link(store.experiment_id, view, shown=shown)})" in note


def test_a_note_is_renewed_but_never_that_of_a_person(store: Store) -> None:
    describe(store, "12 cells of a plan.")
    assert describe(store, "Another plan.", replace=False)["mlflow.note.content"].startswith("12 cells")
    assert describe(store, "An answer.")["mlflow.note.content"].startswith("An answer.")
    store.client.set_experiment_tag(store.experiment_id, "mlflow.note.content", "Mine.")
    assert describe(store, "A later answer.")["mlflow.note.content"] == "Mine."


def test_what_is_there_already_is_not_written_again(store: Store, monkeypatch) -> None:
    first = describe(store)
    monkeypatch.setattr(store.client, "set_experiment_tag", None)
    assert describe(store) == first


def test_models_keep_their_colours_in_every_process_and_controls_are_grey(store: Store) -> None:
    assert [model_colour(store, name) for name in ("a", "b", "a")] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    store.colours.clear()  # as in another process
    assert [model_colour(store, name) for name in ("c", "b")] == [COLOURS[2], COLOURS[1]]
    assert model_colour(store, "resnet18", control=True) == CONTROL_COLOUR
    store.colours.clear()
    store.client.set_experiment_tag(store.experiment_id, COLOURS_GIVEN, "[damaged")
    assert model_colour(store, "z") == COLOURS[0]


def test_the_first_colours_are_those_of_the_figures() -> None:
    assert COLOURS[: len(PALETTE)] == PALETTE
    assert CONTROL_COLOUR == GREY


def test_links_open_in_the_mode_for_training() -> None:
    mode = "workflowType=machine_learning"
    assert run_link("3", "abc") == f"#/experiments/3/runs/abc?{mode}"
    assert run_link("3", "abc", "report.html") == f"#/experiments/3/runs/abc/artifacts/report.html?{mode}"
    assert experiment_link("3", view="") == f"#/experiments/3/runs?{mode}"
