"""Commands that read a finished study: their arguments and options, and the call that each makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlproject.cli.commands import Debug, Experiment, app

__all__ = ["app", "report"]


@app.command()
def report(
    of: Annotated[
        str, typer.Argument(help="A TOML plan, the run id of a fit (or its beginning), or latest.")
    ] = "latest",
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("report"),
    named: Annotated[str, typer.Option("--of", hidden=True, help="The same, for mlflow run.")] = "",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Write the report of a study into a folder: `report.html` for a browser, tables, figures and LaTeX.

    Its cells are those of a plan, or those that a fit used (the newest one: latest).
    """
    from mlproject.cli.session import write_report_of
    from mlproject.tracking import open_store

    write_report_of(named or of, out, open_store(experiment, create=False))
