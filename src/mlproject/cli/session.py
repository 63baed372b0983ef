"""Run what a command line asks for: undeclared options, warnings, progress, summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from mlproject.cli import console, planned, progress
from mlproject.engines import engine_for
from mlproject.errors import N_SHOWN, MLProjectError, WrongUse, has_password, unknown
from mlproject.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from mlproject.analysis import CsvStudy
    from mlproject.cell import Cell
    from mlproject.plans import Plan
    from mlproject.regions import RegionSettings
    from mlproject.runs import CellRun, Fitted
    from mlproject.scaling import PriorChoice
    from mlproject.tracking import Store

UI = "http://127.0.0.1:5000"


def undeclared(words: list[str]) -> dict[str, str]:
    """Knobs and coordinates that are no declared options, as ``--name value`` or ``--name=value``."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            right = f"a plan is named by --plan={word}" if word.endswith(".toml") else "write --name=value"
            raise WrongUse(f"unexpected argument {word!r}; {right}")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise WrongUse(f"option --{name} has no value; write --{name}=value")
            value = rest.pop(0)
        options[name.replace("-", "_")] = value
    return options


def run_session(plan: Plan, experiment: str, dry_run: bool, *, fit: bool, take_over: str = "") -> int:
    """Run the missing cells of a plan, or list them; the exit status.

    1 where a cell failed or a grid was left out, else 0. ``take_over`` is a host to give up before.
    """
    warn_before(plan, fit=fit)
    if dry_run:
        warn_of_take_over(take_over)
        planned.print_plan(plan, experiment)
        return int(bool(plan.left_out))
    if not fit and not take_over and _was_done(plan, experiment):
        return int(bool(plan.left_out))
    from mlproject.runs import run_plan
    from mlproject.tracking import experiment_link, keep_done_runs, open_store

    store = open_store(experiment)
    if take_over:
        give_up(take_over, [store], plan.tune.storage if plan.tune else "")
    n_trials = planned.n_trials(plan) if plan.tune else 0
    with progress.watching(len(plan.cells), n_trials) as watcher:
        results = run_plan(plan, store, watcher, summary=fit or len(plan.cells) > 1)
    failed = [r for r in results if r.status == "failed"]
    if fit and len(failed) < len(results):
        _fit(plan, results, store)
    for text in watcher.trials.warnings:
        console.warn(text)
    _summarise(results, plan.cells, store.uri, experiment_link(store.experiment_id))
    if store.file:  # a server is asked anew each time
        keep_done_runs(store, experiment)
    return int(bool(failed or plan.left_out))


def warn_before(plan: Plan, *, fit: bool = True) -> None:
    """Print what is to be known of a plan before it runs. Raises: WrongUse for an engine that is none."""
    engine_for(plan.engine, 0)  # refused before anything else
    _refuse_logged_password()
    console.warn_of_plan(plan)
    console.warn_of_cells(plan.cells)
    if fit and not plan.mix_weights:
        _warn_of_training(plan.cells)
    console.warn_of_skipped(plan.images.values())
    console.warn_of_tuning(plan)


def _fit(plan: Plan, results: Sequence[CellRun], store: Store) -> None:
    """Fit the study of a plan and print the exponents, unless other commands still run some of its cells."""
    if _others_run(results, store):
        console.warn("other commands run the busy cells; the one that ends last fits the study")
        return
    from mlproject.runs import fit_study

    keys = [result.cell.key for result in results]
    show_fit(fit_study(store, name=plan.name, keys=keys, mix_weights=plan.mix_weights), store.uri)


def _others_run(results: Sequence[CellRun], store: Store) -> bool:
    """Whether cells that were busy still are: the process that finishes last fits."""
    busy = {result.cell.key for result in results if result.status == "busy"}
    return bool(busy and busy - set(store.done(busy)))


def _refuse_logged_password() -> None:
    """Refuse an address with a password that ``mlflow run`` was given: it has logged it. Raises: WrongUse."""
    if "MLFLOW_RUN_ID" in os.environ and any(has_password(word) for word in sys.argv):
        raise WrongUse(
            "`mlflow run` logs its parameters, and with them the password of this address: delete its run,"
            " change the password, and give it as PGPASSWORD or in the file that PGPASSFILE names"
        )


def take_over_everywhere(host: str) -> None:
    """Close the runs of a host in all experiments, and fail its trials in the studies beside the store."""
    from mlproject.tracking import open_stores

    give_up(host, open_stores())


def warn_of_take_over(host: str) -> None:
    """Warn that a dry run gives no host up."""
    if host:
        console.warn(f"a dry run gives nothing up: --take-over {host} is left out")


def give_up(host: str, stores: Sequence[Store], storage: str = "") -> None:
    """Close a host's runs, fail its trials and print how many. Raises: WrongUse where there is none of it."""
    from mlproject.runs import STUDIES
    from mlproject.tracking import nothing_of, take_over
    from mlproject.tuning import fail_trials

    runs = take_over(stores, host)
    n_trials, hosts = fail_trials(storage, stores[0].beside(STUDIES), host)
    if not runs.n_closed + n_trials:
        raise nothing_of(host, runs.hosts | hosts)
    counts = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((runs.n_closed, "run"), (n_trials, "trial"))]
    text = f"Taken over from {host}: {counts[0]} closed as KILLED, {counts[1]} failed."
    console.out.print(text, soft_wrap=True, markup=False)


def _warn_of_training(cells: Sequence[Cell]) -> None:
    """Warn of models that no fit will hold together, since their weights were trained differently."""
    trained = [cell for cell in cells if not cell.random_features]
    if len({(cell.weights, cell.model.partition(".")[2]) for cell in trained}) > 1:
        from mlproject.analysis import kept_apart  # and with it SciPy, which few dry runs need

        for text in kept_apart(trained):
            console.warn(text)


def _was_done(plan: Plan, experiment: str) -> bool:
    """Report a plan whose cells are all done already; whether it is one. MLflow is not even imported."""
    from mlproject.runs import CellRun
    from mlproject.tracking import done_runs, experiment_link, sqlite_path, tracking_uri

    # Knobs of a tuned plan are not known yet; a launcher's run is to be adopted.
    if plan.tune or "MLFLOW_RUN_ID" in os.environ:
        return False
    if sqlite_path(tracking_uri()) is None:  # a server would be asked for all its runs, here and again below
        return False
    experiment_id, done = done_runs(experiment, {cell.key for cell in plan.cells}, close_dead=True)
    if not all(cell.key in done for cell in plan.cells):
        return False
    results = [
        CellRun(cell=cell, name=plan.naming.name(cell), status="was done", run_id=done[cell.key])
        for cell in plan.cells
    ]
    # An experiment of an earlier version may have no saved view.
    _summarise(results, plan.cells, tracking_uri(), experiment_link(experiment_id, view=""))
    return True


def find_regions(
    data: str, max_bad: int, settings: RegionSettings, experiment: str, download: str, verify: str
) -> int:
    """Find the regions of a data set as a tracked run; the exit status."""
    from mlproject.data import Verify, load_images
    from mlproject.runs import mask_images
    from mlproject.tracking import open_store

    if download not in ("true", "false"):
        raise WrongUse(f"download must be true or false, not {download!r}")
    if verify not in get_args(Verify):
        raise unknown("verify", verify, get_args(Verify))
    images = load_images(
        data, max_bad=max_bad, download=download == "true", verify="full" if verify == "full" else "changed"
    )
    console.warn_of_skipped([images])
    with progress.watching(0) as watcher:
        region_run = mask_images(images, settings, open_store(experiment), report=watcher)
    console.out.print(region_run.text, markup=False, highlight=False, soft_wrap=True)
    console.out.print(f"Masks, overlays and tables: {region_run.where}", soft_wrap=True, markup=False)
    return 0


def show_fit(fitted: Fitted, uri: str) -> None:
    """Print the exponents, where the artifacts lie, and the report: on a server its page in the UI."""
    from mlproject.report import PAGE
    from mlproject.tracking import server_page

    console.out.print(fitted.text, markup=False, highlight=False, soft_wrap=True)
    console.out.print(f"Tables and figures: {fitted.where}", soft_wrap=True, markup=False)
    page = server_page(uri, fitted.page) or f"{fitted.where}/{PAGE}"
    console.out.print(f"Report: {page}", soft_wrap=True, markup=False)
    for text in fitted.left_out:
        console.warn(text)


def import_into(source: str, from_experiment: str, experiment: str) -> int:
    """Import the finished cells of another store; 1 where one was left out, else 0."""
    from mlproject.tracking import import_cells, open_store

    if not source:
        raise WrongUse(
            "name a copied folder with mlflow.db, or an address: mlproject import /media/stick/study"
        )
    store = open_store(experiment)
    with progress.watching(0) as watcher:
        result = import_cells(store, source, report=watcher, experiment=from_experiment)
    for run_id, reason in list(result.left_out.items())[:N_SHOWN]:
        console.warn(f"run {run_id} was not imported: {reason}")
    if (n_more := len(result.left_out) - N_SHOWN) > 0:
        console.warn(f"{n_more} more runs were not imported")
    counts = f"{result.n_copied} imported, {result.n_present} were here, {len(result.left_out)} not imported"
    console.out.print(f"Cells: {counts}.", markup=False)
    return int(bool(result.left_out))


def study_prior(text: str) -> PriorChoice | None:
    """The library of known laws that a study uses. Raises: WrongUse, BadInput where it has no such law."""
    from mlproject.analysis import published_laws
    from mlproject.scaling import PriorChoice

    if not text:
        return None
    choice = PriorChoice.of(text)
    published_laws(choice)
    return choice


def write_report_of(of: str, out: Path, store: Store, prior: PriorChoice | None) -> None:
    """Write the report of a plan or of a fit into a folder, and print where its page lies.

    ``prior`` is a library of known laws; None for that of the fit, where it had any.
    """
    from mlproject.runs import find_runs, write_study_report

    runs = find_runs(store, of)
    runs = runs if prior is None else replace(runs, prior=prior)
    if runs.n_unfinished:
        n_cells = len(runs.keys) + runs.n_unfinished
        console.warn(
            f"{runs.n_unfinished} of the plan's {n_cells} cells are not finished and not in the report"
        )
    written = write_study_report(store, out, runs=runs)
    console.out.print(f"Report of {written.n_runs} runs: {written.page}", soft_wrap=True, markup=False)
    for text in written.left_out:
        console.warn(text)


def show_csv_study(study: CsvStudy, path: Path | None) -> None:
    """Print laws, predictions and verdicts of a CSV, and write them as JSON where a path is given.

    Raises: WrongUse where the file cannot be written, MLProjectError where groups were left out.
    """
    from mlproject.report import csv_document, csv_json, render_terminal, to_json

    if path is not None:
        try:
            write_atomic(path, to_json(csv_json(study)))
        except OSError as error:
            raise WrongUse(f"cannot write {path}: {error.strerror or error}") from error
    console.out.print(render_terminal(csv_document(study)))
    if study.faults:
        n, first = len(study.faults), study.faults[0]
        raise MLProjectError(f"{n} of the groups left out, the others fitted: {first}")


def _summarise(results: Sequence[CellRun], cells: Sequence[Cell], uri: str, page: str) -> None:
    counts = [f"{sum(r.status == s for r in results)} {s}" for s in progress.STYLES]
    console.out.print(f"Cells: {', '.join(counts)}.")
    if len(results) == 1 and results[0].run_id:
        console.out.print(f"Run {results[0].run_id}: {results[0].name}", markup=False)
    console.warn_of_cells(cells)
    console.out.print(f"Compare runs: {in_ui(uri, page)}", soft_wrap=True)


def in_ui(uri: str, page: str) -> str:
    """The address of a page of MLflow's UI: of a tracking server, or with the command that starts it."""
    from mlproject.tracking import server_page, ui_command

    return server_page(uri, page) or f"{ui_command(uri)}, then {UI}/{page}"
