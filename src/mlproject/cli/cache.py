"""Commands on the feature cache: list its tables, delete them."""

from __future__ import annotations

from typing import Annotated

import typer

MIB = 1 << 20
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
cache_app = typer.Typer(no_args_is_help=True, help="List the feature cache, or free its disk space.")


@cache_app.command("ls")
def cache_ls(debug: Debug = False) -> None:
    """List the feature tables: model, scale, images, size."""
    from rich.table import Table

    from mlproject.cli.console import out
    from mlproject.features import list_tables

    table = Table("table", "model", "weights", "scale", "engine", "precision", "MiB", box=None)
    for row in list_tables():
        words = (row.name, row.model, row.weights, f"{row.image_scale:g}", row.engine, row.precision)
        table.add_row(*words, f"{row.n_bytes / MIB:.1f}")
    out.print(table)


@cache_app.command("prune")
def cache_prune(
    model: Annotated[str, typer.Option(help="Only tables of this model (default: all).")] = "",
    debug: Debug = False,
) -> None:
    """Delete feature tables, which are computed again when needed, and trainings abandoned for a week.

    The saved state of a killed training counts as abandoned once it was untouched for 7 days. With
    `--model` only tables are deleted.
    """
    from mlproject.cli.console import out
    from mlproject.features import ABANDONED_DAYS, prune, prune_unfinished

    deleted = prune(model=model or None)
    out.print(f"{len(deleted)} tables deleted, {sum(row.n_bytes for row in deleted) / MIB:.1f} MiB freed")
    if not model:
        n_deleted, n_bytes = prune_unfinished()
        text = f"{n_deleted} unfinished trainings untouched for {ABANDONED_DAYS:g} days deleted"
        out.print(f"{text}, {n_bytes / MIB:.1f} MiB freed")
