"""Work on a study whose trials cost nothing, for this process and for others."""

from __future__ import annotations

import math
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

from mlproject.tuning.search import read_tune
from mlproject.tuning.search.storage import open_storage
from mlproject.tuning.search.study import FinishedTrial, TrialStudy
from tests.processes import started

DEFAULTS = {"lr": 1e-3, "weight_decay": 0.0, "optimizer": "adam", "epochs": 5}
SPACE = {"lr": "1e-5..1e-1", "weight_decay": {"low": 0.0, "high": 1.0}, "optimizer": ["adam", "sgd"]}
NAME = "a study"


def loss_of(knobs) -> float:
    own = 0.1 if knobs["optimizer"] == "adam" else 0.2
    return own + (math.log10(knobs["lr"]) + 3) ** 2 + (knobs["weight_decay"] - 0.3) ** 2


def tune_of(**words):
    return read_tune({"space": SPACE}, {name: str(value) for name, value in words.items()}, DEFAULTS)


def study_in(storage, **words) -> TrialStudy:
    tune = tune_of(**words)
    return TrialStudy(storage=storage, name=NAME, tune=tune, space=tune.space)


def work(url: str, seconds: float = 0.0, default: Path | None = None, **words) -> list[FinishedTrial]:
    """Run what is free of the study, waiting for others at its last trials."""
    with open_storage(url, default or Path("unused")) as storage:
        study = study_in(storage, **words)
        while not study.done:
            asked = study.claim()
            for one in asked:
                time.sleep(seconds)
                study.finish(one, loss_of(one.knobs), chosen={"epochs": 5}, reason="")
            if not asked:
                time.sleep(0.02)
        return study.finished()


def work_apart(url: str, trials: int, seconds: float) -> BaseProcess:
    """A process that works on the study."""
    return started(_work, url, trials, seconds)


def _work(url: str, trials: int, seconds: float) -> None:
    work(url, seconds, trials=trials)


def table(tried: list[FinishedTrial]) -> list[tuple]:
    """What has to be the same however often the work was interrupted."""
    return [(t.index, t.state, t.loss, sorted(t.knobs.items())) for t in tried]
