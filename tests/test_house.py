"""What the house promises about itself: sizes, dependencies, the README's tree, words that must not occur."""

import ast
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from beartype.roar import BeartypeCallHintParamViolation

from mlproject.errors import unknown
from mlproject.scaling import Cost
from mlproject.scaling.laws.law import softplus

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PACKAGE = ROOT / "src" / "mlproject"
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_README = 300, 40, 150
MOST_ROOMS, MOST_FILES = 23, 325
VAGUE = {"found", "one", "own", "told", "said", "some", "mine"}
"""Names of variables that say nothing about what they hold."""
NOT_TEXT = {".npz", ".png", ".pdf", ".jpg", ".safetensors"}
NEVER = {
    "a home directory": r"/(home|Users)/[a-z]\w+/",
    "pickled code": r"pickle\.loads?\(|joblib\.load|allow_pickle=True",
    "a shell": r"shell=True|os\.system\(",
    "an open door": r"(?<![\d.])0\.0\.0\.0(?![\d.])",
    "unsafe YAML": r"yaml\.(unsafe_|full_)?load\(",
    "a conflict": r"^(<{7}|>{7}) ",
}


def committed() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in NOT_TEXT]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the rules ask of a file; ``functions`` have their lengths in lines."""

    docstring: str
    functions: list[tuple[str, int]]
    classes: list[str]
    imported: list[str]
    names: set[str]


@cache
def content(path: Path) -> Content:
    """The content of a file, parsed once for all rules."""
    module = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(module))
    return Content(
        docstring=ast.get_docstring(module) or "",
        functions=[
            (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
            for node in nodes
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ],
        classes=[node.name for node in nodes if isinstance(node, ast.ClassDef)],
        imported=[node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module],
        names={node.id for node in nodes if isinstance(node, ast.Name)},
    )


def test_conda_yaml_lists_the_dependencies_of_the_package() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert pip == wanted


def test_no_file_and_no_function_is_too_long() -> None:
    lines = {relative(path): path.read_text("utf-8").count("\n") for path in SOURCES}
    assert {path: n for path, n in lines.items() if n > LONGEST_FILE} == {}
    functions = [(relative(path), *function) for path in SOURCES for function in content(path).functions]
    assert [function for function in functions if function[-1] > LONGEST_FUNCTION] == []


def test_a_module_begins_with_what_it_is() -> None:
    first = {relative(path): content(path).docstring.partition("\n")[0] for path in SOURCES}
    assert [path for path, line in first.items() if not line.endswith((".", ":"))] == []


def test_the_package_has_few_rooms_and_files_and_the_readme_is_a_page() -> None:
    rooms = [p for p in PACKAGE.iterdir() if p.name[0] != "_" and (p.is_dir() or p.suffix == ".py")]
    assert len(rooms) <= MOST_ROOMS
    assert len(SOURCES) <= MOST_FILES
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= LONGEST_README


def test_no_class_name_stands_for_two_things() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for name in content(path).classes:
            places.setdefault(name, []).append(relative(path))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_other_packages_are_reached_through_their_face() -> None:
    deep = [
        f"{relative(path)}: {module}"
        for path in SOURCES
        for module in content(path).imported
        if module.startswith("mlproject.") and module.count(".") > 1
        if module.split(".")[1] != path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    ]
    assert deep == []


def test_variables_are_named_after_what_they_hold() -> None:
    vague = {relative(path): content(path).names & VAGUE for path in SOURCES}
    assert {path: names for path, names in vague.items() if names} == {}


def test_every_csv_file_is_written_in_one_place_which_escapes_formulas() -> None:
    writers = r"csv\.(Dict)?[wW]riter\(|write_csv\(|\.to_csv\("
    assert [relative(path) for path in SOURCES if re.search(writers, path.read_text("utf-8"))] == [
        "src/mlproject/files.py"
    ]


def test_the_readme_shows_the_real_tree() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import tree
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    shown = tree.embedded((ROOT / "README.md").read_text("utf-8"))
    if shown is None:
        pytest.skip("README.md has no marks for the tree yet")
    assert shown == tree.tree(), "run python scripts/tree.py --write"


@cache
def committed_texts() -> dict[Path, str]:
    return {path: path.read_text("utf-8", errors="replace") for path in committed() if path != Path(__file__)}


@pytest.mark.parametrize("what", NEVER)
def test_no_committed_file_holds(what: str) -> None:
    pattern = re.compile(NEVER[what], re.MULTILINE)
    found = [
        f"{relative(path)}: {line.strip()[:100]}"
        for path, text in committed_texts().items()
        if pattern.search(text)  # a text as a whole is searched faster than line by line
        for line in text.splitlines()
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", [p for p in SOURCES if "torch.load(" in p.read_text("utf-8")], ids=relative)
def test_checkpoints_are_read_without_running_their_code(path: Path) -> None:
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
    assert calls
    assert all("weights_only=True" in map(ast.unparse, call.keywords) for call in calls)


def test_annotations_of_functions_and_of_fields_are_checked_while_tests_run() -> None:
    with pytest.raises(BeartypeCallHintParamViolation):
        unknown(1, "resnet5", ["resnet50"])  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintParamViolation):
        Cost(coefficient="6.0")  # type: ignore[arg-type]
    with pytest.raises(BeartypeCallHintParamViolation):
        softplus(np.zeros(2, dtype=np.int64))
