"""What a release installs: the lock file, the page of licences, the files in the package."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
PINS = {
    canonicalize_name(pin.name): pin
    for pin in map(Requirement, re.findall(r"^(\w.*?) \\$", LOCK, re.MULTILINE))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKED_EXTRA = PROJECT["project"]["optional-dependencies"]["engines"]
DECLARED = [Requirement(line) for line in [*PROJECT["project"]["dependencies"], *LOCKED_EXTRA]]


def applies(requirement: Requirement, extra: str = "") -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**default_environment(), "extra": extra})


def unmet(requirements: list[Requirement]) -> list[str]:
    """Requirements for this platform that the lock does not satisfy."""
    missing = []
    for needed in requirements:
        pin = PINS.get(canonicalize_name(needed.name))
        if pin is None or not needed.specifier.contains(next(iter(pin.specifier)).version, prereleases=True):
            missing.append(str(needed))
    return missing


def test_the_lock_holds_every_declared_dependency_within_its_range() -> None:
    assert not unmet(DECLARED), "run make lock"


def test_the_lock_holds_what_its_packages_require_here() -> None:
    missing = {}
    for name in PINS:
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue  # of another platform
        missing[name] = unmet([each for each in needed if applies(each)])
    assert {name: lines for name, lines in missing.items() if lines} == {}, "run make lock"


def test_every_locked_package_is_required_by_another_or_declared() -> None:
    reasons = re.findall(r"^    # via(.*(?:\n    #   .*)*)", LOCK, re.MULTILINE)
    assert len(reasons) == len(PINS)
    declared = {canonicalize_name(each.name) for each in DECLARED}
    direct = {name for name, text in zip(PINS, reasons, strict=True) if "mlproject (pyproject.toml)" in text}
    assert direct == declared, "run make lock"


def test_every_pin_is_one_version_with_hashes() -> None:
    blocks = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(PINS)
    for block in blocks:
        assert re.match(r"[\w.-]+==[\w.]+( ;.*)? \\\n", block), block[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:80]


def test_the_lock_names_no_server() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK
    assert "--find-links" not in LOCK


def test_the_page_of_dependencies_lists_every_pin_with_a_licence() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import dependencies
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    text = dependencies.PAGE.read_text("utf-8")
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", text, re.MULTILINE)[1:]
    listed = {name: number for name, number, licence in rows if licence.strip()}
    wanted = {pin.name: dependencies.version(pin) for pin in dependencies.pins()}
    assert {name: number for name, number in listed.items() if name != "---"} == wanted, "run make lock"


def test_every_file_of_the_package_is_installed() -> None:
    package = ROOT / "src" / "mlproject"
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["mlproject"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others - installed == set()


ADVICE = re.compile(r"\b(?:pip3?|pipx|uv|conda|poetry)\s+(?:install|add)\s+([^`\n;]*)")
INSTALLERS_OPTIONS = re.compile(r"(?<!\S)-\S+")


def advised_by_name(text: str) -> list[str]:
    """What a text advises to install by a name of the public index, where it names this package or timm."""
    joined = re.sub(r"[\"']\s*\n\s*f?[\"']|\s*\n\s*(?=\S)", " ", text)
    words = [w for m in ADVICE.findall(joined) for w in INSTALLERS_OPTIONS.sub("", m).split()[:6]]
    return [w for w in words if re.match(r"[\"'(]*(mlproject|timm)(?![\w/-])", w)]


def test_no_text_advises_to_install_a_name_of_the_public_index_that_is_not_ours() -> None:
    """`mlproject` on the index is another project's, and timm is a dependency anyway."""
    assert advised_by_name("run `pip install -q 'mlproject[timm]'`") == ["'mlproject[timm]'"]
    assert advised_by_name("pip install\n    'timm>=1'")
    assert not advised_by_name("pip install dist/mlproject-1.whl")
    folders = ("src", "docs", "scripts", "sweeps", "benchmarks")
    files = [
        p for f in folders for p in (ROOT / f).rglob("*") if p.suffix in (".py", ".md", ".toml", ".jinja")
    ]
    texts = {p: p.read_text("utf-8") for p in [*files, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]}
    assert {str(p): found for p, text in texts.items() if (found := advised_by_name(text))} == {}
