"""Commands about cells that have not run: which to run next, and what they will show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlproject.cli.commands import ANY_KNOB, Debug, Experiment, Knobs, app

__all__ = ["app"]


@app.command("plan-next", context_settings=ANY_KNOB)
def plan_next(
    knobs: Knobs = None,
    *,
    plan: Annotated[Path, typer.Option(help="The TOML plan whose cells are done.")],
    budget: Annotated[float, typer.Option(help="What the next cells may cost in all.")],
    target_images: Annotated[int, typer.Option(help="The size whose loss is to be predicted.")],
    out: Annotated[Path, typer.Option(help="The TOML plan to write, for mlproject sweep.")],
    unit: Annotated[str, typer.Option(help="Of the budget: images, cells, flops, gmac, seconds.")] = "images",
    target_params: Annotated[
        float, typer.Option(help="Model size to predict at, where models are an axis (default: the largest).")
    ] = 0.0,
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Choose the cells whose losses would narrow a prediction the most, and write their plan.

    Along images, and along model size too where finished cells of the plan carry a law of both. Coordinates
    and knobs that the sweep replaced are given again: `--data /path/to/images`.
    """
    from mlproject.analysis import Aim
    from mlproject.cli import console, listing
    from mlproject.cli.session import undeclared
    from mlproject.plans import read_plan
    from mlproject.runs import choose, write_plan
    from mlproject.tracking import open_store

    given = read_plan(plan, undeclared(knobs or []))
    console.warn_of_plan(given)
    aim = Aim(target=target_images, budget=budget, unit=unit, params=target_params)
    store = open_store(experiment, create=False)
    choices = choose(given, store.observations(), aim)
    write_plan(out, given, aim, choices)
    listing.print_next(choices, aim, out, experiment)
    console.warn_of_unreadable(store)


@app.command(context_settings=ANY_KNOB)
def predict(
    plan: Annotated[str, typer.Argument(help="The TOML plan whose smaller cells are finished.")] = "",
    knobs: Knobs = None,
    *,
    at: Annotated[str, typer.Option(metavar="N[,N…]", help="Sizes to predict, in training images.")],
    named: Annotated[str, typer.Option("--plan", hidden=True, help="The same, for mlflow run.")] = "",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Predict cells of larger sizes before they run, and seal the prediction as a tracked run.

    The next fits score it. A prediction of cells that exist is refused; one that was changed or dropped
    shows in every report. What the sweep replaced in its plan is given again: `--data /path/to/images`.
    """
    from mlproject.cli.predict import predict_sizes

    words = [*([plan] if plan else []), *(knobs or [])]
    file = named or (words.pop(0) if words and not words[0].startswith("--") else "")
    predict_sizes(file, words, at, experiment)
