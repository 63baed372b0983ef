"""The page on results describes every table of a report, the reference every column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlproject.analysis import Study
from mlproject.report import study_document, study_page
from mlproject.report.page import page_tables
from tests.analysis.test_classes import labelled
from tests.docs.stored import SIZES
from tests.studies import cell, planted, with_two_laws

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "results.md").read_text("utf-8")
NAMES = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
LIMIT = re.compile(r"_(low|high)$")
PAGES_ONLY = ("exponents_brief", "arms_brief")


@pytest.fixture(scope="module")
def study() -> Study:
    runs = [planted(cell(size=size, seed=s), n=60) for size in SIZES for s in (0, 1)]
    return with_two_laws([labelled(run, ["bag", "coat"] * 30) for run in runs], n_draws=50)


def test_every_table_is_described(study: Study) -> None:
    missing = []
    document = study_document(study)
    for table in (*document.tables, *page_tables(study_page(study, document), document)):
        if table.name not in PAGES_ONLY:
            folder, of_group, _ = table.name.partition("/")
            file = f"{folder}/<group>.csv" if of_group else f"{table.name}.csv"
            missing += [file] if file not in NAMES else []
    assert missing == []
