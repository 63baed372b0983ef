"""The commands as people give them: the real ``mlflow run``, two starts at once, a killed launcher."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import mlflow.projects
import pytest

from mlproject.tracking import Store, open_store
from tests import processes
from tests.conftest import NewStore

ROOT = Path(__file__).parents[2]
SMALL = {
    "model": "efficientnet_lite0",
    "dataset_size": 20,
    "eval_size": 20,
    "target": "labels",
    "epochs": 3,
}
PLAN = """
name = "tiny"
[[grid]]
model = "efficientnet_lite0"
weights = "imagenet"
dataset_size = [20, 30]
eval_size = 20
seed = [0, 1]
knobs = { target = "labels", epochs = 3 }
"""
pytestmark = pytest.mark.slow


Launch = Callable[..., tuple[bool, str]]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    text, _ = process.communicate(timeout=200)
    return process.returncode, text


@pytest.fixture
def place(tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of one's own, and ``python`` as in an activated environment; tests share their features."""
    uri = new_store(tmp_path)
    mlflow.set_tracking_uri(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def launch(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Launch]:
    """Launches an entry point as ``mlflow run`` does: whether it ended well, and its text.

    Neither the launcher nor its ``python`` takes seconds of imports: they are the function behind the command
    and a forked process. The launcher that is killed below is the whole command.
    """

    def run(entry_point: str, **parameters: object) -> tuple[bool, str]:
        capfd.readouterr()
        given = {name: str(value) for name, value in parameters.items()}
        try:
            mlflow.projects.run(str(ROOT), entry_point, parameters=given, env_manager="local")
        except mlflow.exceptions.ExecutionException:
            return False, "".join(capfd.readouterr())
        return True, "".join(capfd.readouterr())

    with processes.python_in(place / "bin"):
        monkeypatch.setenv("PATH", f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}")
        yield run


def runs(store: Store) -> dict[str, list[str]]:
    """Status of every run, by kind."""
    found: dict[str, list[str]] = {}
    for run in store.client.search_runs([store.experiment_id]):
        assert "mlflow.parentRunId" not in run.data.tags, "runs are flat"
        found.setdefault(run.data.tags.get("kind", "none"), []).append(run.info.status)
    return found


def test_the_entry_points_run_as_written_and_take_the_launchers_run(place: Path, launch: Launch) -> None:
    assert launch("main", **SMALL)[0]
    store = open_store(create=False)
    assert runs(store) == {"cell": ["FINISHED"]}
    (cell,) = store.observations()
    assert (cell.cell.eval_size, cell.cell.knobs["target"], cell.cell.knobs["epochs"]) == (20, "labels", 3)

    (place / "p.toml").write_text(PLAN.replace("[0, 1]", "0"))
    (ended_well, text) = launch("sweep", plan=place / "p.toml")
    assert ended_well
    assert "Cells: 1 done, 1 was done" in text
    assert runs(store) == {"cell": ["FINISHED"] * 2, "sweep": ["FINISHED"], "fit": ["FINISHED"]}

    assert launch("aggregate")[0]
    assert runs(store)["fit"] == ["FINISHED"] * 2, "the launcher's run is the fit"
    assert set(runs(store)) == {"cell", "sweep", "fit"}, "no run of the launcher is left without a kind"


def test_a_mistake_fails_the_launchers_run_and_no_word_of_it_is_run(place: Path, launch: Launch) -> None:
    ended_well, text = launch("main", model="efficientnet_lite0", epochs="many; touch RAN")
    assert not ended_well
    assert "error: epochs must be a whole number, not 'many; touch RAN'" in text
    assert "Traceback" not in text
    assert not (ROOT / "RAN").exists()
    assert runs(open_store(create=False)) == {"none": ["FAILED"]}


def test_regions_are_an_entry_point_whose_run_is_the_launchers(place: Path, launch: Launch) -> None:
    from PIL import Image

    folder = place / "some photos"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (40, 30), (60 * i, 90, 30)).save(folder / f"{i}.png")
    ended_well, text = launch("regions", data=folder)
    assert ended_well
    assert "3 images" in text
    assert runs(open_store(create=False)) == {"regions": ["FINISHED"]}


def test_two_identical_sweeps_at_once_run_each_cell_once(place: Path) -> None:
    (place / "p.toml").write_text(PLAN)
    texts = [place / f"output{i}" for i in range(2)]
    both = [processes.started(processes.command, "sweep", "--plan=p.toml", output=text) for text in texts]
    assert [processes.ended(process) for process in both] == [0, 0], [text.read_text() for text in texts]
    found = runs(store := open_store(create=False))
    assert found["cell"] == ["FINISHED"] * 4
    assert len(store.done()) == 4
    assert len(found["fit"]) >= 1, "whoever ends last fits all cells"
    fitted = store.finished(kind="fit", tags={})
    assert fitted
    assert len(store.artifact(fitted, "data/runs.csv").read_text().splitlines()) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_killing_the_launcher_stops_the_cell_and_its_run_says_so(place: Path) -> None:
    given = (
        f"-P{name}={value}" for name, value in (SMALL | {"dataset_size": 200, "epochs": 1_000_000}).items()
    )
    words = (sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local", *given)
    launcher, store = start(*words), open_store(create=False)
    try:
        run_id = wait_for(
            lambda: next((r["run_id"] for r in store.records() if r["status"] == "running"), "")
        )
    finally:
        launcher.send_signal(signal.SIGKILL)
    _, text = finish(launcher)  # returns when the child, which shares its output, has ended too
    assert store.client.get_run(run_id).info.status == "KILLED", text
    assert store.done() == {}


def wait_for(answer):
    """What ``answer`` gives as soon as it gives anything."""
    end = time.monotonic() + 200
    while not (found := answer()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


@pytest.mark.usefixtures("launch")
def test_json_of_a_pipe_is_read_by_scripts() -> None:
    open_store()
    status, text = finish(start("python", "-m", "mlproject", "ls", "--json"))
    assert (status, json.loads(text)) == (0, [])
