"""The report of a plan or of a fit's runs, written into a folder, with pictures of images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlproject.analysis import analyse, intact_runs
from mlproject.data import load_images
from mlproject.errors import BadInput, MLProjectError, WrongUse, command
from mlproject.report import Surroundings, thumbnail, write_paper, write_report
from mlproject.runs.prediction_run import prediction_record
from mlproject.runs.selection import NamedRuns
from mlproject.tracking import DEFAULT_EXPERIMENT, Store, reaching, run_link, server_page


@dataclass(frozen=True, kw_only=True)
class WrittenReport:
    """Where a report lies, and how many runs it is of; ``left_out`` says which could not be read, and why."""

    page: Path
    n_runs: int
    left_out: tuple[str, ...] = ()


def write_study_report(store: Store, out: Path, *, runs: NamedRuns) -> WrittenReport:
    """Analyse finished cells, and write their report and the folder of a paper; nothing is tracked.

    Raises: BadInput where none is finished, WrongUse where the folder cannot be written.
    """
    observations = intact_runs(store.observations(keys=runs.keys))
    if not observations:
        raise BadInput(
            next(iter(store.unreadable.values()), "nothing to report: none of these cells is finished")
        )
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
    study = analyse(observations, mix_weights=runs.mix_weights, prior=runs.prior)
    study = replace(study, predictions=prediction_record(store), notes=(*study.notes, *_how_chosen(runs)))
    with _writing(out):
        write_report(study, out, surroundings(store))
        write_paper(study, out / "paper", command=_command(store, runs))
    return WrittenReport(
        page=out / "report.html", n_runs=len(study.runs), left_out=tuple(store.unreadable.values())
    )


def _how_chosen(runs: NamedRuns) -> Iterator[str]:
    """What is to be known of cells that were chosen until a prediction was narrow enough."""
    if runs.until:
        yield (
            f"The cells were chosen until {runs.until}: such intervals hold the truth less often than those"
            " of a design that was fixed before. What was spent stands in the report of the fit (run"
            f" {runs.fit[:8]})."
        )


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Name the folder where it cannot be written. Raises: WrongUse."""
    try:
        yield
    except OSError as error:
        raise WrongUse(f"cannot write {out}: {error.strerror or error}") from error


def _command(store: Store, runs: NamedRuns) -> str:
    """The command that writes the same report again: of the fit by its id, since ``latest`` changes."""
    with reaching(store.uri):
        experiment = store.client.get_experiment(store.experiment_id).name
    where = [] if experiment == DEFAULT_EXPERIMENT else ["--experiment", experiment]
    prior = [] if runs.prior is None else ["--prior", runs.prior.text]
    text = command("mlproject", "report", runs.fit or runs.name, "--out", "report", *prior, *where)
    unfinished = f" (without {runs.n_unfinished} cells of the plan that were not finished)"
    return f"{text}{unfinished if runs.n_unfinished else ''}"


def surroundings(store: Store) -> Surroundings:
    """What a page shows beside a study: pictures of its images, and links where the store is a server."""

    def page_of(run_id: str) -> str:
        return server_page(store.uri, run_link(store.experiment_id, run_id))

    return Surroundings(run_page=page_of if server_page(store.uri, "") else None, pictures=thumbnails)


def thumbnails(data: str, digest: str, ids: Sequence[str]) -> tuple[Mapping[str, bytes], str]:
    """Small pictures of images by id, or the reason why there are none."""
    try:
        images = load_images(data)
        if images.digest != digest:
            return {}, f"{data} is not what it was when the cells were run"
        places = {image: i for i, image in enumerate(images.ids)}
        return {image: thumbnail(images.read(places[image])) for image in ids if image in places}, ""
    except MLProjectError as error:
        return {}, str(error)
