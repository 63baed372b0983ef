"""The page of dependencies: every package of requirements.lock, its version and the licence that it states.

python scripts/dependencies.py --write    write docs/project/dependencies.md from this environment

Run it where the locked versions are installed (Linux).
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
PAGE = ROOT / "docs" / "project" / "dependencies.md"
NOT_STATED = "not stated in its metadata"
ELSEWHERE = "not installed on Linux; see its own page"
LONGEST = 60
"""Letters of a free licence field that is still a name and not the licence's text."""
HEAD = """# dependencies

What `requirements.lock` installs, at the versions that the tests ran with, and the licence that each package
states in its own metadata. The build writes the same list as a software bill of materials (`make dist`).
Made by `python scripts/dependencies.py --write`.

| package | version | licence |
| --- | --- | --- |
"""


def pins() -> list[Requirement]:
    """The locked requirements, each ``name==version`` with the platforms that it is for."""
    return [Requirement(line) for line in re.findall(r"^(\w.*?) \\$", LOCK.read_text("utf-8"), re.MULTILINE)]


def version(pin: Requirement) -> str:
    """The version that a locked requirement names."""
    return next(iter(pin.specifier)).version


def licence(name: str) -> str:
    """The licence that an installed package states: SPDX expression, classifiers, or the free field."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return ELSEWHERE
    classifiers = [line for line in stated.get_all("Classifier") or [] if line.startswith("License ::")]
    named = ", ".join(line.rpartition(" :: ")[2] for line in classifiers)
    free = (stated.get("License") or "").strip()
    if "\n" in free or len(free) > LONGEST or free == "UNKNOWN":
        free = ""
    return stated.get("License-Expression") or free or named or NOT_STATED


def page() -> str:
    """The whole page."""
    rows = (f"| {pin.name} | {version(pin)} | {licence(pin.name)} |" for pin in pins())
    return HEAD + "\n".join(rows) + "\n"


def main() -> int:
    """Write the page, or print it."""
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
