"""The names of engines, what suits a machine, and tasks in this process."""

from types import SimpleNamespace

import pytest

from mlproject import engines
from mlproject.engines import InProcess, check_engine, engine_and_reason, engine_for, open_engine
from mlproject.errors import WrongUse


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lokal", "unknown engine 'lokal'; did you mean local?"),
        ("serial:2", "engine serial takes nothing more, not 'serial:2'; for worker processes write local:N"),
        ("local:0", "engine local:N needs a number of processes of at least 1, not 'local:0'"),
        ("local:", "engine local:N needs a number of processes of at least 1, not 'local:'"),
        ("local:²", "engine local:N needs a number of processes of at least 1, not 'local:²'"),
        ("dask", "engine dask needs the address of a scheduler: dask:tcp://127.0.0.1:8786"),
        ("slurm:", "engine slurm needs a TOML file of resources: slurm:cluster.toml"),
        ("slurm:none.toml", "cannot read the file of an engine none.toml: No such file or directory"),
        (
            "dask:http://127.0.0.1:1",
            "engine dask needs an address such as tcp://HOST:8786 or tls://…, not 'http://127.0.0.1:1'",
        ),
        ("dask:foo", "engine dask needs an address such as tcp://HOST:8786 or tls://…, not 'foo'"),
        ("dask:foo:x", "engine dask needs an address such as tcp://HOST:8786 or tls://…, not 'foo:x'"),
        (
            "dask:tcp://foo:99999",
            "engine dask needs an address such as tcp://HOST:8786 or tls://…, not 'tcp://foo:99999'",
        ),
    ],
)
def test_a_name_that_is_no_engine_is_refused_in_one_line(text: str, said: str) -> None:
    for refuse in (check_engine, lambda name: engine_for(name, 1)):
        with pytest.raises(WrongUse) as refused:
            refuse(text)
        assert str(refused.value) == said
    with pytest.raises(WrongUse), open_engine(text):
        pytest.fail("opened")


@pytest.fixture
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, no GPU, memory enough."""
    monkeypatch.delenv("MLPROJECT_ENGINE")
    for name, value in {
        "find_device": "cpu",
        "find_n_cores": 4,
        "n_gpus": 0,
        "available_memory": 10**12,
    }.items():
        monkeypatch.setattr(engines, name, lambda value=value: value)


@pytest.mark.usefixtures("_machine")
def test_many_tasks_are_spread_over_the_cores_and_few_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_for("", 100) == "local:4"
    assert engine_for("", 7) == "serial", "starting workers takes seconds"
    assert engine_for("local", 3) == "local:3", "asked for"
    monkeypatch.setattr(engines, "find_n_cores", lambda: 1)
    assert engine_for("", 100) == "serial"


@pytest.mark.usefixtures("_machine")
def test_there_are_as_many_workers_as_gpus_or_as_memory_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "available_memory", lambda: 6_000_000_000)
    assert engine_for("", 100) == "local:3"
    monkeypatch.setattr(engines, "find_device", lambda: "cuda")
    for n_gpus, engine in ((1, "serial"), (2, "local:2")):
        monkeypatch.setattr(engines, "n_gpus", lambda n_gpus=n_gpus: n_gpus)
        assert engine_for("", 100) == engine
    assert engine_for("", 2) == "local:2", "a cell of a machine with several GPUs is no small one"


@pytest.mark.usefixtures("_machine")
def test_a_given_engine_counts_before_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPROJECT_ENGINE", "local:7")
    assert engine_for("", 100) == "local:7"
    assert engine_for("serial", 100) == "serial"
    assert engine_for("local:7", 0) == "serial", "nothing is started for nothing"
    monkeypatch.setenv("MLPROJECT_ENGINE", "nowhere")
    with pytest.raises(WrongUse, match="unknown engine 'nowhere'"):
        engine_for("", 0)


@pytest.mark.usefixtures("_machine")
def test_the_choice_of_an_engine_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_and_reason("", 100) == ("local:4", "4 cores")
    assert engine_and_reason("", 7) == ("serial", "workers pay from 8 tasks on, these are 7")
    assert engine_and_reason("local", 1) == ("local:1", "1 task")
    assert engine_and_reason("local:2", 1) == ("local:2", "as asked for")
    monkeypatch.setattr(engines, "available_memory", lambda: 2_000_000_000)
    assert engine_and_reason("", 100) == ("serial", "memory for 1 worker")
    monkeypatch.setattr(engines, "current_process", lambda: SimpleNamespace(daemon=True))
    assert engine_and_reason("", 100) == ("serial", "this process may start no others")
    monkeypatch.setenv("MLPROJECT_ENGINE", "local:7")
    assert engine_and_reason("", 100) == ("local:7", "as MLPROJECT_ENGINE says")


def test_this_process_runs_a_task_when_it_is_submitted_and_keeps_its_error() -> None:
    with open_engine("serial") as engine:
        assert (engine.name, engine.n_workers, engine.in_process) == ("serial", 1, True)
        assert engine.executor.submit(divmod, 7, 2).result() == (3, 1)
        assert isinstance(engine.executor.submit(divmod, 7, 0).exception(), ZeroDivisionError)
    with pytest.raises(KeyboardInterrupt):
        InProcess().submit(_interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_more_workers_than_the_machine_can_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlproject.engines.find_n_cores", lambda: 2)
    monkeypatch.setattr("mlproject.engines.n_gpus", lambda: 0)
    check_engine("local:16")
    with pytest.raises(WrongUse, match="local:17: this machine has 2 cores, and runs at most 16 processes"):
        check_engine("local:17")
