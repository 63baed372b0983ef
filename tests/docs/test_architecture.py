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


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_architecture_names_exists(name: str) -> None:
    places = [ROOT / "src" / "mlproject" / name, ROOT / name]
    places += [ROOT / "src" / "mlproject" / package / name for package in ("training", "report")]
    assert any(place.exists() for place in places) or name.startswith("unfinished/")


def test_every_package_has_its_place_in_the_staircase() -> None:
    table = TEXT.partition("## The packages")[2].partition("## The walk")[0]
    for path in (ROOT / "src" / "mlproject").iterdir():
        if not path.name.startswith(("_", ".")) and path.suffix in ("", ".py"):
            assert f"`{path.stem}`" in table, path.name
