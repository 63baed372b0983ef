"""The commands: their arguments and options, and the call that each makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    # MLflow passes its parameters on by names that cannot have a hyphen: -P predict_at=at.csv.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A laboratory for vision scaling laws: run cells, sweep plans, fit exponents.",
    epilog="Exit status: 0 done · 1 some cells failed · 2 wrong use · 3 bad input · 4 store unreachable"
    " · 5 disk full · 6 digest mismatch. Runs are stored at MLFLOW_TRACKING_URI (default: mlflow.db here).",
)
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def _print_version(asked: bool) -> None:
    """Print the version of the running code, as its runs record it, and leave."""
    if asked:
        from mlproject.tracking import code_version

        code = code_version()
        commit = code.get("mlflow.source.git.commit", "")
        changes = " with uncommitted changes" if code.get("code.dirty") == "true" else ""
        print(f"mlproject {code['code.version']}" + (f", commit {commit}{changes}" if commit else ""))
        raise typer.Exit


@app.callback()
def mlproject(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and the commit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def _dashes(word: str) -> str:
    return word.replace("_", "-")  # the parser gives the word without its dashes


ANY_KNOB = {"ignore_unknown_options": True, "token_normalize_func": _dashes}
Knobs = Annotated[
    list[str] | None,
    typer.Argument(metavar="--KNOB=VALUE", help="Any other coordinate, or knob of the recipe."),
]
Experiment = Annotated[
    str, typer.Option(help="MLflow experiment (default: MLFLOW_EXPERIMENT_NAME or Default).")
]
TakeOver = Annotated[
    str, typer.Option(metavar="HOST", help="First close the runs and fail the trials of HOST, which is gone.")
]
Prior = Annotated[
    str, typer.Option(help="Known studies as the prior of error rates: vision, or vision:images.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cells and what is done; run nothing.")]


@app.command(context_settings=ANY_KNOB)
def cell(
    knobs: Knobs = None,
    *,
    model: Annotated[str, typer.Option(help="Backbone, or a comma list: resnet18,resnet50.")],
    dataset_size: Annotated[
        str, typer.Option(help="Training images, a share (0.5) or all; or a comma list: 100,200,all.")
    ] = "",
    data: Annotated[str, typer.Option(help="embedded, embedded:sneaker, mnist, cifar10 … or a folder.")] = "",
    weights: Annotated[
        str, typer.Option(help="auto, imagenet, pretrained, random, random:7 or a checkpoint.")
    ] = "",
    image_scales: Annotated[str, typer.Option(help="Multiples (1,2) or pixels (224,448) of the input.")] = "",
    seed: Annotated[str, typer.Option(help="Seed of draw and head, or a comma list: 0,1,2.")] = "",
    eval_size: Annotated[str, typer.Option(help="Held-out images, auto, or in-sample.")] = "",
    experiment: Experiment = "",
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Run one cell (or the cells of a product of comma lists), each as a tracked run.

    Any knob of the recipe is an option too: `--lr 1e-3 --epochs 50 --target labels --batch-size 32`.
    """
    from mlproject.cli.session import run_session, undeclared
    from mlproject.plans import plan_of

    named = dict(model=model, dataset_size=dataset_size, data=data, weights=weights, seed=seed)
    given = named | dict(image_scales=image_scales, eval_size=eval_size) | undeclared(knobs or [])
    plan = plan_of(model, {k: v for k, v in given.items() if v != ""})
    raise typer.Exit(run_session(plan, experiment, dry_run, fit=False))


@app.command(context_settings=ANY_KNOB)
def sweep(
    knobs: Knobs = None,
    *,
    plan: Annotated[str, typer.Option(help="A TOML plan: sweeps/embedded.toml, sweeps/head.toml.")] = "",
    trials: Annotated[str, typer.Option(help="Trials of each coordinate's search; 0 tunes nothing.")] = "",
    tune: Annotated[str, typer.Option(help="What to search: lr=1e-5..1e-1,optimizer=adam|sgd.")] = "",
    storage: Annotated[str, typer.Option(help="Optuna URL or journal file of the studies.")] = "",
    engine: Annotated[
        str, typer.Option(help="Where it runs: serial, local, local:N, dask:ADDRESS, slurm:FILE.toml …")
    ] = "",
    until: Annotated[str, typer.Option(help="Stop at 'width <= 0.1 at 100000 images'.")] = "",
    budget: Annotated[str, typer.Option(help="What --until may spend in all, in --unit.")] = "",
    unit: Annotated[str, typer.Option(help="Of the budget: images, cells, flops, gmac, seconds.")] = "",
    take_over: TakeOver = "",
    experiment: Experiment = "",
    dry_run: DryRun = False,
    debug: Debug = False,
) -> None:
    """Run the missing cells of a plan, their knobs tuned where the plan says so, then fit exponents.

    Coordinates and knobs of the plan can be replaced (`--data /path/to/images --epochs 10`); a model without
    a plan is tuned and run alone. For tuning also
    `--sampler tpe|random|gp|cmaes --pruner none|median|hyperband --timeout SECONDS --tune-seed N
    --log-trials true --widen true`.
    """
    from mlproject.cli.session import run_session, undeclared
    from mlproject.plans import plan_of, read_plan

    given = undeclared(knobs or []) | {"trials": trials, "tune": tune, "storage": storage}
    given = {k: v for k, v in given.items() if v != ""}
    alone = not plan and "model" in given
    path = Path(plan or "sweeps/embedded.toml")
    cells = plan_of(f"tuned {given['model']}", given, tuned=True) if alone else read_plan(path, given)
    cells = replace(cells, engine=engine or cells.engine)
    if until or budget or unit:
        from mlproject.cli.until import run_until_narrow

        raise typer.Exit(run_until_narrow(cells, experiment, dry_run, (until, budget, unit), take_over))
    raise typer.Exit(run_session(cells, experiment, dry_run, fit=not alone, take_over=take_over))


@app.command()
def aggregate(
    experiment: Experiment = "",
    where: Annotated[str, typer.Option(help="MLflow filter, such as: tags.sweep = 'embedded'")] = "",
    mix_weights: Annotated[
        bool,
        typer.Option("--mix-weights", help="Fit models together whose weights were trained differently."),
    ] = False,
    prior: Prior = "",
    debug: Debug = False,
) -> None:
    """Fit exponents over the finished cells of the experiment; the fit is a tracked run itself."""
    from mlproject.cli.session import show_fit, study_prior
    from mlproject.runs import fit_study
    from mlproject.tracking import open_store

    chosen = study_prior(prior)
    store = open_store(experiment, create=False)
    fitted = fit_study(store, name=where or "all cells", where=where, mix_weights=mix_weights, prior=chosen)
    show_fit(fitted, store.uri)


Points = Annotated[Path | None, typer.Argument(help="A CSV with a header; one row for each measured loss.")]
SamePoints = Annotated[Path | None, typer.Option("--points", hidden=True, help="The same, for mlflow run.")]
Accuracy = Annotated[
    bool | None,
    typer.Option("--accuracy/--no-accuracy", help="Fit 1 - y (100 - y): accuracies; or y: a loss."),
]
LibraryPrior = Annotated[
    str, typer.Option(help="Known studies as the prior of few scales: vision, or vision:images:error.")
]


@app.command()
def fit(
    points: Points = None,
    *,
    x: Annotated[list[str], typer.Option(help="Column of a scale; again for a law of two or three scales.")],
    y: Annotated[str, typer.Option(help="Column of the loss.")],
    sd: Annotated[str, typer.Option(help="Column of the loss' standard deviation, where it is known.")] = "",
    group: Annotated[
        list[str] | None, typer.Option(help="Columns of the groups: task,model (or the option again).")
    ] = None,
    run: Annotated[str, typer.Option(help="Column of the run, whose rows share noise.")] = "",
    ceiling: Annotated[float | None, typer.Option(help="Loss of a guess: ln of the classes.")] = None,
    laws: Annotated[str, typer.Option(help="Laws to average, such as power,zhai, and not the usual.")] = "",
    predict_at: Annotated[Path | None, typer.Option(help="A CSV of scales (and groups) to predict.")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write laws and predictions here.")] = None,
    accuracy: Accuracy = None,
    compare: Annotated[tuple[str, str] | None, typer.Option(help="Two groups: which is steeper?")] = None,
    prior: LibraryPrior = "",
    named: SamePoints = None,
    debug: Debug = False,
) -> None:
    """Fit scaling laws to points from a CSV file, and predict losses at other scales.

    `mlproject fit points.csv --x images --y loss --group task,model --predict-at at.csv --json out.json`
    """
    from mlproject.analysis import Columns, assess_csv
    from mlproject.cli.session import show_csv_study
    from mlproject.errors import WrongUse
    from mlproject.scaling import PriorChoice

    path = named or points
    if path is None:
        raise WrongUse("fit needs a CSV of points: mlproject fit points.csv --x images --y loss")
    columns = Columns(x=tuple(x), y=y, sd=sd, group=tuple(group or ()), run=run, accuracy=accuracy)
    chosen, names = PriorChoice.of(prior) if prior else None, _words(laws)
    study = assess_csv(
        path, columns, predict_at=predict_at, ceiling=ceiling, laws=names, compared=compare, prior=chosen
    )
    show_csv_study(study, to_json)


@app.command(context_settings={"token_normalize_func": _dashes})
def regions(
    data: Annotated[str, typer.Option(help="embedded, embedded:sneaker, mnist, cifar10 … or a folder.")],
    method: Annotated[str, typer.Option(help="blobs, sam (blobs as prompts) or sam-auto.")] = "blobs",
    checkpoint: Annotated[
        str, typer.Option(help="SAM's checkpoint: sam_vit_b_01ec64.pth or -l, -h; NETWORK:PATH for your own.")
    ] = "",
    limits: Annotated[str, typer.Option(help="Of blobs: relative to the image, or the seed's.")] = "relative",
    paths: Annotated[str, typer.Option(help="grey-first, grey, colour, both or best.")] = "grey-first",
    refine: Annotated[str, typer.Option(help="none or grabcut; best with grabcut for photographs.")] = "none",
    max_bad: Annotated[int, typer.Option(help="Bad images of a folder that may be left out.")] = 0,
    download: Annotated[
        str, typer.Option(help="true: fetch a published data set that is missing.")
    ] = "false",
    verify: Annotated[
        str, typer.Option(help="changed: read files that changed; full: all files.")
    ] = "changed",
    experiment: Experiment = "",
    debug: Debug = False,
) -> None:
    """Find the object of every image: masks, overlays and a table of what was decided, as a tracked run."""
    from mlproject.cli.session import find_regions
    from mlproject.errors import WrongUse
    from mlproject.regions import find_settings

    if checkpoint and method == "blobs":
        raise WrongUse("checkpoint is for method=sam or sam-auto; method=blobs needs none")
    settings = find_settings(method, limits=limits, checkpoint=checkpoint, paths=paths, refine=refine)
    raise typer.Exit(find_regions(data, max_bad, settings, experiment, download, verify))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",")) if text else ()
