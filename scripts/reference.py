"""Reference pages generated from the code: commands, plan keys, knobs, laws, models, data sets.

python scripts/reference.py --write    write them into docs/reference/
python scripts/reference.py --check    exit with 1 when a page there differs
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
sys.path.insert(0, str(ROOT / "src"))


def pages() -> dict[str, str]:
    """Every generated page, by file name."""
    makers: dict[str, Callable[[], Iterable[str]]] = {
        "commands": commands,
        "plans": plans,
        "knobs": knobs,
        "laws": laws,
        "library": library,
        "models": models,
        "datasets": datasets,
        "columns": columns,
    }
    head = "<!-- Written by scripts/reference.py; do not edit. -->\n\n"
    return {f"{name}.md": head + "\n".join(make()).rstrip() + "\n" for name, make in makers.items()}


def columns() -> Iterator[str]:
    """The columns of every table that a report or a paper writes."""
    from mlproject.report.columns import COLUMNS, PATTERNS, TABLES

    yield "# Columns of tables\n"
    yield (
        "What the columns of the CSV files and of `images.parquet` mean. `data/columns.csv` of a paper's "
        "folder has the same, a row for each column of each table. Units are empty where there is none; "
        "*loss* is the unit of the trained loss (nats for cross-entropy).\n"
    )
    rows = [(f"`{name}`", *value) for name, value in sorted(COLUMNS.items())]
    yield from table(("column", "unit", "definition"), rows)
    yield "## Columns with a meaning of their own\n"
    own = [(f"`{t}`", f"`{n}`", *v) for t, entries in TABLES.items() for n, v in sorted(entries.items())]
    yield from table(("table", "column", "unit", "definition"), own)
    yield "## Names made from others\n"
    yield "`{0}` and `{1}` are the parts in brackets; a limit has the unit of its value.\n"
    patterns = [(f"`{name}`", *value) for name, value in PATTERNS]
    yield from table(("name", "unit", "definition"), patterns)


def commands() -> Iterator[str]:
    """Every command with its arguments and options, from the Typer application."""
    import typer.main

    from mlproject.cli import app

    root: Any = typer.main.get_command(app)
    yield "# Commands\n"
    yield f"{root.help}\n"
    yield f"{root.epilog}\n"
    yield from table(("option", "default", "meaning"), map(_parameter, root.params))
    for name, command in root.commands.items():
        for words, leaf in _leaves(f"mlproject {name}", command):
            yield from _command(words, leaf)


def _leaves(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
        return
    for name, child in below.items():
        yield from _leaves(f"{words} {name}", child)


def _command(words: str, command: Any) -> Iterator[str]:
    yield f"## {words}\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        yield from table(("option", "default", "meaning"), rows)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    argument = parameter.param_type_name == "argument"
    names = [parameter.metavar or parameter.name.upper()] if argument else parameter.opts
    default = "required" if parameter.required else _value(parameter.default)
    return ", ".join(f"`{name}`" for name in names), default, parameter.help or ""


def plans() -> Iterator[str]:
    """Keys of a plan, of its grids, of its ``[tune]`` table, and of the files of engines."""
    from mlproject.engines.tables import JobTable, PodTable
    from mlproject.plans.tables import Coordinates, GridSeeds, PlanTable
    from mlproject.tuning.search import Tune

    yield "# Plan keys\n"
    yield "A plan is a TOML file. [Plans and tuning](../guide/plans.md) explains it.\n"
    yield "## Top level\n"
    yield from fields(PlanTable)
    yield "## `[[grid]]`\n"
    yield "Every value may be a list; the grid is the product. `knobs` is a table of [knobs](knobs.md)."
    yield "`weights` must be named in a plan, and must not be `auto`.\n"
    yield from fields(Coordinates)
    yield "With seeds that differ from size to size:\n"
    yield from fields(GridSeeds)
    yield "## `[tune]`\n"
    yield 'In `space`, each knob has `{ low = …, high = … }`, `"low..high"` or a list of choices.\n'
    yield from fields(Tune)
    yield "## The file of an engine: `slurm`, `pbs`, `lsf`\n"
    yield "[Many machines](../guide/machines.md#slurm-pbs-lsf) has an example.\n"
    yield from fields(JobTable)
    yield "## The file of an engine: `kubernetes`\n"
    yield from fields(PodTable)


def knobs() -> Iterator[str]:
    """Every knob of every recipe with its type, default, bounds and meaning."""
    from mlproject.recipes import RECIPES

    yield "# Knobs\n"
    yield "A knob is given in `[grid.knobs]` of a plan or as an option, `--lr 1e-3` for `lr`.\n"
    for name, recipe in RECIPES.items():
        yield f"## {name}\n"
        text = inspect.cleandoc(recipe.__doc__ or "").replace("``", "`")
        yield f"{text}\n\nSource: {recipe.reference}.\n"
        yield from fields(recipe)


def fields(model: type[Any]) -> Iterator[str]:
    """The fields of a pydantic model as a table."""
    from mlproject.recipes import described

    rows = [
        (
            f"`{row.name}`",
            "; ".join(filter(None, (row.type, row.rule))),
            _default(row.default),
            row.description,
        )
        for row in described(model)
    ]
    yield from table(("name", "values", "default", "meaning"), rows)


def _default(text: str) -> str:
    """A default as TOML writes it, for a table."""
    written = {"True": "true", "False": "false", "None": "", "{}": "", "(1.0,)": "1"}.get(text, text)
    return f"`{written}`" if written else ""


def laws() -> Iterator[str]:
    """The table of laws."""
    from mlproject.scaling import LAWS
    from mlproject.scaling.laws import AVERAGED

    yield "# Laws\n"
    yield "`x` is the scale; N is the model size, D the number of images, S a third scale. Predictions"
    yield "average the laws marked so where none are named, `m4` too where the ceiling is known, and"
    yield "`log_linear` where the evidence for it is strong.\n"
    for axes, words in ((1, "one axis"), (2, "two axes"), (3, "three axes")):
        yield f"## Of {words}\n"
        rows = [
            (f"`{name}`", f"`{law.formula}`", law.reference, "averaged" if name in AVERAGED[axes] else "")
            for name, law in LAWS.items()
            if law.axes == axes
        ]
        yield from table(("law", "formula", "source", "by default"), rows)


def library() -> Iterator[str]:
    """The laws of the libraries that ``--prior`` names, by study, axis and loss."""
    from mlproject.scaling.laws.library import LIBRARIES, PublishedLaw, read_library

    yield "# The library of known laws\n"
    method = "[The method](../method.md#a-library-of-known-laws-as-the-prior)"
    yield "What `--prior vision` knows: laws of public studies, one for each curve. *Fitted* says whether the"
    yield "study states the exponent, or this project fitted it to the study's points. The values lie in"
    yield f"`scaling/laws/vision.csv`. {method} says how they are pooled.\n"
    for name in LIBRARIES:
        yield f"## {name}\n"
        groups: dict[tuple[str, ...], list[PublishedLaw]] = {}
        for law in read_library(name):
            groups.setdefault((law.study, law.axis, law.loss, law.fitted, law.source), []).append(law)
        rows = [_library_row(*key, laws=laws) for key, laws in groups.items()]
        head = ("study", "data sets", "axis", "loss", "laws", "exponents", "floors", "fitted", "source")
        yield from table(head, rows)


def _library_row(study: str, axis: str, loss: str, fitted: str, source: str, *, laws: Any) -> tuple[str, ...]:
    sets = ", ".join(dict.fromkeys(law.dataset for law in laws))
    exponents, floors = [law.exponent for law in laws], [law.floor for law in laws if law.floor is not None]
    ranges = [_span(values) for values in (exponents, floors)]
    return study, sets, axis, loss.replace("_", " "), str(len(laws)), *ranges, fitted, source


def _span(values: Sequence[float]) -> str:
    """The least and the largest of values."""
    ends = dict.fromkeys(f"{value:.2g}" for value in (min(values), max(values))) if values else {}
    return " to ".join(ends)


def models() -> Iterator[str]:
    """The table of models."""
    from mlproject.models import MODELS

    yield "# Models\n"
    yield "Any torchvision classifier works by its torchvision name, any timm model as `timm:name`,"
    yield "with its published weights as `weights=pretrained`, and a network of your own by `models.toml`."
    yield "Networks for training from random weights: `resblock_w16_d2`, `segmenter_w8_i1`, any width.\n"
    rows = [
        (
            f"`{model.name}`",
            model.family,
            f"{model.side}",
            f"{model.width:,}",
            f"{model.n_params_body:,}",
            "" if model.imagenet is None else ("with a package" if model.imagenet.package else "download"),
        )
        for model in MODELS.values()
    ]
    yield from table(("model", "family", "input side", "features", "parameters", "`imagenet` weights"), rows)


def datasets() -> Iterator[str]:
    """The table of data sets."""
    from mlproject.data import DATASETS

    yield "# Data sets\n"
    yield "Sets known by name; a path is a [folder of your own](../guide/images.md).\n"
    rows = [(f"`{name}`", _where(name)) for name in DATASETS]
    yield from table(("name", "where its images come from"), rows)


def _where(name: str) -> str:
    from mlproject.data import load_images
    from mlproject.data.published import SEGMENTATION_SETS, SOURCES, looked_for

    if name in SOURCES or name in SEGMENTATION_SETS:
        return f"below `MLPROJECT_DATA` (default `~/.cache/mlproject/data`): {looked_for(name)}".replace(
            "*", r"\*"
        )
    images = load_images(name)
    per_pixel = ", a class for every pixel" if images.read_map else ""
    side = " × ".join(map(str, images.read(0).shape[:2]))
    content = f"{len(images):,} images, {side}, {len(images.classes)} classes{per_pixel}"
    return f"no download: {content}; {images.source}"


def _value(value: Any) -> str:
    if value is None or value == "" or callable(value):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("---" for _ in head) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def main() -> int:
    """Write or check every page."""
    stale = [name for name, text in pages().items() if not _same(FOLDER / name, text)]
    if "--write" in sys.argv:
        for name in stale:
            (FOLDER / name).write_text(pages()[name], "utf-8")
        return 0
    for name in stale:
        print(f"docs/reference/{name} is not current: run python scripts/reference.py --write")
    return int(bool(stale))


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
