"""What a person sees of searches while they run."""

from __future__ import annotations

import math

from rich.progress import Progress

from mlproject.cli.console import Bars, Trials


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
