"""The command line as clumsy people use it: one clear line, the right exit status, nothing lost."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlproject import cli
from mlproject.cell import Naming
from mlproject.cli import session
from mlproject.cli.session import take_over_everywhere
from mlproject.errors import NoRoom, Stopped, WrongUse
from mlproject.models import find_model, load_backbone, weights
from mlproject.runs import CellRun
from mlproject.tracking import Store, open_store
from mlproject.tracking.ownership import owner_tags
from tests.conftest import NewStore, make_cell
from tests.data.pictures import fill
from tests.tracking.test_store import log_cell, status

SOURCE = str(Path(__file__).parents[2] / "src")
LITE = ["--model=efficientnet_lite0", "--weights=imagenet", "--eval-size=10", "--target=labels", "--epochs=2"]
FEW = [*LITE, "--dataset-size=10,20,40", "--trials=0"]
NARROW = "--until=width <= 0.1 at 100 images"
pytestmark = pytest.mark.usefixtures("undrawn")
NEXT = ["--plan=good.toml", "--budget=9", "--target-images=9", "--out=next.toml"]
VERBS = [
    [],
    ["cell"],
    ["sweep"],
    ["aggregate"],
    ["report"],
    ["ls"],
    ["show"],
    ["compare"],
    ["pull"],
    ["import"],
    ["doctor"],
    ["fetch"],
    ["cache"],
]
VERBS += [["regions"], ["cache", "ls"], ["cache", "prune"]]


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"cli-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    return name


@pytest.fixture
def call(
    experiment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Call]:
    """Run ``mlproject`` with these words in this process, in an experiment of its own, without a network."""
    monkeypatch.setattr(cli, "raise_on_signals", lambda: None)
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    weights._reachable.cache_clear()
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mlproject", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        text = capsys.readouterr()
        return Answer(int(ended.value.code or 0), text.out, text.err)

    yield run
    weights._reachable.cache_clear()


def python(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": SOURCE} | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_version_is_printed_with_the_commit_that_runs_record(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, dirty = {"mlflow.source.git.commit": "c0ffee"}, {"code.dirty": "true"}
    for known, text in (({}, ""), (commit, ", commit c0ffee"), (commit | dirty, ", commit c0ffee with unc")):
        monkeypatch.setattr(
            "mlproject.tracking.code_version", lambda known=known: {"code.version": "9.1"} | known
        )
        answer = call("--version")
        assert (answer.status, answer.err) == (0, "")
        assert answer.out.startswith(f"mlproject 9.1{text}")


def test_runs_and_trials_of_a_host_that_is_gone_are_taken_over_by_its_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlproject.tracking.open_stores", lambda: [store])
    monkeypatch.setattr(Store, "beside", lambda self, name: tmp_path / name)
    elsewhere = owner_tags("run-elsewhere") | {"owner.machine": "m", "owner.boot": "b", "owner.host": "lab"}
    runs = [store.client.create_run(store.experiment_id, tags=elsewhere).info.run_id for _ in range(2)]
    with pytest.raises(WrongUse, match="unknown host of runs or trials in doubt 'lap'; did you mean lab"):
        take_over_everywhere("lap")
    take_over_everywhere("lab")
    assert capsys.readouterr().out == "Taken over from lab: 2 runs closed as KILLED, 0 trials failed.\n"
    assert [status(store, run_id) for run_id in runs] == ["KILLED", "KILLED"]
    assert list(tmp_path.iterdir()) == [], "no journal of studies is made"
    with pytest.raises(WrongUse, match="nothing to take over"):
        take_over_everywhere("lab")


@pytest.mark.parametrize("has_ended", [True, False])
def test_who_finds_all_busy_cells_ended_at_last_fits(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_ended: bool
) -> None:
    """Four processes that each end while a cell of another was busy left a plan without its fit."""
    cells = (make_cell(), make_cell(seed=1))
    log_cell(store, tmp_path)
    if has_ended:
        log_cell(store, tmp_path, seed=1)
    statuses = zip(cells, ("done", "busy"), strict=True)
    results = [CellRun(cell=cell, name="x", status=status) for cell, status in statuses]
    plan = SimpleNamespace(
        name="p", cells=cells, images={}, tune=None, mix_weights=True, left_out=(), naming=Naming(), engine=""
    )
    fitted: list[Any] = []
    monkeypatch.setattr("mlproject.runs.run_plan", lambda *_, **__: results)
    monkeypatch.setattr("mlproject.runs.fit_study", lambda *_, keys, **__: fitted.append(keys), raising=False)
    monkeypatch.setattr("mlproject.tracking.open_store", lambda *_: store)
    for name in ("warn_of_plan", "warn_of_cells", "warn_of_skipped", "warn_of_tuning"):
        monkeypatch.setattr(session.console, name, lambda *_: None)
    monkeypatch.setattr(session, "show_fit", lambda *_: None)
    monkeypatch.setattr(session, "_was_done", lambda *_: False)
    assert session.run_session(plan, "", False, fit=True) == 0
    assert fitted == ([[cell.key for cell in cells]] if has_ended else [])


def test_a_password_that_mlflow_run_has_logged_is_refused_with_what_to_do(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    storage = "--storage=postgresql+psycopg2://me:secret@127.0.0.1/studies"
    answer = call("sweep", "--model=efficientnet_lite0", "--dataset-size=20", "--eval-size=20", storage)
    assert answer.status == 2
    assert answer.err.startswith("error: `mlflow run` logs its parameters, and with them the password")
    assert "secret" not in answer.err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["cell", "--model=resnt18"], 2, "unknown model 'resnt18'; did you mean resnet18"),
        (["cell"], 2, "Missing option '--model'"),
        (["cell", "--model="], 2, "model is missing"),
        (["cell", *LITE, "--recipe=prob"], 2, "unknown recipe 'prob'; did you mean probe?"),
        (["cell", *LITE, "--lrr=1"], 2, "unknown coordinate or knob of probe 'lrr'; did you mean lr?"),
        (["cell", *LITE, "--optimizer=adm"], 2, "unknown optimizer 'adm'; did you mean adam"),
        (["cell", *LITE, "--lr=fast"], 2, "lr must be a number, not 'fast'"),
        (["cell", *LITE, "--lr"], 2, "option --lr has no value"),
        (["sweep", "--budget=5"], 2, "--budget is of what --until may spend"),
        (["sweep", "--unit=cells"], 2, "--unit is of what --until may spend"),
        (["sweep", NARROW, "--unit=cells"], 2, "--unit cells is that of --budget; give a budget too"),
        (["sweep", *FEW, NARROW, "--take-over=lab"], 2, "nothing to take over"),
        (["sweep", "--trials=0", "--tune=lr=1e-3..1", "--sampler=gp"], 2, "leave out sampler, tune, or ask"),
        (["cell", *LITE, "stray"], 2, "unexpected argument 'stray'; write --name=value"),
        (["sweep", "plan.toml"], 2, "unexpected argument 'plan.toml'; a plan is named by --plan=plan.toml"),
        (["cell", *LITE, "--dataset-size=9999"], 2, "dataset_size must be at most 3,200, not 9,999"),
        (["cell", *LITE, "--dataset-size=1e3"], 2, "or all, not '1e3'"),
        (["cell", *LITE, "--dataset-size=10,,20"], 2, "dataset_size has an empty item"),
        (["cell", *LITE, "--image-scales=1e9"], 2, "image_scales must be at most 16"),
        (["cell", *LITE, "--image-scales=nan"], 2, "image_scales must be positive"),
        (["cell", *LITE, "--seed=-1"], 2, "seed must be 0 or more, not -1"),
        (["cell", *LITE, "--max-bad=-1"], 2, "max_bad must be 0 or more, not -1"),
        (["cell", *LITE, "--target=self"], 2, "exactly zero for every model"),
        (["regions", "--data=embedded", "--method=blob"], 2, "unknown method 'blob'; did you mean blobs"),
        (["regions", "--data=embedded", "--limits=big"], 2, "unknown limits 'big'; known: relative, seed"),
        (["regions", "--data=embedded", "--method=sam"], 2, "SAM needs a checkpoint: download https://"),
        (["regions", "--data=embedded", "--method=sam", "--checkpoint=x.pth"], 3, "no checkpoint at"),
        (["regions", "--data=embedded", "--checkpoint=x.pth"], 2, "checkpoint is for method=sam or sam-auto"),
        (["regions", "--data=nowhere"], 2, "unknown data set or folder 'nowhere'"),
        (["cell", *LITE, "--region=object"], 2, "unknown region 'object'"),
        (["cell", *LITE, "--data=embedded:trousers"], 2, "unknown class of fashion-mnist-subset"),
        (["cell", *LITE, "--data=embeded"], 2, "unknown data set or folder 'embeded'; did you mean embedded"),
        (["cell", *LITE, "--data=./missing"], 3, "cannot read the folder"),
        (["cell", *LITE, "--data=empty folder/"], 3, "no images in"),
        (["cell", *LITE, "--weights=missing.pth"], 3, "'missing.pth' is neither a file nor one of imagenet"),
        (["sweep", "--plan=missing.toml"], 2, "no plan at missing.toml"),
        (["sweep", "--plan=empty folder"], 2, "no plan at empty folder"),
        (["sweep", "--plan=bad.toml"], 2, "bad.toml is not a TOML plan"),
        (["sweep", "--plan=sweeps/embeded.toml"], 2, "did you mean sweeps/embedded.toml?"),
        (["plan-next", *NEXT, "--data=./missing"], 3, "cannot read the folder"),
        (["plan-next", *NEXT, "--lrr=1"], 2, "unknown coordinate or knob of probe 'lrr'; did you mean lr?"),
        (["predict", "--at=200"], 2, "name the plan whose cells are predicted"),
        (["predict", "good.toml", "--at=2k"], 2, "--at takes numbers of training images, such as 2000,4000"),
        (["predict", "good.toml"], 2, "Missing option '--at'"),
        (["predict", "missing.toml", "--at=200"], 2, "no plan at missing.toml"),
        (["predict", "--plan=good.toml", "--at=200", "--lrr=1"], 2, "did you mean lr?"),
        (["predict", "good.toml", "--at=5000", "--experiment=Default"], 2, "images can be trained on"),
        (["predict", "good.toml", "--at=200", "--experiment=Default"], 3, "three finished sizes"),
        (["import"], 2, "name a copied folder with mlflow.db, or an address"),
        (["import", "nowhere"], 3, "nothing to import: there is no"),
        (["ls", "--experiment=cli"], 2, "unknown experiment 'cli'"),
        (["ls", "--jsn"], 2, "No such option"),
        (["lst"], 2, "No such command 'lst'"),
        (["show", "zzz", "--experiment=Default"], 2, "no finished cell, fit or plan is named 'zzz'"),
        (["pull", "zzz", "--to=x", "--experiment=Default"], 2, "no finished cell, fit or plan is named"),
        (["pull", "zzz", "--experiment=Default"], 2, "Missing option '--to'"),
        (["compare", "z", "y", "--experiment=Default"], 2, "no finished cell, fit, model or plan is named"),
        (["compare", "zzz"], 2, "Missing argument 'second'"),
        (["aggregate", "--experiment=Default"], 3, "nothing to aggregate"),
        (["report", "--experiment=Default"], 2, "there is no finished fit yet: `"),
        (["report", "abc", "--experiment=Default"], 2, "no finished cell, fit or plan is named 'abc'"),
        (["report", "good.toml", "--experiment=Default"], 2, "no finished cell, fit or plan is named"),
        (["report", "missing.toml", "--experiment=Default"], 2, "no plan at missing.toml"),
        (["aggregate", "--experiment=Default", "--where=rubbish"], 2, "MLflow refuses this"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line_and_its_exit_status(
    call: Call, tmp_path: Path, words: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "bad.toml").write_text("model = = 1")
    (tmp_path / "good.toml").write_text('[[grid]]\nmodel = "resnet18"\nweights = "random"\n')
    open_store("Default")
    answer = call(*words)
    assert message in answer.err
    assert answer.status == status
    assert answer.err.count("\n") == 1
    assert answer.err.startswith("error: ")
    assert answer.out == ""


def test_bad_images_stop_a_cell_before_it_begins_and_name_file_and_remedy(call: Call, tmp_path: Path) -> None:
    folder = fill(tmp_path / "two words", [f"{c}/{i}.png" for c in "ab" for i in range(10)])
    (folder / "a" / "[red]bad.png").write_bytes(b"")
    (folder / "a" / "notes.txt").write_text("x")
    words = ["cell", *LITE, "--eval-size=4", "--dataset-size=8", "--data=two words"]
    answer = call(*words)
    assert answer.status == 3
    assert "a/[red]bad.png: empty file" in answer.err
    assert "max_bad=1" in answer.err

    answer = call(*words, "--max-bad", 1)
    assert answer.status == 0, answer.err
    assert "note: two words: 2 left out, 1 of them bad (a/[red]bad.png: empty file; " in answer.err
    store = open_store(create=False)
    (record,) = store.records()
    assert record["coordinates"]["data"] == str(folder), "a relative folder is recorded as what it was"
    skipped = store.artifact(record["run_id"], "skipped.csv").read_text().splitlines()
    assert skipped == ["id,reason,bad", "a/[red]bad.png,empty file,true", "*.txt,1 not named as images,false"]


def test_knobs_reach_the_cell_whichever_way_they_are_written(call: Call) -> None:
    words = ["--lr", "1e-2", "--batch-size=7", "--weight_decay", "0.5", "--shuffle", "false"]
    assert call("cell", *LITE, "--dataset-size=10", *words).status == 0
    (record,) = open_store(create=False).records()
    knobs = record["coordinates"]["knobs"]
    assert (knobs["lr"], knobs["batch_size"], knobs["weight_decay"], knobs["shuffle"]) == (
        0.01,
        7,
        0.5,
        False,
    )


def test_comma_lists_run_their_product_once_and_the_lists_show_it(call: Call, experiment: str) -> None:
    words = ["cell", *LITE, "--dataset-size=10,20", "--seed=0,1"]
    planned = call(*words, "--dry-run")
    assert "4 cells: 0 done, 4 to do" in planned.out
    first = call(*words)
    assert first.status == 0, first.err
    assert "Cells: 4 done" in first.out
    assert "Cells: 0 done, 4 was done" in call(*words).out
    assert "4 cells: 4 done, 0 to do" in call(*words, "--dry-run").out
    rows = json.loads(call("ls", "--json").out)
    public = {"cell", "coordinates", "status", "run_id", "digest", "loss", "accuracy"}
    assert [set(row) for row in rows] == [public] * 4
    assert all(row["loss"] > 0 and 0 <= row["accuracy"] <= 1 for row in rows)
    assert {row["status"] for row in rows} == {"done"}
    assert len({row["cell"] for row in rows}) == len({row["digest"] for row in rows}) == 4
    assert {(r["coordinates"]["dataset_size"], r["coordinates"]["seed"]) for r in rows} == {
        (10, 0), (10, 1), (20, 0), (20, 1)
    }  # fmt: skip
    table = call("ls")
    assert "4 cells" in table.out
    name = "efficientnet_lite0 · 20 images · embedded · eval_size=10 · epochs=2 · target=labels · seed 1"
    assert name in table.out, "a pipe gets whole names"
    shown = call("show", rows[0]["cell"][:8])
    assert rows[0]["run_id"] in shown.out
    assert "eval.loss" in shown.out
    assert call("aggregate").status == 0
    fit = call("show", "latest")
    assert fit.status == 0
    assert "fit · all cells  finished  run " in fit.out
    assert "• " in fit.out, "the text of its exponents"
    compared = call("compare", rows[0]["cell"], rows[1]["cell"])
    assert compared.status == 0, compared.err
    assert "not concluded (one seed)" in compared.out
    settings = json.loads(call("compare", rows[0]["cell"], rows[2]["cell"], "--plan=latest", "--json").out)
    assert settings["loss"] == "cross_entropy"
    same = call("compare", rows[0]["cell"], rows[0]["cell"])
    assert same.status == 3
    assert "share nothing that can be compared: they are the same cells" in same.err
    pulled = call("pull", "latest", "--what=losses,tables", "--to=results")
    assert pulled.status == 0, pulled.err
    assert len(list(Path("results/losses").glob("*/predictions.parquet"))) == 4
    assert Path("results/tables/confusion.csv").exists()
    again = call("pull", "latest", "--what=losses,tables", "--to=results")
    assert "0 files copied to results" in again.out


def test_lists_of_an_empty_store_are_empty(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_store: NewStore
) -> None:
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "no cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path))  # doctor reads all of a store
    open_store()
    assert json.loads(call("ls", "--json").out) == []
    assert "0 cells" in call("ls", "--all").out
    assert call("cache", "ls").status == 0
    assert "0 tables deleted" in call("cache", "prune").out
    assert call("doctor").status == 0


def test_reading_where_no_store_is_makes_none(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    for words in (["ls"], ["ls", "--json"], ["show", "x"], ["aggregate"], ["report"]):
        answer = call(*words)
        assert (answer.status, answer.err.count("\n")) == (4, 1)
        assert "no tracking store at" in answer.err
    assert "the first cell creates it" in call("doctor").out
    assert list(tmp_path.iterdir()) == []


def test_doctor_says_where_the_cache_is_and_prune_empties_it(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlproject.features import forget

    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "features"))
    assert call("cell", *LITE, "--dataset-size=10").status == 0
    assert "efficientnet_lite0" in call("cache", "ls").out
    assert f"{tmp_path}/features, 1 tables" in call("doctor").out
    left = tmp_path / "unfinished" / "some-cell"
    left.mkdir(parents=True)
    os.utime(left, (0.0, 0.0))
    assert "0 tables deleted" in call("cache", "prune", "--model=resnet18").out
    assert left.exists(), "a model's tables alone were asked for"
    said = call("cache", "prune").out
    assert "1 tables deleted" in said
    assert "1 unfinished trainings untouched for 7 days deleted" in said
    assert not left.exists()
    forget()


def test_random_features_are_said_at_the_start_at_the_end_and_in_the_run(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    answer = call("cell", "--model=resnet18", "--dataset-size=4", "--eval-size=2", "--epochs=1")
    assert answer.status == 0, answer.err
    assert answer.err.count("RANDOM weights") == 2
    (record,) = (store := open_store(create=False)).records()
    run = store.client.get_run(record["run_id"])
    assert run.info.run_name.startswith("resnet18 (random)")
    assert run.data.tags["features"] == "random"
    assert run.data.params["cell.weights"] == "random:0"
    again = call(
        "cell", "--model=resnet18", "--dataset-size=4", "--eval-size=2", "--epochs=1", "--weights=random"
    )
    assert "1 was done" in again.out, "auto that found nothing is the random cell, no other"


def test_pretrained_weights_that_are_not_here_are_refused_at_once(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    start = time.monotonic()
    answer = call("cell", "--model=resnet50", "--weights=imagenet")
    assert time.monotonic() - start < 5
    assert answer.status == 3
    for part in ("resnet50-0676ba61.pth", f"{tmp_path}/torch", "mlproject fetch resnet50", "weights=random"):
        assert part in answer.err


def test_a_checkpoint_of_ones_own_is_used_and_recorded(call: Call, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = find_model("mobilenet_v3_small")
    save_file(
        load_backbone(model, weights.find_weights(model, "random:5")).state_dict(),
        tmp_path / "my.safetensors",
    )
    words = ["cell", "--model=mobilenet_v3_small", "--dataset-size=4", "--eval-size=2", "--epochs=1"]
    assert call(*words, "--weights=my.safetensors").status == 0
    assert call(*words, "--weights=random:5").status == 0
    own, drawn = open_store(create=False).observations()
    assert own.cell.weights != drawn.cell.weights
    assert str(tmp_path / "my.safetensors") in {own.cell.weights, drawn.cell.weights}
    assert own.load_losses().digest == drawn.load_losses().digest, "the same numbers under another name"


def test_image_scales_widen_the_features(call: Call) -> None:
    words = [
        "cell",
        "--model=mobilenet_v3_small",
        "--weights=random",
        "--eval-size=1",
        "--dataset-size=2",
        "--epochs=1",
    ]
    assert call(*words).status == 0
    assert call(*words, "--image-scales=1,2").status == 0
    widths = {
        seen.cell.image_scales: int(seen.metrics["params_trained"])
        for seen in open_store(create=False).observations()
    }
    assert widths == {(1.0,): 1024 * 1025, (1.0, 2.0): 2048 * 2049}


def test_losses_in_sample_are_named_so(call: Call) -> None:
    answer = call("cell", *LITE, "--dataset-size=5", "--eval-size=in-sample")
    assert answer.err.count("in-sample losses") == 2
    (record,) = (store := open_store(create=False)).records()
    assert store.client.get_run(record["run_id"]).data.tags["protocol"] == "in-sample"


def test_a_plan_runs_is_fitted_and_tells_a_partly_failed_one_apart(call: Call, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        'name = "tiny"\n[[grid]]\nmodel = "efficientnet_lite0"\nweights = "imagenet"\neval_size = 10\n'
        "dataset_size = [10, 20]\n"
        'knobs = { target = "labels", loss = "mse", optimizer = "sgd", epochs = 2 }\n'
    )
    assert "2 to do" in call("sweep", "--plan=p.toml", "--dry-run").out
    answer = call("sweep", "--plan=p.toml")
    assert answer.status == 0, answer.err
    assert "Tables and figures: " in answer.out
    answer = call("sweep", "--plan=p.toml", "--lr=1e30")
    assert answer.status == 1
    assert "2 failed" in answer.out
    assert {row["status"] for row in json.loads(call("ls", "--json", "--all").out)} == {"done", "failed"}


def test_a_dry_run_names_the_engine_of_the_command_line_before_that_of_the_plan_and_the_environment(
    call: Call, tmp_path: Path
) -> None:
    grid = '[[grid]]\nmodel = "resblock_w2_d1"\nweights = "random"\ndataset_size = [10, 20, 30]\n'
    (tmp_path / "p.toml").write_text(grid)
    words = ("sweep", "--plan=p.toml", "--dry-run")
    assert "engine: serial (this process: as MLPROJECT_ENGINE says)" in call(*words).out, (
        "that of the environment of all tests"
    )
    (tmp_path / "p.toml").write_text(f'engine = "local:3"\n{grid}')
    assert "engine: local:3 (as asked for)\n" in call(*words).out
    assert "engine: local:2 (as asked for)\n" in call(*words, "--engine=local:2").out
    assert "engine: local:3 (as asked for)\n" in call(*words, "--trials=2").out, "searches too"
    refused = call(*words, "--engine=lokal")
    assert (refused.status, refused.out) == (2, "")
    assert "error: unknown engine 'lokal'; did you mean local?" in refused.err


def test_a_plan_on_a_small_folder_says_what_it_reduces_and_leaves_out(call: Call, tmp_path: Path) -> None:
    fill(tmp_path / "photos", [f"{i}.png" for i in range(10)])
    fill(tmp_path / "few", [f"{i}.png" for i in range(4)])
    grid = '[[grid]]\nmodel = "resnet18"\nweights = "random"\neval_size = '
    (tmp_path / "p.toml").write_text(f'{grid}"in-sample"\n{grid}50\ndataset_size = 10\n')
    answer = call("sweep", "--plan=p.toml", "--data=./photos", "--dry-run")
    assert answer.status == 0
    assert (
        "note: photos has 10 images, 2 of them held out for evaluation: dataset_size 10 runs as 8 held-out; "
        "eval_size 50 runs as 2"
    ) in answer.err
    answer = call("sweep", "--plan=p.toml", "--data=./few", "--dry-run")
    assert answer.status == 1
    assert "warning: left out, the other grids are run: p.toml, grid 2: eval_size must be in-" in answer.err
    assert "1 cells: 0 done, 1 to do" in answer.out


def test_a_server_that_is_away_and_a_store_of_rubbish_are_status_four(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bad.db").write_bytes(b"rubbish" * 1000)
    for uri, text in {
        f"sqlite:///{tmp_path}/bad.db": "is no SQLite database, and so no tracking store",
        "http://127.0.0.1:9": "no tracking server answers at http://127.0.0.1:9",
        "foo://bar": "foo://bar",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        start = time.monotonic()
        answer = call("cell", *LITE, "--dataset-size=10")
        assert time.monotonic() - start < 15
        assert text in answer.err
        assert (answer.status, answer.err.count("\n")) == (4, 1)
    assert (tmp_path / "bad.db").read_bytes() == b"rubbish" * 1000


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def deleted_run(text: str) -> Exception:
    """An error of MLflow, whose import takes seconds."""
    return type("MlflowException", (Exception,), {"__module__": "mlflow.exceptions"})(text)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (NoRoom("no room: x needs 3 bytes; free some space"), 5, "error: no room: x"),
        (OSError(28, "No space left on device"), 5, "error: no room: OSError"),
        (Stopped(2), 130, "stopped by SIGINT; finished cells are kept"),
        (Stopped(15), 143, "stopped by SIGTERM"),
        (
            OSError(5, "Input/output error", "x.png"),
            4,
            "error: x.png cannot be written or read: Input/output",
        ),
        (OSError(24, "Too many open files"), 4, "error: a file cannot be written: Too many open files"),
        (deleted_run("the run r is deleted"), 4, "error: tracking store sqlite:"),
        (RuntimeError("a\x1b[2Jb"), 1, "unexpected RuntimeError: a\\x1b[2Jb (a defect of mlproject; --debug"),
    ],
    ids=["no room", "disk full", "broken disk", "open files", "Ctrl-C", "terminated", "store", "defect"],
)
def test_what_stops_everything_is_one_line_and_its_exit_status(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, text: str
) -> None:
    monkeypatch.setattr("mlproject.runs.tasks._run_cell", raising(error))
    answer = call("cell", *LITE, "--dataset-size=10")
    assert answer.err.startswith(text)
    assert (answer.status, answer.err.count("\n")) == (status, 1)


def test_warnings_of_libraries_cannot_control_the_terminal(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    call("cache", "ls")  # as every command does
    logging.getLogger("mlflow.exceptions").warning("error code %s of a server", "\x1b[2J")
    assert caplog.messages == [r"error code \x1b[2J of a server"]


EXITS = """
import atexit, sys, time
from mlproject import cli
from mlproject.cell import Naming
atexit.register(lambda: (print("exiting", flush=True), time.sleep(60)))
sys.argv = ["mlproject", "--help"]
cli.main()
"""


def test_a_signal_while_python_exits_ends_it_without_a_traceback() -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": SOURCE}
    with subprocess.Popen([sys.executable, "-c", EXITS], env=environment, text=True, **pipes) as process:
        assert process.stdout is not None
        assert any(line == "exiting\n" for line in process.stdout)
        process.terminate()
        _, errors = process.communicate(timeout=50)
    assert (process.returncode, errors) == (-signal.SIGTERM, "")


def test_a_folder_that_was_deleted_under_a_command_is_named(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    answer = call("ls")
    assert (answer.status, answer.err) == (
        2, "error: the current folder was deleted; change to another one (cd)\n"
    )  # fmt: skip


def test_a_full_disk_in_the_middle_of_a_cell_ends_the_plan_with_status_five(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mlproject.runs.cell_run.write_losses", raising(OSError(28, "No space left on device"))
    )
    answer = call("cell", *LITE, "--dataset-size=10,20")
    assert answer.status == 5
    store = open_store(create=False)
    runs = store.client.search_runs([store.experiment_id])
    assert {run.data.tags["kind"]: run.info.status for run in runs} == {"cell": "FAILED", "sweep": "FAILED"}
    monkeypatch.undo()
    assert store.done([make_cell().key]) == {}


def test_the_traceback_is_shown_when_asked_for_and_only_then() -> None:
    words = [
        "-m",
        "mlproject",
        "cell",
        "--model=resnet18",
        "--recipe=prob",
    ]  # refused before torch is imported
    plain, told = python(*words), python(*words, "--debug")
    assert (plain.returncode, "Traceback" in plain.stderr) == (2, False)
    assert "Traceback" in told.stderr
    assert "WrongUse: unknown recipe" in told.stderr


def test_a_dry_run_imports_neither_torch_nor_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['mlproject', 'cell', '--model=efficientnet_lite0', '--dry-run']\n"
        "import mlproject.cli\n"
        "try: mlproject.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "slow = {'torch', 'torchvision', 'mlflow', 'sqlalchemy', 'pandas', 'scipy'}\n"
        "print(sorted(slow & set(sys.modules)))\n"
    )
    done = python("-c", code, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db")
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(call: Call, verb: list[str]) -> None:
    answer = call(*verb, "--help")
    assert answer.status == 0
    assert "Usage: mlproject" in answer.out
    assert "--help" in answer.out


def test_shells_can_complete_verbs_and_options() -> None:
    script = python("-m", "mlproject", _MLPROJECT_COMPLETE="source_bash")
    assert script.returncode == 0, script.stderr
    assert "complete" in script.stdout


def test_options_may_be_written_with_underscores_as_mlflow_passes_them_on(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("x,y\n" + "".join(f"{10 * 2**i},{2.0**-i}\n" for i in range(6)))
    (tmp_path / "at.csv").write_text("x\n640\n")
    points = ["fit", str(tmp_path / "points.csv"), "--x", "x", "--y", "y"]
    done = python("-m", "mlproject", *points, "--predict_at", str(tmp_path / "at.csv"))
    assert done.returncode == 0, done.stderr
    assert "640" in done.stdout
