"""Strings that were made to do harm, as parameters: kept exactly or refused in one line; nothing runs."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.projects._project_spec import load_project

from mlproject.errors import MLProjectError, WrongUse
from mlproject.plans import plan_of, read_plan
from tests.data.pictures import fill

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
HOSTILE = [
    "; touch RAN", "&& touch RAN", "| touch RAN", "|| touch RAN", "& touch RAN &",
    "$(touch RAN)", "`touch RAN`", "x\ntouch RAN\n", "x\r\ntouch RAN", "'; touch RAN; '",
    '"; touch RAN; "', "'$(touch RAN)'", '"$(touch RAN)"', "\\'; touch RAN; \\'",
    "${IFS}touch${IFS}RAN", "$HOME", "$((1+1))", "{a,b}", "{model}", "{0}", "%s%n", "~",
    "~root", "*", "?", "[a-z]*", "!!", "#x", "> RAN", "< /dev/zero", "--help", "--debug", "-rf",
    "--", "-", "--data=/", "../../RAN", "..", "/dev/zero", "a b  c", " leading and trailing ",
    "tab\there", "é and é", "图像", "🙂", "\u202egnp.exe", "\x1b[2J\x1b]0;title\x07", "\x7f",
    "[red]x[/red]", "[/]", "'", '"', "\\", "x" * 5000, "=1+1", "\udcff\udcfe", "\u2028",
]  # fmt: skip
IDS = [ascii(text)[:24] for text in HOSTILE]


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``python`` that writes down the words it was given and does nothing else."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "python").write_text('#!/bin/sh\nprintf "%s\\0" "$@" > words\n')
    (folder / "python").chmod(0o755)
    return folder


@pytest.mark.parametrize("text", HOSTILE, ids=IDS)
def test_every_parameter_reaches_the_program_exactly_and_nothing_runs(
    text: str, recorder: Path, tmp_path: Path
) -> None:
    project = load_project(str(ROOT))
    for name, declared in ENTRY_POINTS.items():
        given = dict.fromkeys(declared["parameters"], text)
        command = project.get_entry_point(name).compute_command(given, str(tmp_path))
        environment = {"PATH": f"{recorder}:/usr/bin:/bin"}
        subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, check=True, timeout=20)
        words = (tmp_path / "words").read_bytes().split(b"\0")
        (tmp_path / "words").unlink()
        assert {os.fsencode(f"--{parameter}={text}") for parameter in given} <= set(words)
        assert list(tmp_path.iterdir()) == [], "a word was run as a command"


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_no_placeholder_stands_in_quotes_and_every_parameter_is_passed_on(name: str) -> None:
    command = ENTRY_POINTS[name]["command"]
    assert "'" not in command
    assert '"' not in command
    words = shlex.split(command)
    for parameter in ENTRY_POINTS[name]["parameters"]:
        assert f"--{parameter}={{{parameter}}}" in words


@pytest.mark.parametrize("text", [*HOSTILE, "\0", "a\0b"], ids=[*IDS, "NUL", "NUL inside"])
def test_a_hostile_value_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    coordinates: dict[str, Any] = {"model": "efficientnet_lite0", "weights": "imagenet", "dataset_size": 10}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("HOME", str(tmp_path))
        for field in ("model", "data", "weights", "dataset_size", "seed", "eval_size", "lr", "target"):
            with pytest.raises(MLProjectError) as caught:
                plan_of("x", coordinates | {field: text})
            assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", [t for t in HOSTILE if len(t) < 200], ids=[i for i in IDS if "xxxxx" not in i]
)
def test_a_folder_of_any_name_is_read_and_recorded_exactly_or_refused(text: str, tmp_path: Path) -> None:
    name = text.replace("/", "_").strip(".~") or "dots"
    folder = fill(tmp_path / name, [f"{i}.png" for i in range(4)])
    coordinates = {"model": "resnet18", "weights": "random", "data": str(folder), "dataset_size": 4}
    if name.isprintable():
        (cell,) = plan_of("x", coordinates).cells
        assert cell.data == str(folder)
        assert name in cell.label
    else:
        with pytest.raises(WrongUse, match="must be printable"):
            plan_of("x", coordinates)


def test_a_hostile_plan_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    for text in [
        "[" * 5000,
        "a = " + "[" * 5000,
        "\0",
        "\ufeff",
        "name = 1e999",
        '"\\u0000" = 1',
        "grid = [[1]]",
    ]:
        path.write_text(text, "utf-8")
        with pytest.raises(MLProjectError) as caught:
            read_plan(path, {})
        assert "\n" not in str(caught.value)
    for value in ["[[1]]", "{ a = 1 }", "1979-05-27", "true", "1e999", "nan", "'\\u0000'", "9" * 400]:
        path.write_text(f'[[grid]]\nmodel = "resnet18"\nweights = "random"\nknobs = {{ lr = {value} }}\n')
        with pytest.raises(MLProjectError, match="lr must be"):
            read_plan(path, {})
