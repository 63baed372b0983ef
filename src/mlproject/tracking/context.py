"""Who ran which code: the tags that every run carries."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from mlproject import __version__


@cache
def context_tags() -> dict[str, str]:
    """User, source and git commit as MLflow itself records them, and whether the tree was changed."""
    from mlflow.tracking.context.registry import resolve_tags

    tags = {name: str(value) for name, value in resolve_tags().items()}
    return tags | code_version()


def code_version() -> dict[str, str]:
    """The commit of the code that runs and whether it carries uncommitted changes."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"]
    version = {"code.version": __version__}
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return version
    return version | {"code.dirty": "true" if status.stdout.strip() else "false"}
