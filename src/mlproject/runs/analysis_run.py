"""Finished cells aggregated as one tracked run of kind ``fit``, which names the runs it used."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlproject.analysis import PredictionRecord, Spending, Study, analyse, intact_runs
from mlproject.errors import BadInput
from mlproject.files import locked, temporary_folder, try_locked, write_rows
from mlproject.losses import Observation
from mlproject.report import BRIEF, PAGE, study_answer, write_report
from mlproject.runs.experiment_view import announce_fit
from mlproject.runs.kept_results import source_digest
from mlproject.runs.prediction_run import prediction_record
from mlproject.runs.report_run import surroundings
from mlproject.runs.selection import MIX_WEIGHTS, PRIOR
from mlproject.scaling import PriorChoice
from mlproject.tracking import Store, run_link

log = logging.getLogger(__name__)

NAME_LENGTH = 250
"""MLflow refuses a longer name of a metric."""
COSTS = ("n_cells", "images", "seconds")
NOTE_LENGTH = 7900
"""MLflow refuses a tag of more than 8,000 characters."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """The tracked run that holds a study, its table for a terminal, and where its artifacts lie.

    ``page`` is the link to its report within MLflow's UI; ``left_out`` says which runs could not be read,
    and why.
    """

    run_id: str
    text: str
    where: str
    page: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FitChoices:
    """How cells are fitted and were chosen, and what was predicted of them: what a fit is known by."""

    mix_weights: bool = False
    spending: Spending | None = None
    prior: PriorChoice | None = None
    record: PredictionRecord | None = None

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run of the fit, by which a report of it makes the same choices."""
        prior = {} if self.prior is None else {PRIOR: self.prior.text}
        return ({MIX_WEIGHTS: "true"} if self.mix_weights else {}) | prior

    @property
    def words(self) -> list[Any]:
        """What sets the fit apart from others of the same losses.

        A prediction that is made, settled or spoilt makes another fit: its report shows the record.
        """
        chosen: list[Any] = ["mix_weights"] if self.mix_weights else []
        chosen += [] if self.spending is None else [self.spending.until]
        chosen += [] if self.prior is None else [f"prior {self.prior.text}"]
        return chosen + ([] if self.record is None else [self.record.digest])


def fit_study(
    store: Store,
    *,
    name: str,
    keys: Sequence[str] | None = None,
    where: str = "",
    mix_weights: bool = False,
    spending: Spending | None = None,
    prior: PriorChoice | None = None,
) -> Fitted:
    """Aggregate finished cells (of ``keys``, or all that match ``where``) as a tracked run of kind ``fit``.

    ``mix_weights``: models whose weights were trained differently may share a curve. The same losses are not
    fitted twice: an earlier run of the same content whose artifacts are whole is given back, and where
    another process fits them at this moment its end is waited for. ``spending``: how the cells were chosen;
    ``prior``: a library of known laws.

    Raises: BadInput where nothing is finished, DigestMismatch for damaged losses.
    """
    store.reconcile()
    record = prediction_record(store)
    choices = FitChoices(mix_weights=mix_weights, spending=spending, prior=prior, record=record)
    recorded = None if where or store.launcher_run else _recorded_fit(store, keys, choices)
    if recorded:
        return _earlier(store, recorded)
    observations = _observations(store, keys, where)
    rows = sorted([run.cell.key, run.losses_digest, run.run_id] for run in observations)
    digest = fit_key(rows, choices)
    with contextlib.ExitStack() as lock:
        path = store.lock_path(f"fit-{digest}")
        if not lock.enter_context(try_locked(path)):
            log.warning("waiting for another process that fits the same %d cells", len(rows))
            lock.enter_context(locked(path))
        earlier = store.finished(kind="fit", tags={"fit.key": digest}, reads=BRIEF)
        if earlier and not store.launcher_run:
            return _earlier(store, earlier)
        run_id, text = _fit(store, observations, rows, name=name, key=digest, choices=choices)
    return _fitted(store, run_id, text)


def _earlier(store: Store, run_id: str) -> Fitted:
    """A fit that is there already."""
    return _fitted(store, run_id, store.artifact(run_id, BRIEF).read_text("utf-8"))


def _fitted(store: Store, run_id: str, text: str) -> Fitted:
    return Fitted(
        run_id=run_id,
        text=text,
        where=store.artifact_uri(run_id),
        page=run_link(store.experiment_id, run_id, PAGE),
        left_out=tuple(store.unreadable.values()),
    )


def _recorded_fit(store: Store, keys: Sequence[str] | None, choices: FitChoices) -> str | None:
    """The fit of these cells where the record of finished cells is enough to find it; no run is read."""
    known = store.done_cells.known(None if keys is None else set(keys))
    if not known:
        return None
    rows = sorted([key, run.digest, run.run_id] for key, run in known.items())
    return store.finished(kind="fit", tags={"fit.key": fit_key(rows, choices)}, reads=BRIEF)


def _observations(store: Store, keys: Sequence[str] | None, where: str) -> list[Observation]:
    """The finished cells that are to be fitted. Raises: BadInput where there is none."""
    observations = list(store.observations(keys=keys, where=where))
    if not observations:
        matching = f" that matches {where}" if where else ""
        nothing = (
            f"nothing to aggregate: the experiment holds no finished cell{matching}; run some cells first,"
            " or name another experiment (--experiment)"
        )
        raise BadInput(next(iter(store.unreadable.values()), nothing))
    return intact_runs(observations)


def fit_key(rows: Sequence[Sequence[str]], choices: FitChoices | None = None) -> str:
    """16 digits that are equal for fits of the same losses by the same code in the same way."""
    further = (choices or FitChoices()).words
    content = repr(([row[:2] for row in rows], source_digest(), *further))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _fit(
    store: Store,
    observations: Sequence[Observation],
    rows: Sequence[list[str]],
    *,
    name: str,
    key: str,
    choices: FitChoices,
) -> tuple[str, str]:
    """Fit the observations as a tracked run: its id, and the table for a terminal."""
    tags, spending = {"fit.key": key} | choices.tags, choices.spending
    observations[0].load_losses()  # no run is begun, nor its folder made, where no artifact can be reached
    with (
        store.run(kind="fit", name=f"fit · {name}", tags=tags, adopt=True) as run,
        temporary_folder() as folder,
    ):
        study = analyse(observations, mix_weights=choices.mix_weights, prior=choices.prior)
        study = replace(study, predictions=choices.record)
        summary, *_ = write_report(study, folder, surroundings(store), spending)
        text = (folder / BRIEF).read_text("utf-8")
        write_rows(folder / "data" / "runs.csv", ["cell", "losses_digest", "run_id"], rows)
        note = summary.read_text("utf-8")[:NOTE_LENGTH]
        metrics = fit_metrics(study) | {"runs": len(rows)} | _spent_metrics(spending)
        metrics |= _record_metrics(choices.record)
        words = {"until": spending.until.words, "until.stopped": spending.reason[:500]} if spending else {}
        run.log(params=words, metrics=metrics, tags={"mlflow.note.content": note})
        run.log_files(folder)
    cells = [observation.cell for observation in observations]
    announce_fit(store, cells, name, study_answer(study), run.run_id)
    return run.run_id, text


def _spent_metrics(spending: Spending | None) -> dict[str, float]:
    """What was spent, and what the whole plan costs."""
    if spending is None:
        return {}
    rows = {"spent": spending.spent, "whole": spending.whole}
    costs = {f"{name}.{what}": getattr(each, what) for name, each in rows.items() for what in COSTS}
    return {name: value for name, value in costs.items() if math.isfinite(value)}


def _record_metrics(record: PredictionRecord | None) -> dict[str, float]:
    """How many predicted losses have been scored, and how many of them were inside."""
    if record is None or not record.coverage:
        return {}
    last = record.coverage[-1]
    return {"predictions.scored": last.n, "predictions.inside": last.n_inside}


def fit_metrics(study: Study) -> dict[str, float]:
    """The exponents of the mean loss that were identified, by law, for sorting in the UI.

    Exponents of two laws do not compare, so the law is part of the name.
    """
    metrics = {}
    for curve in study.curves:
        for law in curve.fitted_laws("mean"):
            if law.verdict == "scaling":
                name = f"alpha.{law.law}.{curve.axis.name}.{study.name_of(curve)}"
                metrics[re.sub(r"[^\w./ -]", "", name)[:NAME_LENGTH]] = law.parameters["alpha"].value
    return metrics
