"""Runs by their names, and what is pulled of them: cells, fits, plans; what is not there is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlproject.errors import BadInput, WrongUse
from mlproject.files import write_rows
from mlproject.runs import find_fit, find_runs, pull_runs
from mlproject.runs.pull import kind_of
from mlproject.tracking import Store
from tests.conftest import make_cell
from tests.tracking.test_store import log_cell


@pytest.fixture
def keys(store: Store, tmp_path: Path) -> list[str]:
    """Two finished cells of one model, and one of another."""
    changes = ({}, {"seed": 1}, {"model": "resnet50"})
    for i, change in enumerate(changes):
        (tmp_path / str(i)).mkdir()
        log_cell(store, tmp_path / str(i), **change)
    return [make_cell(**change).key for change in changes]


def log_fit(store: Store, folder: Path, keys: list[str], *, name: str = "p", table: bool = True) -> str:
    folder.mkdir()
    (folder / "exponents.txt").write_text("α")
    for below in ("figures", "tables", "data"):
        (folder / below).mkdir()
    (folder / "figures" / "a.png").write_bytes(b"png")
    (folder / "tables" / "a.csv").write_text("a\n1\n")
    if table:
        rows = [[key, "", ""] for key in keys]
        write_rows(folder / "data" / "runs.csv", ["cell", "losses_digest", "run_id"], rows)
    with store.run(kind="fit", name=f"fit · {name}", tags={}) as run:
        run.log_files(folder)
    return run.run_id


def test_a_cell_is_named_by_its_key_its_run_or_the_beginning_of_either(store: Store, keys: list[str]) -> None:
    run_id = store.done()[keys[0]]
    for name in (keys[0], keys[0][:9], run_id, run_id[:9]):
        named = find_runs(store, name)
        assert named.keys == (keys[0],)
        assert named.name == make_cell().label
    with pytest.raises(WrongUse, match=r"no finished cell, fit or plan is named ''; `.*mlproject ls` lists"):
        find_runs(store, "")


def test_a_model_stands_for_its_cells_only_where_that_is_asked_for(store: Store, keys: list[str]) -> None:
    assert find_runs(store, "resnet18", models=True).keys == tuple(sorted(keys[:2]))
    assert find_runs(store, "resnet18", models=True, within=keys[1:]).keys == (keys[1],)
    with pytest.raises(WrongUse, match="no finished cell, fit or plan is named 'resnet18'"):
        find_runs(store, "resnet18")


def test_a_fit_is_named_by_its_run_its_plan_or_latest(store: Store, keys: list[str], tmp_path: Path) -> None:
    first = log_fit(store, tmp_path / "first", keys[:2])
    second = log_fit(store, tmp_path / "second", keys, name="q")
    (tmp_path / "any.toml").write_text('name = "p"')
    for name in (first, first[:9], "p", str(tmp_path / "any.toml")):
        named = find_runs(store, name)
        assert (named.fit, named.keys) == (first, tuple(keys[:2]))
    assert find_runs(store, "latest").fit == second
    fit = find_fit(store, "q")
    assert fit is not None
    assert fit.info.run_id == second
    assert find_fit(store, "other") is None
    broken = log_fit(store, tmp_path / "third", keys, table=False)
    with pytest.raises(BadInput, match="has no list of its cells"):
        find_runs(store, broken)


def test_files_that_are_no_plans_and_odd_names_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no plan at absent\.toml"):
        find_runs(store, "absent.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(WrongUse, match=r"bad\.toml cannot be read as a plan"):
        find_runs(store, str(tmp_path / "bad.toml"))
    with pytest.raises(WrongUse, match="no finished cell"):
        find_runs(store, "it's")
    with pytest.raises(WrongUse, match=r"named 'latst'; did you mean latest\?"):
        find_runs(store, "latst")
    with pytest.raises(WrongUse, match="both kinds of quotes"):
        find_runs(store, "it's \"")


def test_a_cell_is_pulled_into_the_folder_and_a_fit_with_the_losses_of_its_cells(
    store: Store, keys: list[str], tmp_path: Path
) -> None:
    to = tmp_path / "to"
    pulled = pull_runs(store, find_runs(store, keys[0]), ["losses"], to)
    assert (pulled.copied, pulled.unchanged) == (2, 0)
    assert sorted(path.name for path in to.iterdir()) == ["losses.csv", "losses.parquet"]
    fit = log_fit(store, tmp_path / "fit", keys[:2])
    pulled = pull_runs(store, find_runs(store, fit), ["losses", "figures", "tables"], to)
    assert pulled.copied == 3 + 2 * 2
    files = sorted(str(path.relative_to(to)) for path in to.rglob("*") if path.is_file())
    assert files[:3] == ["data/runs.csv", "figures/a.png", "losses.csv"]
    folders = sorted(path.name for path in (to / "losses").iterdir())
    assert folders[0].startswith("resnet18-random-100-images-embedded-seed-0-")
    with pytest.raises(WrongUse, match="is no folder: move it away"):
        pull_runs(store, find_runs(store, keys[0]), ["losses"], to / "losses.csv")
    with pytest.raises(WrongUse, match="has no figures"):
        pull_runs(store, find_runs(store, keys[0]), ["figures"], to)
    with pytest.raises(WrongUse, match="unknown kind of artifacts 'figure'; did you mean figures"):
        pull_runs(store, find_runs(store, keys[0]), ["figure"], to)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("losses.parquet", "losses"),
        ("predictions.parquet", "losses"),
        ("losses.png", "figures"),
        ("epochs.csv", "tables"),
        ("figures/a.pdf", "figures"),
        ("latex/a.tex", "tables"),
        ("data/fits.json", "tables"),
        ("tables/losses_by_size/a.csv", "tables"),
        ("summary.md", ""),
        ("head.safetensors", ""),
        ("other/a.csv", ""),
    ],
)
def test_artifacts_are_of_a_kind_by_their_names(name: str, kind: str) -> None:
    assert kind_of(name) == kind
