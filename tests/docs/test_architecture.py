"""ARCHITECTURE.md names files and folders that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
NAMED = sorted(
    {name for name in re.findall(r"`([a-z_]+(?:/[A-Za-z_]*)+(?:\.\w+)?)`", TEXT) if "NAME" not in name}
)


ADDITIONS = TEXT.partition("## Where a newcomer adds things")[2]
LISTS = sorted(set(re.findall(r"`([A-Z_]+)`\s(?:of|in)\s`([a-z_/]+\.py)`", ADDITIONS)))
"""Lists that a new thing is named in, each with its file."""


def places(name: str) -> list[Path]:
    folders = [ROOT, *(ROOT / "src" / "mlproject" / package for package in ("", "training", "report"))]
    return [folder / name for folder in folders if (folder / name).exists()]


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_architecture_names_exists(name: str) -> None:
    assert places(name) or name.startswith("unfinished/")


@pytest.mark.parametrize(("name", "file"), LISTS)
def test_a_list_that_a_newcomer_extends_is_in_the_file_named(name: str, file: str) -> None:
    (path,) = places(file)
    assert re.search(rf"^(\w+, )*{name}\b.* = ", path.read_text("utf-8"), re.MULTILINE)


def test_every_package_has_its_place_in_the_staircase() -> None:
    table = TEXT.partition("## The packages")[2].partition("## The walk")[0]
    for path in (ROOT / "src" / "mlproject").iterdir():
        if not path.name.startswith(("_", ".")) and path.suffix in ("", ".py"):
            assert f"`{path.stem}`" in table, path.name
