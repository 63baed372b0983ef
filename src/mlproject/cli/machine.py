"""Commands about this machine: its caches, its faults, and the weights that it has."""

from __future__ import annotations

from typing import Annotated

import typer

from mlproject.cli.commands import Debug, TakeOver
from mlproject.cli.results import app

__all__ = ["app"]

cache_app = typer.Typer(no_args_is_help=True, help="List the feature cache, or free its disk space.")
app.add_typer(cache_app, name="cache")


@cache_app.command("ls")
def cache_ls(debug: Debug = False) -> None:
    """List the feature tables (model, scale, size), and the size of the manifests of data sets."""
    from mlproject.cli.listing import print_cache
    from mlproject.data import list_manifests
    from mlproject.features import list_tables

    print_cache(list_tables(), [path.stat().st_size for path in list_manifests()])


@cache_app.command("prune")
def cache_prune(
    model: Annotated[str, typer.Option(help="Only tables of this model (default: all).")] = "",
    debug: Debug = False,
) -> None:
    """Delete feature tables and manifests, made again when needed, and trainings untouched for a week.

    A manifest saves reading all files of a data set. With `--model` only tables are deleted.
    """
    from mlproject.cli.console import out
    from mlproject.cli.listing import MIB
    from mlproject.data import list_manifests
    from mlproject.features import ABANDONED_DAYS, prune, prune_unfinished

    deleted = prune(model=model or None)
    out.print(f"{len(deleted)} tables deleted, {sum(row.n_bytes for row in deleted) / MIB:.1f} MiB freed")
    if not model:
        n_deleted, n_bytes = prune_unfinished()
        text = f"{n_deleted} unfinished trainings untouched for {ABANDONED_DAYS:g} days deleted"
        out.print(f"{text}, {n_bytes / MIB:.1f} MiB freed")
        manifests = list_manifests()
        n_bytes = sum(path.stat().st_size for path in manifests)
        for path in manifests:
            path.unlink(missing_ok=True)
        out.print(f"{len(manifests)} manifests deleted, {n_bytes / MIB:.1f} MiB freed")


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend it, each thing named first.")] = False,
    take_over: TakeOver = "",
    debug: Debug = False,
) -> None:
    """Check what this machine has (device, weights, data, store, disk), what will not work, and what crashes,
    damage and older versions left behind. Nothing in use is touched. `--take-over` does that alone, in all
    experiments and the studies beside the store."""
    from mlproject.cli.doctor import examine
    from mlproject.cli.session import take_over_everywhere

    if take_over:
        return take_over_everywhere(take_over)
    raise typer.Exit(examine(repair=repair))


@app.command()
def fetch(
    models: Annotated[
        list[str], typer.Argument(help="Models: resnet18 timm:vit_small_patch14_dinov2.lvd142m …")
    ],
    weights: Annotated[
        str,
        typer.Option(help="imagenet, pretrained[@REVISION] or IMAGENET1K_V2 … (default: what there is)."),
    ] = "",
    debug: Debug = False,
) -> None:
    """Download published weights (on a machine with internet) and verify them.

    `mlproject fetch vit_b_16 --weights IMAGENET1K_SWAG_E2E_V1`
    """
    from mlproject.cli.console import out
    from mlproject.models import fetch_weights, find_model

    for name in models:
        published = find_model(name).family in ("timm", "models.toml")
        spec = weights or ("pretrained" if published else "imagenet")
        model = find_model(name, spec)
        fetched = fetch_weights(model, spec)
        commit = f", revision {fetched.revision}" if fetched.revision else ""
        out.print(f"{model.name}: {fetched.path}{commit}, {fetched.digest}", soft_wrap=True)
