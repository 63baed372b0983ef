"""Every promise of the documentation names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide" / "promises.md"
ROWS = re.findall(r"^\| (.+\.) \| `(\S+)::(\S+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_every_row_of_the_page_is_a_sentence_with_a_test() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    heads = sum(line.startswith(("| promise |", "| --- |")) for line in rows)
    assert len(ROWS) == len(rows) - heads > 30


@pytest.mark.parametrize(("sentence", "file", "name"), ROWS, ids=[row[2] for row in ROWS])
def test_the_test_of_a_promise_exists(sentence: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, sentence
