"""Reference pages generated from the code: commands, plan keys, knobs, laws, models, data sets.

python scripts/reference.py --write    write them into docs/reference/
python scripts/reference.py --check    exit with 1 when a page there differs
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"
TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "`true`, `false`"}
BOUNDS = {"gt": "above {}", "ge": "at least {}", "lt": "below {}", "le": "at most {}"}
sys.path.insert(0, str(ROOT / "src"))


def pages() -> dict[str, str]:
    """Every generated page, by file name."""
    makers: dict[str, Callable[[], Iterable[str]]] = {
        "commands": commands,
        "plans": plans,
        "knobs": knobs,
        "laws": laws,
        "models": models,
        "datasets": datasets,
    }
    head = "<!-- Written by scripts/reference.py; do not edit. -->\n\n"
    return {f"{name}.md": head + "\n".join(make()).rstrip() + "\n" for name, make in makers.items()}


def commands() -> Iterator[str]:
    """Every command with its arguments and options, from the Typer application."""
    import typer.main

    from mlproject.cli import app

    root: Any = typer.main.get_command(app)
    yield "# Commands\n"
    yield f"{root.help}\n"
    yield f"{root.epilog}\n"
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
    """Keys of a plan and of its ``[tune]`` table."""
    from mlproject.plans import DEFAULTS, KEYS
    from mlproject.tuning.search import Tune

    yield "# Plan keys\n"
    yield "A plan is a TOML file. [Plans and tuning](../guide/plans.md) explains it.\n"
    yield "## Top level\n"
    yield ", ".join(f"`{key}`" for key in KEYS) + ".\n"
    yield "## `[[grid]]`\n"
    yield "Every value may be a list; the grid is the product. `knobs` is a table of [knobs](knobs.md).\n"
    yield from table(("key", "default"), [("`model`", "required"), *_defaults(DEFAULTS.items())])
    yield "`weights` must be named in a plan, and must not be `auto`.\n"
    yield "## `[tune]`\n"
    yield '`space` is a table: for each knob `{ low = …, high = … }`, `"low..high"` or a list of choices.\n'
    tune = Tune()
    names = [name for name in _fields(type(tune)) if name != "space"]
    yield from table(("key", "default"), _defaults((name, getattr(tune, name)) for name in names))
    yield _markdown(type(tune).__doc__ or "") + "\n"


def knobs() -> Iterator[str]:
    """Every knob of every recipe with its type and default."""
    from mlproject.recipes import RECIPES

    yield "# Knobs\n"
    yield "A knob is given in `[grid.knobs]` of a plan or as an option, `--lr 1e-3` for `lr`.\n"
    for name, recipe in RECIPES.items():
        yield f"## {name}\n"
        yield _prose(recipe)
        yield from table(("knob", "values", "default"), _knob_rows(recipe))


def _knob_rows(recipe: type[Any]) -> Iterator[tuple[str, str, str]]:
    hints = _hints(recipe)
    for field, default in _fields(recipe).items():
        yield f"`{field}`", _type(hints[field]), _value(default)


def _fields(recipe: type[Any]) -> dict[str, Any]:
    """Names and defaults of a dataclass or of a pydantic model."""
    if hasattr(recipe, "model_fields"):
        return {name: field.default for name, field in recipe.model_fields.items()}
    return {field.name: field.default for field in dataclasses.fields(recipe)}


def _hints(recipe: type[Any]) -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(recipe, include_extras=True)


def _type(hint: Any) -> str:
    arguments = get_args(hint)
    if hasattr(hint, "__metadata__"):
        bounds = [_bound(part) for part in hint.__metadata__]
        return ", ".join([_type(arguments[0]), *filter(None, bounds)])
    if arguments:
        return ", ".join(_type(part) if isinstance(part, type) else f"`{part}`" for part in arguments)
    return TYPES.get(hint.__name__, hint.__name__)


def _bound(part: Any) -> str:
    """A bound that pydantic or annotated-types holds, in words."""
    if hasattr(part, "metadata"):
        return ", ".join(filter(None, map(_bound, part.metadata)))
    limits = {name: getattr(part, name, None) for name in BOUNDS}
    return ", ".join(BOUNDS[name].format(f"{limit:g}") for name, limit in limits.items() if limit is not None)


def _prose(recipe: type[Any]) -> str:
    """A recipe's own docstring and its source, in Markdown."""
    return f"{_markdown(recipe.__doc__ or '')}\n\nSource: {recipe.reference}.\n"


def _markdown(docstring: str) -> str:
    """A docstring without what it raises, its code in single backticks."""
    text = inspect.cleandoc(docstring).replace("``", "`")
    return re.split(r"\n\nRaises:", text)[0]


def laws() -> Iterator[str]:
    """The table of laws."""
    from mlproject.scaling import LAWS

    yield "# Laws\n"
    yield "`x` is the scale; N is the model size, D the number of images, S a third scale.\n"
    for axes, words in ((1, "one axis"), (2, "two axes"), (3, "three axes")):
        yield f"## Of {words}\n"
        rows = [
            (f"`{law.name}`", f"`{law.formula}`", law.reference) for law in LAWS.values() if law.axes == axes
        ]
        yield from table(("law", "formula", "source"), rows)


def models() -> Iterator[str]:
    """The table of models."""
    from mlproject.models import MODELS

    yield "# Models\n"
    yield "Any torchvision classifier works by its torchvision name and any timm model as `timm:name`."
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
    if name.startswith("embedded-scenes"):
        return "drawn from the embedded images: scenes with a class for every pixel"
    if name in ("embedded", "fashion-mnist-subset"):
        return "in the package: 4,200 images of Fashion-MNIST, 28 × 28, 10 classes"
    return "`MLPROJECT_DATA` (default `~/.cache/mlproject/data`), as torchvision stores it"


def _defaults(items: Iterable[tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(f"`{name}`", _value(value)) for name, value in items]


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
