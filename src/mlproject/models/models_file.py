"""Backbones of one's own: a file ``models.toml`` with a table for each, named in plans as any other model.

    [mine]
    factory = "mynets:small_vit"              # package.module:function, which returns the network
    checkpoint = "small_vit.safetensors"      # weights=pretrained; beside this file, or a full path
    size = 224
    resize = 256                              # shorter side before the crop; size by default
    mean = [0.485, 0.456, 0.406]
    std = [0.229, 0.224, 0.225]
    interpolation = "bicubic"

The file is the one that ``MLPROJECT_MODELS`` names, else ``models.toml`` in the current folder. Naming one of
its models imports and runs the code of its factory (from installed packages, or from the file's folder), so
it has to be trusted as that code is.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mlproject.errors import BadInput, WrongUse, one_line, unknown
from mlproject.models.model import Interpolation, Model, Preprocess
from mlproject.models.small import CLASSIFIER
from mlproject.models.timm_models import description_digest

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

VARIABLE = "MLPROJECT_MODELS"
FILE = "models.toml"
FAMILY = "models.toml"
MOST_BYTES = 1 << 20


def models_file() -> Path | None:
    """The file of one's own backbones, if there is one. Raises: BadInput where it is named and not there."""
    named = os.environ.get(VARIABLE, "")
    path = Path(os.path.abspath(os.path.expanduser(named or FILE)))
    if path.is_file():
        return path
    if named:
        raise BadInput(f"{VARIABLE} names {named}, which is no file")
    return None


def model_of_file(name: str, taken: Callable[[], Collection[str]]) -> Model | None:
    """The model of that name in the file, or None; ``taken`` gives the names that models have already.

    Raises: WrongUse in one line that names file, entry and field.
    """
    path = models_file()
    if path is None:
        return None
    status = path.stat()
    entries = _entries(path, status.st_size, status.st_mtime_ns)
    if name not in entries:
        return None
    if name in taken() or not name.isidentifier():
        rule = "is the name of another model" if name.isidentifier() else "must be letters, digits and _"
        raise WrongUse(f"{path}, entry {name!r}: the name {rule}; choose another")
    return _model(path, name, status.st_mtime_ns)


def names() -> list[str]:
    """The names of the models in the file."""
    path = models_file()
    return [] if path is None else list(_entries(path, path.stat().st_size, path.stat().st_mtime_ns))


@functools.lru_cache
def _entries(path: Path, size: int, *state: int) -> Mapping[str, Any]:
    """The tables of the file in this state."""
    try:
        if size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(f"{path} is not a TOML file of models: {error}") from error


@functools.lru_cache
def _model(path: Path, name: str, *state: int) -> Model:
    entry = _checked(path, name, _entries(path, path.stat().st_size, *state)[name])
    where = f"{path}, entry {name!r}"
    factory = _factory(where, path.parent, entry["factory"])
    build = functools.partial(_build, where, entry["factory"], factory)
    size = entry["size"]
    try:
        preprocess = Preprocess(
            resize=entry["resize"] or size,
            crop=size,
            mean=entry["mean"],
            std=entry["std"],
            interpolation=entry["interpolation"],
        )
    except WrongUse as fault:
        raise WrongUse(f"{where}: {fault}") from None
    width, n_params = _measured(where, build, size)
    return Model(
        name=name,
        family=FAMILY,
        side=size,
        width=width,
        preprocess=preprocess,
        n_params_body=n_params,
        imagenet=None,
        classifier=CLASSIFIER,
        fixed_side=True,
        checkpoint=path.parent / os.path.expanduser(entry["checkpoint"]) if entry["checkpoint"] else None,
        digest=description_digest(preprocess, factory=entry["factory"]),
        source=f"{entry['factory']}, {path}",
        build=build,
    )


def _checked(path: Path, name: str, table: Any) -> dict[str, Any]:
    """The fields of an entry, each of its type. Raises: WrongUse for the first that is not."""
    from pydantic import BaseModel, ConfigDict, Field, ValidationError

    # Of pixels from 0 to 1: with values of 0 to 255 every image would look alike.
    Share = Annotated[float, Field(ge=0.0, le=1.0)]

    class Entry(BaseModel):
        model_config = ConfigDict(extra="forbid")

        factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
        checkpoint: str = ""
        size: Annotated[int, Field(ge=1, le=4096)]
        resize: Annotated[int, Field(ge=0, le=8192)] = 0
        mean: tuple[Share, Share, Share]
        std: tuple[Share, Share, Share]
        interpolation: Interpolation

    where = f"{path}, entry {name!r}"
    if not isinstance(table, dict):
        raise WrongUse(f"{where}: it must be a table, [{name}], with {', '.join(Entry.model_fields)}")
    try:
        return Entry.model_validate(table).model_dump()
    except ValidationError as error:
        faults = error.errors(include_url=False)
        fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
        field = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        raise WrongUse(f"{where}: {unknown('field', field, Entry.model_fields)}")
    rule = "must be package.module:function" if field == "factory" else fault["msg"]
    text = "it is missing" if fault["type"] == "missing" else f"{rule}, not {fault['input']!r}"
    raise WrongUse(f"{where}, field {field}: {text}")


def _factory(where: str, folder: Path, named: str) -> Callable[[], Any]:
    """The function that an entry names, its module imported. Raises: BadInput."""
    module, _, function = named.partition(":")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # after all others, so that nothing installed is replaced
    try:
        factory: Callable[[], Any] = getattr(importlib.import_module(module), function)
    except Exception as error:  # the user's own code
        raise BadInput(f"{where}, field factory: {named} cannot be imported: {one_line(error)}") from error
    return factory


def _build(where: str, named: str, factory: Callable[[], Any]) -> Module:
    """The network that a factory returns. Raises: BadInput naming file, entry and field."""
    import torch

    try:
        net = factory()
    except Exception as error:  # the user's own code
        if isinstance(error, RuntimeError) and torch.get_default_device().type == "meta":
            raise  # what needs numbers is built in memory (``hollow``)
        raise BadInput(f"{where}, field factory: {named} failed: {one_line(error)}") from error
    if not isinstance(net, torch.nn.Module):
        raise BadInput(f"{where}, field factory: {named} gives {type(net).__name__}, not a torch.nn.Module")
    return net


def _measured(where: str, build: Callable[[], Module], size: int) -> tuple[int, int]:
    """Width of the features, and parameters. Raises: BadInput where a network gives no row an image."""
    import torch

    from mlproject.models.structure import hollow

    net = hollow(build).eval()
    try:
        with torch.no_grad(), torch.device("meta"):
            shape = list(net(torch.empty(2, 3, size, size)).shape)
    except Exception as error:  # the network's own code
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise BadInput(
            f"{where}, field size: the network takes no inputs of {size} pixels: {reason}"
        ) from error
    if len(shape) != 2 or shape[0] != 2:
        raise BadInput(f"{where}, field factory: the network gives {shape} for 2 images, not [2, features]")
    return shape[1], sum(p.numel() for p in net.parameters())
