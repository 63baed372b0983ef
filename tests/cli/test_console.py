"""What a person sees of searches while they run."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import sqlite3
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from mlproject.cli import EscapedRecord, console, doctor, listing, planned, progress, session
from mlproject.cli.console import _Escaping, out, warn
from mlproject.cli.progress import Bars, Lines, Pace, Trials
from mlproject.features import ExtractionCost
from mlproject.plans import Plan
from mlproject.runs import CellRun
from tests.conftest import make_cell


def test_the_bar_of_trials_counts_all_studies_and_shows_the_best_so_far():
    progress = Progress()
    bars = Bars(progress, n_cells=4, n_trials=100)
    bars.count_trials("a", 16, 0.5)
    bars.count_trials("b", 4, 0.25)
    bars.count_trials("a", 32, math.nan)
    task = progress.tasks[bars.tuning]
    assert (task.completed, task.total) == (36, 100)
    bars.count_trials("b", 20, 0.125)
    assert task.description == "best 0.125 · b"


def test_warnings_above_the_bars_keep_their_lines_whole_and_stay_out_of_a_file_of_stderr(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands in warnings were broken at the terminal's width, and could not be copied."""
    shown, file = io.StringIO(), io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=40, color_system=None)
    monkeypatch.setattr(console, "out", terminal)
    monkeypatch.setattr(progress, "out", terminal)
    text = "run 0123456789 is of another host: `mlproject doctor --take-over gpu01`"
    for is_terminal in (True, False):
        aside = Console(file=file, force_terminal=is_terminal, width=40, color_system=None)
        monkeypatch.setattr(console, "err", aside)
        monkeypatch.setattr(progress, "err", aside)
        with progress.watching(1) as bars:
            logging.getLogger("anything").warning("%s %s", text, is_terminal)
            bars.end(CellRun(cell=make_cell(), name="x", status="busy", reason=text))
    assert f"{text} True" in shown.getvalue()
    assert f"busy  x  {text}" in shown.getvalue()
    assert file.getvalue() == f"{text} False\n"


def test_trials_of_an_earlier_start_do_not_count_as_speed():
    trials = Trials(100)
    trials.count("a", 90)
    assert trials.speed.startswith("0.0 trials/s")
    trials.count("a", 95)
    assert "s left" in trials.speed


def test_a_finished_plan_ends_with_the_page_of_its_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    page = "#/experiments/7/runs?workflowType=machine_learning"
    for uri, shown in {
        "http://me:secret@host:5000/": f"http://host:5000/{page}",
        "https://host/path": f"https://host/path/{page}",
        f"sqlite:///{tmp_path}/a.db": (
            f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/a.db, then http://127.0.0.1:5000/{page}"
        ),
    }.items():
        assert session.in_ui(uri, page) == shown


def test_names_with_brackets_and_colons_are_printed_as_they_are(capsys):
    console.warn("[red]x[/] :smile: [/nothing]")
    console.out.print("[bold]:cat:")
    printed = capsys.readouterr()
    assert printed.err == "warning: [red]x[/] :smile: [/nothing]\n"
    assert printed.out == "[bold]:cat:\n"


def test_a_plan_whose_cells_are_all_done_is_reported_without_opening_the_store(monkeypatch, capsys):
    cells = tuple(make_cell(seed=seed) for seed in (0, 1))
    plan = Plan(name="p", cells=cells, images={})
    done = {cell.key: f"run {cell.seed}" for cell in cells}
    opened = []
    monkeypatch.setattr("mlproject.tracking.done_runs", lambda experiment, keys, close_dead: ("7", done))
    monkeypatch.setattr("mlproject.tracking.open_store", lambda experiment: opened.append(1) or 1 / 0)
    assert session.run_session(plan, "", False, fit=False) == 0
    assert "Cells: 0 done, 2 was done, 0 busy, 0 failed." in capsys.readouterr().out
    assert opened == []
    monkeypatch.setenv("MLFLOW_RUN_ID", "x")  # the launcher's run is to be adopted
    with pytest.raises(ZeroDivisionError):
        session.run_session(plan, "", False, fit=False)
    monkeypatch.delenv("MLFLOW_RUN_ID")
    del done[cells[1].key]
    with pytest.raises(ZeroDivisionError):
        session.run_session(plan, "", False, fit=False)


def test_a_damaged_cell_is_listed_as_such_unless_another_run_of_it_is_done(capsys):
    def record(cell: str, run_id: str, status: str) -> dict:
        damage = "its losses.parquet is missing" if status == "damaged" else ""
        known = {"cell": cell, "run_id": run_id, "status": status, "damage": damage, "label": cell}
        return known | {"metrics": {}, "coordinates": {}, "digest": ""}

    runs = [("a", "1", "damaged"), ("a", "2", "done"), ("a", "3", "done"), ("b", "4", "failed")]
    runs += [("c", "5", "damaged"), ("c", "6", "damaged")]
    store = SimpleNamespace(
        records=lambda where="": (record(*run) for run in runs),
        done=lambda keys: {"a": "2"} if keys == ["a"] else {},
        artifact_uri=lambda run_id: "/x",
    )
    rows = list(listing.list_runs(store))
    assert [(row["run_id"], row["status"]) for row in rows] == [("2", "done"), ("5", "damaged")]
    assert len(list(listing.list_runs(store, everything=True))) == len(runs)
    listing.print_table(rows)
    assert "2 cells, 1 of them damaged: `mlproject show RUN` says how" in capsys.readouterr().out
    listing.print_one(store, "5", "")
    assert "damaged: its losses.parquet is missing\n" in capsys.readouterr().out


def test_runs_are_listed_as_they_are_read_and_nothing_more_of_them_is_kept(capsys):
    asked = []

    def records(where=""):
        for i in range(3):
            asked.append(where)
            yield {
                "cell": f"{i}", "coordinates": {"seed": i}, "status": "done", "run_id": f"r{i}", "digest": "",
                "metrics": {"eval.loss": [0.5, float("nan"), 2.0][i]}, "label": "x",
            }  # fmt: skip

    rows = listing.list_runs(SimpleNamespace(records=records))
    assert next(rows)["cell"] == "0"
    assert asked == ["attributes.status = 'FINISHED'"]
    listing.print_json(listing.list_runs(SimpleNamespace(records=records)))
    printed = capsys.readouterr().out
    rows = json.loads(printed)
    assert printed == json.dumps(rows, indent=2) + "\n"
    assert [(row["coordinates"], row["loss"]) for row in rows] == [
        ({"seed": 0}, 0.5), ({"seed": 1}, None), ({"seed": 2}, 2.0),
    ]  # fmt: skip
    listing.print_json([])
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("width", [200, 60, 40])
def test_long_tables_are_printed_as_rich_prints_them(width, monkeypatch, capsys):
    header = ("", "cell", "name", "knobs that differ")
    rows = [
        (
            "done" if i % 2 else "to do",
            f"{i:016x}",
            f"resnet{i} · {10**i} images · 鞋 · seed {i}",
            f"lr={0.1**i:g}",
        )
        for i in range(6)
    ]
    monkeypatch.setattr(out, "width", width)
    monkeypatch.setattr(console, "BLOCK", 4)
    console.print_rows(header, rows, green="done")
    ours = capsys.readouterr().out
    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    out.print(table)
    assert ours == capsys.readouterr().out


HOSTILE = "a\x1b[2J\x1b]0;t\x01[red]b[/] :smile: \u202ec"
SHOWN = r"a\x1b[2J\x1b]0;t\x01[red]b[/] :smile: \u202ec"


def test_names_reach_the_terminal_without_control_codes_and_are_no_markup(capsys):
    rows = [{"cell": HOSTILE, "label": HOSTILE + "\n", "status": "done", "metrics": {}, "run_id": "1"}]
    out.print(HOSTILE)
    out.print(Text(HOSTILE, "bold"))
    warn(HOSTILE)
    listing.print_table(rows)
    shown = capsys.readouterr()
    assert shown.out.count(SHOWN) == 4
    assert SHOWN in shown.err
    assert (shown.out + shown.err).replace("\n", "").isprintable()
    assert SHOWN + r"\n" in shown.out  # a line end in a name begins no line


def test_colours_of_our_own_and_bars_are_kept_on_a_terminal():
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, color_system="standard", width=80)
    terminal.push_render_hook(_Escaping())
    terminal.print(Text.assemble(("done", "green"), " \x1b[31mred"))
    assert file.getvalue() == "\x1b[32mdone\x1b[0m \\x1b[31mred\n"


def test_a_store_that_is_being_written_to_is_busy_and_not_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "BUSY_SECONDS", 0.1)
    path = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.execute("create table runs (id)")
        writer.commit()
        writer.execute("begin exclusive")
        works, _, detail = doctor._integrity(path)
        assert works is None
        assert "another process is writing to it" in detail
        writer.rollback()
        assert doctor._integrity(path) == (True, "store file", f"{path}: integrity ok")


def test_doctor_prints_paths_as_they_are(capsys, monkeypatch):
    for name in ("_packages", "_device", "_weights", "_regions", "_data", "_cache"):
        monkeypatch.setattr(doctor, name, lambda: iter(()))
    monkeypatch.setattr(doctor, "leftovers", list)  # of other tests
    monkeypatch.setattr(
        doctor, "_store", lambda: iter([(True, "store file", f"/tmp/{HOSTILE}: integrity ok")])
    )
    assert doctor.examine() == 0
    assert f"/tmp/{SHOWN}: integrity ok" in capsys.readouterr().out


def test_names_in_warnings_of_logs_cannot_control_the_terminal() -> None:
    record = EscapedRecord("x", logging.WARNING, "", 0, "%s is damaged", ("a\x1b[2J.pth",), None)
    assert logging.Formatter().format(record) == r"a\x1b[2J.pth is damaged"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((0, 40), "note: 1 of 2 cells: in-sample losses"), ((0,), "note: in-sample losses"), ((40,), "")],
)
def test_a_note_on_in_sample_losses_says_of_how_many_cells(capsys, sizes, expected):
    console.warn_of_cells([make_cell(eval_size=size, weights="imagenet") for size in sizes])
    printed = capsys.readouterr().err
    assert printed.startswith(expected)
    assert bool(printed) == bool(expected)


def test_the_time_left_counts_images_to_embed_and_cells_apart(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("mlproject.cli.progress.time.monotonic", lambda: clock[0])
    pace = Pace(n_cells=11)
    assert pace.text == ""
    pace.expect(1000, 1)
    pace.stage("features")
    clock[0] = 2.0
    pace.advance(100)
    assert pace.text == "50 images/s, more than 18 s left"  # no cell has ended: its training is unknown
    clock[0] = 20.0
    pace.advance(900)
    pace.stage("head")
    clock[0] = 50.0
    pace.end(CellRun(cell=make_cell(), name="a", status="done", seconds=50.0))
    assert pace.text == "5 min left"  # ten cells of 30 s, all images embedded


def test_the_time_left_divides_cells_among_workers_and_leaves_out_their_start(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("mlproject.cli.progress.time.monotonic", lambda: clock[0])
    pace = Pace(n_cells=21)
    pace.expect(0, 4)
    clock[0] = 40.0  # workers took 30 s to start
    pace.end(CellRun(cell=make_cell(), name="a", status="done", seconds=10.0))
    assert pace.text == "50 s left"  # twenty cells of 10 s, four at once


def test_long_extractions_are_reported_each_minute_without_a_terminal(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("mlproject.cli.progress.time.monotonic", lambda: clock[0])
    lines = Lines(1)
    lines.expect(6100, 1)
    lines.stage("features", 6100)
    for _ in range(61):
        clock[0] += 1.0
        lines.advance(50)
    assert capsys.readouterr().out == "features of 3,000 images: 50 images/s, more than 62 s left\n"


def test_the_cost_of_a_plan_is_told_as_far_as_it_was_measured(monkeypatch, capsys):
    known = ExtractionCost(n_forwards=900, n_bytes=3 << 20, seconds=9000.0)
    unknown = ExtractionCost(n_forwards=100, n_bytes=1 << 20, seconds=None)
    needed = [
        SimpleNamespace(backbone=SimpleNamespace(model=model), cost=cost)
        for model, cost in {"resnet18": known, "vit": unknown}.items()
    ]
    monkeypatch.setattr("mlproject.recipes.needed_features", lambda cells, images_of: needed)
    plan = Plan(name="p", cells=(), images={})
    planned.print_cost([make_cell(), make_cell(recipe="scratch")], plan)
    assert capsys.readouterr().out.splitlines() == [
        "features: 1,000 forwards, 4.0 MiB of disk, 2.5 h at the speed measured here; vit: not measured yet",
        "training of whole networks: 1 cells, resnet18: not measured yet",
    ]
