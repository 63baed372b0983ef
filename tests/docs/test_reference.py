"""The generated pages of the documentation are those of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_page_is_current(reference: ModuleType) -> None:
    for name, text in reference.pages().items():
        page = (ROOT / "docs" / "reference" / name).read_text("utf-8")
        assert page == text, f"{name}: run python scripts/reference.py --write"


def test_every_knob_of_every_recipe_is_described(reference: ModuleType) -> None:
    from mlproject.recipes import RECIPES, described

    text = reference.pages()["knobs.md"]
    for recipe in RECIPES.values():
        for row in described(recipe):
            assert row.description, f"{recipe.__name__}.{row.name} has no description"
            assert f"`{row.name}`" in text


def test_a_cell_with_a_bar_stays_one_cell_of_a_table(reference: ModuleType) -> None:
    assert list(reference.table(("a",), [("x|y",)]))[2] == "| x\\|y |"
