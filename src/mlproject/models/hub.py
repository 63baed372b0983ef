"""Files of published weights in the cache of the Hugging Face Hub, found there or fetched from it.

The cache is huggingface_hub's own (HF_HUB_CACHE, or ``hub`` below HF_HOME), so that files fetched by other
tools are used: ``models--OWNER--NAME/snapshots/COMMIT/FILE``. A revision that is there is used as it is; the
Hub is asked only by ``fetch``, for what is missing. Importing this module needs no huggingface_hub.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlproject.errors import BadInput, DigestMismatch, WrongUse, command, is_disk_full, shown
from mlproject.models.model import Hub

MAIN = "main"
REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")
DIGEST = re.compile(r"[0-9a-f]{64}")


def read_revision(spec: str) -> str:
    """The branch, tag or commit of ``pretrained@REVISION``, else ``main``. Raises: WrongUse."""
    _, at, revision = spec.partition("@")
    if at and not REVISION.fullmatch(revision):
        raise WrongUse(f"weights must be pretrained@REVISION, a commit, tag or branch, not {shown(spec)}")
    return revision or MAIN


def cached(hub: Hub, revision: str) -> Path | None:
    """The file of a revision in the cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    for name in hub.files:
        path = try_to_load_from_cache(hub.repo, name, revision=revision)
        if isinstance(path, str) and os.path.isfile(path):
            return Path(path)
    return None


def commit_of(path: Path) -> str:
    """The commit that a file of the cache belongs to."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1]


def require_whole(path: Path, digest: str) -> None:
    """Compare a file's SHA-256 with the name under which the cache keeps its content, where it is a digest.

    The header of a safetensors file is read too, so that a plan finds what is cut or no weights at all.
    Raises: DigestMismatch, BadInput.
    """
    expected = path.resolve().name
    if DIGEST.fullmatch(expected) and digest != expected:
        raise DigestMismatch(
            f"{path} has SHA-256 {digest[:16]}…, not {expected[:16]}…: delete it and {path.resolve()}, "
            "and fetch it again"
        )
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise BadInput(f"{path} cannot be read as weights ({error}): fetch it again") from error


def absent(hub: Hub, model: str, spec: str) -> BadInput:
    """The error for weights that are not in the cache: which command fetches them, and what to copy where."""
    words = ["mlproject", "fetch", model, *(["--weights", spec] if "@" in spec else [])]
    return BadInput(
        f"{hub.repo} ({spec}) is not in {_cache()}; run `{command(*words)}` (on a machine with internet, and "
        f"copy the folder {_folder(hub)} into {_cache()} here; HF_HOME moves it), use "
        "weights=/path/to/checkpoint, or weights=random"
    )


def download(hub: Hub, model: str, revision: str) -> Path:
    """Fetch the file of a revision into the cache.

    Raises: BadInput in one line: the Hub out of reach, offline by choice, no such revision, repository or
    file, or a repository whose terms are to be accepted first.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    for name in hub.files:
        try:
            return Path(hf_hub_download(hub.repo, name, revision=revision))
        except RemoteEntryNotFoundError:
            continue
        except Exception as error:  # of the Hub, of the network (several libraries), of the disk
            if is_disk_full(error):
                raise
            raise BadInput(f"cannot fetch {hub.repo}: {_reason(error, hub, revision)}") from error
    raise BadInput(f"{hub.repo} holds none of {', '.join(hub.files)} at revision {revision}")


def _reason(error: Exception, hub: Hub, revision: str) -> str:
    """Why a file cannot be fetched, and what to do."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{hub.repo}"
    match error:
        case errors.GatedRepoError():
            return f"its terms are to be accepted first at {page}; then `hf auth login` here, and fetch again"
        case errors.RevisionNotFoundError():
            return f"it has no revision {revision!r}; {page}/commits/{MAIN} lists them"
        case errors.RepositoryNotFoundError():
            return f"there is no such repository, or it is private: look at {page}, or `hf auth login`"
    copied = f"copy the folder {_folder(hub)} of a machine with internet into {_cache()}"
    if constants.HF_HUB_OFFLINE:
        return f"HF_HUB_OFFLINE is set; unset it, or {copied}"
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    text = " ".join(str(cause or error).split())[:150] or type(error).__name__
    return f"{constants.ENDPOINT} cannot be reached ({text}); {copied}"


def _folder(hub: Hub) -> str:
    return "models--" + hub.repo.replace("/", "--")


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
