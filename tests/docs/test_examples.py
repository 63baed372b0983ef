"""Every command, plan and Python example of the documentation works."""

from __future__ import annotations

import shutil
import signal
import sys
import tarfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import typer.main
from huggingface_hub import constants
from PIL import Image
from safetensors.numpy import save_file

from mlproject import cli
from mlproject.engines.tables import JobTable, PodTable, read_table
from mlproject.models import MODELS
from mlproject.plans import read_plan
from tests.conftest import NewStore
from tests.data.pictures import fill
from tests.docs.examples import PAGES, ROOT, Block, blocks, commands
from tests.docs.stored import store_study

PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
DRY = ("cell", "sweep")
GRID = '[[grid]]\nmodel = "efficientnet_lite0"\nweights = "imagenet"\n'
N_IMAGES, N_SCENES = 3200, 1600


def of(page: str, language: str) -> list[Block]:
    return [block for block in blocks(ROOT / page) if block.language == language]


def pages_with(language: str) -> list[str]:
    return [page for page in PAGE_NAMES if of(page, language)]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``/path/to`` stands for: ``images`` in ten classes, ``scenes`` with label maps.

    The same images are listed in ``images.csv``, and some lie in ``shards``.
    """
    folder = tmp_path_factory.mktemp("path_to")
    names = [f"class{i % 10}/{i}.png" for i in range(N_IMAGES)]
    fill(folder / "images", names)
    rows = [f"images/{name},{name.partition('/')[0]}" for name in names]
    (folder / "images.csv").write_text("\n".join(["path,label", *rows]))
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "set-train-0.tar", "w") as tar:
        for i, name in enumerate(names[:40]):
            (folder / "label").write_text(name.partition("/")[0])
            tar.add(folder / "images" / name, f"{i}.png")
            tar.add(folder / "label", f"{i}.txt")
    fill(folder / "scenes" / "images", [f"{i}.png" for i in range(N_SCENES)])
    (folder / "scenes" / "labels").mkdir()
    classes = Image.fromarray(np.array([[0, 1, 2, 0, 1, 2]] * 4, np.uint8))
    for i in range(N_SCENES):
        classes.save(folder / "scenes" / "labels" / f"{i}.png")
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder such as a reader's: the plans, a tracking store, weights that were fetched."""
    shutil.copytree(ROOT / "sweeps", tmp_path / "sweeps")
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for model in MODELS.values():
        if model.imagenet is not None and model.imagenet.url:
            (checkpoints / model.imagenet.file).touch()
    (checkpoints / "resnet50-11ad3fa6.pth").touch()
    folder = tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m"
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    save_file({"none": np.zeros(1)}, folder / "snapshots" / "c0ffee" / "model.safetensors")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee", "utf-8")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sys, "path", [*sys.path])  # that of models.toml is added to it
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the command line would keep its handlers
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages_with("bash"))
def test_commands(
    page: str,
    place: Path,
    paths: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for block in blocks(ROOT / page):
        if block.mark.startswith("file: "):
            (place / block.mark.removeprefix("file: ")).write_text(block.text, "utf-8")
        for command in commands(block) if block.language == "bash" else ():
            words = [word.replace("/path/to", str(paths)) for word in command]
            if block.mark == "run":
                execute(words, monkeypatch, capsys)
            elif words[0] in DRY:
                execute([*(word for word in words if word != "--dry-run"), "--dry-run"], monkeypatch, capsys)
            else:
                parse(words)


def execute(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command in this process and require status 0."""
    monkeypatch.setattr(sys, "argv", ["mlproject", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr()
    assert ended.value.code in (0, None), f"mlproject {' '.join(words)}\n{shown.out}{shown.err}"


def parse(words: list[str]) -> None:
    """Parse a command's arguments as the command line does, and start nothing."""
    command = typer.main.get_command(cli.app)
    context = command.make_context("mlproject", list(words))
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, list(words), parent=context)


@pytest.mark.parametrize("page", pages_with("toml"))
def test_plans(page: str, place: Path) -> None:
    for block in of(page, "toml"):
        plan = place / "plan.toml"
        if "max_jobs" in block.text:  # the file of an engine
            plan.write_text(block.text, "utf-8")
            assert read_table(PodTable if "image =" in block.text else JobTable, plan).max_jobs, block.name
            continue
        plan.write_text(block.text if "[[grid]]" in block.text else GRID + block.text, "utf-8")
        assert read_plan(plan, {}).cells, block.name


@pytest.mark.parametrize("page", pages_with("python"))
def test_python(page: str, place: Path, new_store: NewStore) -> None:
    examples, namespace = of(page, "python"), dict[str, object]()
    if any("my-study" in block.text for block in examples):
        new_store(place)
        store_study("my-study")
    for block in examples:
        exec(compile("\n" * block.line + block.text, block.name, "exec"), namespace)
    plt.close("all")


def test_a_command_that_does_not_exist_would_be_noticed(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No such command"):
        parse(["agregate"])
    with pytest.raises(Exception, match="No such option"):
        parse(["aggregate", "--wear", "x"])
