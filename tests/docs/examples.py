"""Code blocks of the documentation: found in the Markdown, and what is done with each.

Shell blocks: ``mlproject`` commands are checked. ``cell`` and ``sweep`` get ``--dry-run``; the others have
their arguments parsed. A block after ``<!-- run -->`` is executed. ``mlflow run`` is translated into the
command that ``MLproject`` starts. Python blocks are executed in order, one namespace a page. A block after
``<!-- file: NAME -->`` is a file that the blocks below it read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
OTHERS = ("make", "pip", "export", "optuna-dashboard", "cd", ".venv/bin/mlflow ui", "#")
"""First words of lines that are not checked."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block: its language, its text, the mark above it, and the line where it begins."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page in order."""
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Block(
            page=page,
            line=line,
            language=match["language"],
            text=match["text"],
            mark=(match["mark"] or "").strip(),
        )


def commands(block: Block) -> list[list[str]]:
    """The ``mlproject`` commands of a shell block as words; raises ValueError for a line of another kind."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or line.strip().startswith(OTHERS):
            continue
        if words[0].endswith("mlproject"):
            found.append(words[1:])
        elif words[:2] == ["mlflow", "run"]:
            found.append(launched(words[2:]))
        else:
            raise ValueError(f"{block.name}: {line!r} is neither an mlproject command nor in OTHERS")
    return found


def launched(words: list[str]) -> list[str]:
    """The command that ``mlflow run .`` starts with these words, as ``MLproject`` writes it."""
    entry, given, rest = "main", {}, iter(words)
    for word in rest:
        if word == "-e":
            entry = next(rest)
        elif word == "-P":
            name, _, value = next(rest).partition("=")
            given[name] = value
        elif word == "--env-manager":
            assert next(rest) in ("local", "uv")
        elif word not in (".", "…"):
            raise ValueError(f"mlflow run has no {word}")
    project = yaml.safe_load((ROOT / "MLproject").read_text("utf-8"))["entry_points"][entry]
    defaults = {name: declared["default"] for name, declared in project["parameters"].items()}
    values = defaults | {name: given[name] for name in given if name in defaults}
    command = project["command"].format(**{name: shlex.quote(value) for name, value in values.items()})
    extra = [f"--{name}={value}" for name, value in given.items() if name not in defaults]
    return [*shlex.split(command)[4:], *extra]  # after PYTHONPATH=src python -m mlproject
