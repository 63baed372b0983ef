"""The command line's verbs on the feature cache."""

from __future__ import annotations

from typing import Annotated

import typer

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
cache_app = typer.Typer(no_args_is_help=True, help="The feature cache: what it holds, and making room.")


@cache_app.command("ls")
def cache_ls(debug: Debug = False) -> None:
    """List the feature tables: model, scale, images, size."""
    from mlproject.cli import listing

    listing.print_cache()


@cache_app.command("prune")
def cache_prune(
    model: Annotated[str, typer.Option(help="Only tables of this model (default: all).")] = "",
    debug: Debug = False,
) -> None:
    """Delete feature tables, which are computed again when needed, and trainings abandoned for a week.

    What a killed training keeps to go on from counts as abandoned once it was untouched for 7 days. With
    `--model` only tables go.
    """
    from mlproject.cli import listing

    listing.prune_cache(model)
