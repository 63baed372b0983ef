"""What a person sees of searches while they run."""

from __future__ import annotations

import math

from rich.progress import Progress

from mlproject.cli import console, session
from mlproject.cli.console import Bars, Trials
from mlproject.tracking import Store


def test_the_bar_of_trials_counts_all_studies_and_shows_the_best_so_far():
    progress = Progress()
    bars = Bars(progress, n_cells=4, n_trials=100)
    bars.count_trials("a", 16, 0.5)
    bars.count_trials("b", 4, 0.25)
    bars.count_trials("a", 32, math.nan)
    task = progress.tasks[bars.tuning]
    assert (task.completed, task.total) == (36, 100)
    bars.count_trials("b", 20, 0.125)
    assert task.description == "best 0.125 · b"


def test_trials_of_an_earlier_start_do_not_count_as_speed():
    trials = Trials(100)
    trials.count("a", 90)
    assert trials.speed.startswith("0.0 trials/s")
    trials.count("a", 95)
    assert "s left" in trials.speed


def test_a_finished_plan_ends_with_the_page_of_its_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    page = "#/experiments/7/runs?workflowType=machine_learning"
    for uri, shown in {
        "http://me:secret@host:5000/": f"http://host:5000/{page}",
        "https://host/path": f"https://host/path/{page}",
        f"sqlite:///{tmp_path}/a.db": (
            f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/a.db, then http://127.0.0.1:5000/{page}"
        ),
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = Store(uri=uri, experiment_id="7", client=None, file=None, locks=tmp_path)
        assert session.where_to_compare(store) == shown


def test_names_with_brackets_and_colons_are_printed_as_they_are(capsys):
    console.warn("[red]x[/] :smile: [/nothing]")
    console.out.print("[bold]:cat:")
    printed = capsys.readouterr()
    assert printed.err == "warning: [red]x[/] :smile: [/nothing]\n"
    assert printed.out == "[bold]:cat:\n"
