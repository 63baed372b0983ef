"""Commands that read finished runs: reports, lists, one run, two sets of runs compared, artifacts copied."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlproject.cli.commands import Debug, Experiment, Prior
from mlproject.cli.design import app

__all__ = ["app"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def report(
    of: Annotated[
        str, typer.Argument(help="A TOML plan, the run id of a fit (or its beginning), or latest.")
    ] = "latest",
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("report"),
    named: Annotated[str, typer.Option("--of", hidden=True, help="The same, for mlflow run.")] = "",
    prior: Prior = "",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Write the report of a study into a folder: `report.html` for a browser, `paper/` to compile, tables.

    Its cells are those of a plan, or those that a fit used (the newest one: latest), whose prior it takes.
    """
    from mlproject.cli.session import study_prior, write_report_of
    from mlproject.tracking import open_store

    chosen = study_prior(prior)
    write_report_of(named or of, out, open_store(experiment, create=False), chosen)


@app.command()
def ls(
    experiment: Experiment = "",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list of the runs that count.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Failed, killed and running ones too.")] = False,
    debug: Debug = False,
) -> None:
    """List the cells of the experiment."""
    from mlproject.cli import console, listing
    from mlproject.tracking import open_store

    store = open_store(experiment, create=False)
    rows = listing.list_runs(store, everything=everything)
    listing.print_json(rows) if as_json else listing.print_table(rows)
    console.warn_of_unreadable(store)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A cell's key, a cell's or a fit's run id (or the beginning), or latest.")
    ],
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Show a cell (coordinates, knobs, numbers), a fit (exponents) or a prediction, and where its files lie.

    A plan (its name or its file) stands for its newest fit, and `latest` for the newest of all.
    """
    from mlproject.cli import listing
    from mlproject.tracking import open_store

    listing.print_one(open_store(experiment, create=False), name, experiment)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A model, a cell (key or run id), a fit run, or a plan.")],
    second: Annotated[str, typer.Argument(help="What to compare it to.")],
    plan: Annotated[str, typer.Option(help="Only cells of this plan (or fit run, or latest).")] = "",
    as_json: Json = False,
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Compare two cells, models or studies pairwise, on the images and seeds that they share.

    `mlproject compare --plan embedded efficientnet_lite0 efficientnet_lite2`
    """
    from mlproject.analysis import compare_runs
    from mlproject.cli import console
    from mlproject.report import pair_document, pair_json, render_terminal, to_json
    from mlproject.runs import find_runs
    from mlproject.tracking import open_store

    store = open_store(experiment, create=False)
    within = set(find_runs(store, plan).keys) if plan else None
    named = [find_runs(store, name, models=True, within=within) for name in (first, second)]
    runs = list(store.observations(keys={key for each in named for key in each.keys}))
    a, b = ([run for run in runs if run.cell.key in set(each.keys)] for each in named)
    comparison = compare_runs(a, b, names=(named[0].name, named[1].name))
    if as_json:
        console.out.print(to_json(pair_json(comparison)).decode(), end="", markup=False, soft_wrap=True)
    else:
        console.out.print(render_terminal(pair_document(comparison)))
    console.warn_of_unreadable(store)


@app.command()
def pull(
    name: Annotated[
        str, typer.Argument(help="A cell (key or run id), a fit's run, a plan (name or file), or latest.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to copy to; files that are there are never replaced.")],
    what: Annotated[str, typer.Option(help="losses, figures, tables, or a list: losses,tables.")] = "",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Copy losses, figures and tables of a run, a fit or a plan from the tracking server, verified.

    `mlproject pull embedded --what losses,tables --to results`
    """
    from mlproject.cli import console
    from mlproject.runs import WHAT, find_runs, pull_runs
    from mlproject.tracking import open_store

    kinds = [word.strip() for word in what.split(",")] if what else WHAT
    store = open_store(experiment, create=False)
    runs = find_runs(store, name)
    pulled = pull_runs(store, runs, kinds, to)
    if not runs.fit and len(runs.keys) > 1 and set(kinds) != {"losses"}:
        console.warn(f"{runs.name} has no finished fit, so that there are no figures and tables")
    unchanged = f", {pulled.unchanged} were there already" if pulled.unchanged else ""
    console.out.print(
        f"{runs.name}: {pulled.copied} files copied to {to}{unchanged}", soft_wrap=True, markup=False
    )
    console.warn_of_unreadable(store)


@app.command("import", context_settings={"token_normalize_func": lambda word: word.replace("_", "-")})
def import_runs(
    source: Annotated[
        str, typer.Argument(help="A copied folder with mlflow.db, its file, a folder of runs, or an address.")
    ] = "",
    named: Annotated[str, typer.Option("--source", hidden=True, help="The same, for mlflow run.")] = "",
    from_experiment: Annotated[
        str, typer.Option(help="Experiment there (default: the name of the one here).")
    ] = "",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Import finished cells that another machine tracked, with all that they logged; again and again.

    Cells that are done here stay as they are. `mlproject import /media/stick/study`
    """
    from mlproject.cli.session import import_into

    raise typer.Exit(import_into(named or source, from_experiment, experiment))
