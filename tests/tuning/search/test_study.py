"""Studies: exact totals, whoever dies and however many work at once; on a journal, SQLite and PostgreSQL."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from mlproject.errors import StoreUnreachable, WrongUse
from mlproject.tuning.search import read_tune, study
from mlproject.tuning.search import storage as storages
from mlproject.tuning.search.storage import open_storage
from mlproject.tuning.search.study import TrialStudy, best_of
from tests import services
from tests.processes import ended
from tests.tuning.search.worker import NAME, loss_of, study_in, table, work, work_apart


def all_trials(url: str) -> list[optuna.trial.FrozenTrial]:
    with open_storage(url, Path("unused")) as storage:
        return optuna.load_study(study_name=NAME, storage=storage.optuna).get_trials()


def test_as_many_trials_as_asked_for_and_no_more(tmp_path: Path):
    url = str(tmp_path / "log")
    first = work(url, trials=20)
    assert [t.index for t in first] == list(range(20))
    assert table(work(url, trials=20)) == table(first)
    more = work(url, trials=40)
    assert table(more)[:20] == table(first)
    assert len(all_trials(url)) == 40


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(tmp_path: Path):
    tables = [
        table(work(str(tmp_path / n), trials=20, tune_seed=s)) for n, s in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert tables[0] == tables[1] != tables[2]


@pytest.mark.parametrize(("sampler", "n"), [("tpe", 40), ("random", 40), ("gp", 24), ("cmaes", 40)])
def test_suggestions_never_repeat_over_blocks_or_resumes(tmp_path: Path, sampler: str, n: int):
    """A block has 16 trials; those of a Gaussian process take a tenth of a second each."""
    url = str(tmp_path / "log")
    for trials in (5, 17, n):
        tried = work(url, trials=trials, sampler=sampler)
    assert len({t.knobs["lr"] for t in tried}) == n


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_a_search_comes_near_the_optimum(tmp_path: Path, sampler: str):
    best = min(work(str(tmp_path / "log"), trials=100, sampler=sampler), key=lambda t: t.loss)
    assert best.loss < 0.13
    assert best.knobs["optimizer"] == "adam"


def test_cmaes_refuses_a_space_that_it_would_search_at_random(tmp_path: Path):
    tune = read_tune({"space": {"lr": "1e-5..1e-1"}, "sampler": "cmaes"}, {}, {"lr": 1e-3})
    with (
        open_storage(str(tmp_path / "log"), Path("unused")) as storage,
        pytest.raises(WrongUse, match=r"two or more ranges and has only lr 1e-05\.\.0\.1"),
    ):
        TrialStudy(storage=storage, name=NAME, tune=tune, space=tune.space)


def test_ten_kills_change_nothing(tmp_path: Path):
    url, whole, kills = str(tmp_path / "killed"), table(work(str(tmp_path / "whole"), trials=60)), 0
    chance = random.Random(1)
    worker = work_apart(url, 60, 0.08)
    while worker.exitcode is None:
        n = Path(url).stat().st_size if Path(url).exists() else 0
        time.sleep(chance.uniform(0.05, 0.35))
        grown = Path(url).exists() and Path(url).stat().st_size > n
        if grown and kills < 10:
            worker.kill()
            worker.join()
            kills += 1
            worker = work_apart(url, 60, 0.08)
    assert worker.exitcode == 0
    assert kills == 10
    assert table(work(url, trials=60)) == whole
    states = [t.state.name for t in all_trials(url)]
    assert states.count("COMPLETE") == 60
    assert set(states) == {"COMPLETE", "FAIL"}


def test_a_line_that_a_killed_writer_cut_is_taken_away(tmp_path: Path):
    url = tmp_path / "log"
    work(str(url), trials=5)
    with url.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert [t.index for t in work(str(url), trials=9)] == list(range(9))


def together(url: str, trials: int) -> None:
    """Four workers on a storage that does not exist yet: every index once, nobody's trial lost."""
    workers = [work_apart(url, trials, 0.01) for _ in range(4)]
    assert [ended(worker) for worker in workers] == [0] * 4
    found = all_trials(url)
    complete = [t for t in found if t.state.name == "COMPLETE"]
    assert sorted(t.user_attrs["index"] for t in complete) == list(range(trials))
    assert len({t.user_attrs["owner"] for t in complete}) > 1
    assert all(t.value == loss_of(t.params) for t in complete)
    assert not [t for t in found if t.state.name not in ("COMPLETE", "FAIL")]


def test_four_workers_on_a_journal(tmp_path: Path):
    together(str(tmp_path / "log"), 120)


def test_four_workers_on_sqlite(tmp_path: Path):
    together(f"sqlite:///{tmp_path}/studies.db", 40)


@pytest.fixture
def postgres():
    """The address of a database on a server of its own."""
    pytest.importorskip("psycopg2", reason="needs psycopg2 (extra dev)")
    if services.postgres_binaries() is None:
        pytest.skip("needs PostgreSQL's server: apt-get install postgresql")
    with services.postgres("a secret") as database:
        yield database.url("optuna", password=True)


def test_four_workers_on_postgresql(postgres: str):
    together(postgres, 40)


def test_two_machines_that_claim_the_same_trials_keep_each_once(tmp_path: Path, monkeypatch):
    url, nowhere = str(tmp_path / "log"), Path("unused")
    with open_storage(url, nowhere) as here, open_storage(url, nowhere) as there:
        ours, theirs = study_in(here, trials=4), study_in(there, trials=4)
        assert [a.index for a in ours.claim()] == [0, 1, 2, 3]
        look, seen = study._live, [{}]  # they looked before we wrote
        monkeypatch.setattr(study, "_live", lambda of: seen.pop() if seen else look(of))
        assert theirs.claim() == []
    states = [t.state.name for t in all_trials(url)]
    assert states == ["RUNNING"] * 4 + ["FAIL"] * 4


@pytest.mark.parametrize("same", ["another", "a container", "a later boot", "version 0.2"])
def test_trials_of_another_machine_are_left_alone_until_they_are_taken_over(
    tmp_path: Path, monkeypatch, same
):
    url = str(tmp_path / "log")
    theirs = {"owner.host": "lab", "owner.machine": "m", "owner.boot": "b"}
    ours = {"another": {"owner.machine": "n", "owner.boot": "c"}, "a container": {"owner.boot": "b"}}
    ours |= {"a later boot": {"owner.machine": "m", "owner.boot": "c"}, "version 0.2": {"owner.machine": "n"}}
    monkeypatch.setattr(storages, "this_machine", lambda: theirs)
    with open_storage(url, Path("unused")) as storage:
        name = storage.owner.split("/")[1]
        written = f"lab/{name}" if same == "version 0.2" else storage.owner
        study_in(replace(storage, owner=written), trials=3).claim()
        lock = storage.lock(name)
    lock.touch()  # its process was killed
    monkeypatch.setattr(storages, "this_machine", lambda: {"owner.host": "lab"} | ours[same])
    with open_storage(url, Path("unused")) as storage:
        study = study_in(storage, trials=3)
        assert len(study.claim()) == (0 if same == "another" else 3)
        assert not study.done
        if same == "another":
            assert storage.fail_trials("laboratory") == (0, {"lab"})
            assert study.claim() == []
            assert storage.fail_trials("lab") == (3, {"lab"})
            assert len(study.claim()) == 3
        assert storage.fail_trials("lab") == (0, set()), "its own trials are none of a host in doubt"


def test_a_changed_space_is_refused_or_widened_without_losing_trials(tmp_path: Path, monkeypatch):
    url = str(tmp_path / "log")
    before = work(url, trials=20)
    monkeypatch.setitem(work.__globals__["SPACE"], "lr", "1e-6..1")
    with pytest.raises(
        WrongUse, match=r"searched lr 1e-05\.\.0\.1 log, now lr 1e-06\.\.1 log .*widen=true keeps"
    ):
        work(url, trials=40)
    after = work(url, trials=40, widen="true")
    assert table(after)[:20] == table(before)
    assert len(after) == 40
    monkeypatch.setitem(work.__globals__["SPACE"], "lr", "1e-4..1e-2")
    with pytest.raises(WrongUse, match=r"ask for a range of lr that holds lr 1e-06\.\.1 log, or begin"):
        work(url, trials=40, widen="true")
    monkeypatch.setitem(work.__globals__["SPACE"], "lr", {"low": 1e-6, "high": 10, "log": False})
    with pytest.raises(WrongUse, match="a range keeps its scale: ask for log = true of lr, or begin"):
        work(url, trials=40, widen="true")


def test_choices_that_changed_are_refused_with_what_can_be_done(tmp_path: Path):
    def begin(choices: list[str], seed: int = 0) -> None:
        tune = read_tune({"space": {"optimizer": choices}, "seed": seed}, {}, {"optimizer": "adam"})
        with open_storage(str(tmp_path / "log"), Path("unused")) as storage:
            TrialStudy(storage=storage, name=f"s{seed}", tune=tune, space=tune.space)

    begin(["adam", "sgd"])
    begin(["adam", "sgd"])
    for choices in (["adam", "sgd", "adamw"], ["adam", "adamw"]):
        with pytest.raises(WrongUse) as refused:
            begin(choices)
        assert str(refused.value).endswith(
            "choices stay those of a study's first trial: ask for optimizer adam|sgd, or begin another study"
            " with another tune_seed than 0"
        )
    begin(["adam", "sgd", "adamw"], seed=1)


def test_trials_without_a_loss_count_but_are_never_the_best(tmp_path: Path):
    with open_storage(str(tmp_path / "log"), Path("unused")) as storage:
        study = study_in(storage, trials=20)
        while asked := study.claim():
            for one in asked:
                study.finish(one, None, chosen={}, reason="its loss is nan")
        assert study.done
        assert best_of(study.finished()) is None
        assert {(t.state, t.reason) for t in study.finished()} == {("pruned", "its loss is nan")}


def test_the_median_pruner_gives_up_what_is_worse_on_the_way(tmp_path: Path):
    with open_storage(str(tmp_path / "log"), Path("unused")) as storage:
        study, given_up = study_in(storage, trials=48, pruner="median"), 0
        while asked := study.claim():
            for one in asked:
                loss = loss_of(one.knobs)
                prune = one.report(1, loss)
                given_up += prune
                study.finish(one, loss, chosen={}, reason="pruned at length 1" if prune else "")
        states = [t.state for t in study.finished()]
    assert 0 < given_up == states.count("pruned")
    assert len(states) == 48


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://me:secret@127.0.0.1:1/none",
        "sqlite:////proc/none/studies.db",
        "/proc/none/log",
        "nonsense://x",
    ],
)
def test_a_storage_out_of_reach_is_one_line_without_its_password(url: str):
    with pytest.raises(StoreUnreachable) as refused, open_storage(url, Path("unused")):
        pass
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.status == 4


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path):
    path = tmp_path / "log"
    path.write_text("rubbish\nmore\n")
    with (
        pytest.raises(StoreUnreachable, match="is not a journal of studies"),
        open_storage(str(path), path) as storage,
    ):
        study_in(storage, trials=2)


def test_a_study_ends_when_its_time_is_up(tmp_path: Path):
    with open_storage(str(tmp_path / "log"), Path("unused")) as storage:
        study = study_in(storage, trials=40, timeout=0.2)
        asked = study.claim()
        time.sleep(0.3)
        for one in asked:
            study.finish(one, loss_of(one.knobs), chosen={}, reason="")
        assert study.claim() == []
        assert study.done
        assert len(study.finished()) == 16
