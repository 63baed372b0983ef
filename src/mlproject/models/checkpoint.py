"""Read the state dict of a checkpoint file without running its code.

A state dict is a mapping of names to tensors, by itself or under one of ``WRAPPERS``. Everything else that
training code saves (averaged weights beside the weights, nested states, options, optimisers, whole networks,
exported programs) is refused in one line that says what the file holds and what to do: which of several
states is meant, and whether a file may run code, is the user's decision.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mlproject.errors import BadInput
from mlproject.models.other_files import CUT, SAVE, other_kind

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts save a state dict."""
PREFIXES = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What DataParallel, torch.compile, FSDP and activation checkpointing put before names, in any order."""
INNER = re.compile(r"(?<=\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
AVERAGED = "n_averaged"
"""A counter of torch's AveragedModel beside its weights."""
TRUSTED = "reading such objects can run code: where you trust the file,"
NETWORKS = (*WRAPPERS, "net", "network", "ema", "model_ema")
N_NAMED = 3
DEPTH = 3
REFUSED = re.compile(r"GLOBAL (\S+) (?:was not an allowed global|whose module)")
DAMAGED = "truncated|EOF|not fully covered|incomplete|too small|header|corrupt|central directory"
FOREIGN = "Unsupported operand|invalid load key|[Ii]nvalid magic"
MOST_OBJECTS = 50
MOST_HEADER = 1 << 20
"""Bytes of the header of a safetensors file: some 10,000 names, where large networks have a thousand."""
Keys = tuple[str, ...]
"""The keys that lead to a mapping within a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class StateDict:
    """Tensors of a checkpoint by bare name, the names in the file, and the keys that lead to them there."""

    path: Path
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str]
    keys: Keys

    @property
    def source(self) -> str:
        """The expression that reads these tensors in a Python session."""
        return _reading(self.path) + _indexed(self.keys)


class Unread:
    """Stands for a Python object of a checkpoint that is not read; nothing of it is run."""

    name = ""

    def __init__(self, *args: object, **more: object) -> None:
        """Ignore what the object would be made of."""

    def __setstate__(self, state: object) -> None:
        """Ignore the object's state."""


def read_state_dict(path: Path) -> StateDict:
    """The state dict of a checkpoint of torch or safetensors, without the prefixes of wrappers.

    Raises: BadInput in one line that says what else the file holds, and what to do.
    """
    content, objects = _content(path)
    states = dict(_states(content))
    keys = next((k for k in ((), *((w,) for w in WRAPPERS)) if k in states), None)
    if objects or keys is None:
        raise BadInput(_refusal(path, content, objects, list(states)))
    same = {_bare(name) for name in states[keys]}
    rivals = [k for k in states if k != keys and same.intersection(map(_bare, states[k]))]
    if rivals:
        raise BadInput(_refusal(path, content, objects, [keys, *rivals]))
    names: dict[str, str] = {}
    for name in states[keys]:
        if (bare := _bare(name)) in names:
            both = f"{names[bare]!r} and {name!r}"
            raise BadInput(f"{path} holds both {both}, two networks in one: {SAVE}, of one of them")
        names[bare] = name
    if any(name.startswith(PREFIXES) for name in states[keys]):
        names.pop(AVERAGED, None)
    tensors = {bare: states[keys][name] for bare, name in names.items()}
    return StateDict(path=path, tensors=tensors, names=names, keys=keys)


def _bare(name: str) -> str:
    name = INNER.sub("", name)
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _content(path: Path) -> tuple[Any, list[str]]:
    """What a file holds, and the names of Python objects in it, each in its place as ``Unread``.

    Names are bound to empty classes for the restricted reader, so that nothing of the objects is run.
    """
    if kind := other_kind(path):
        raise BadInput(f"{path} is {kind}")
    objects: list[str] = []
    while True:
        stand_ins: list[Any] = [(type("Unread", (Unread,), {"name": name}), name) for name in objects]
        try:
            if _is_safetensors(path):
                _require_short_header(path)
                return safetensors.torch.load_file(path), []
            with (
                torch.serialization.safe_globals(stand_ins),
                warnings.catch_warnings(),
                path.open("rb") as file,
            ):
                warnings.simplefilter("ignore")  # of sparse and quantised tensors, which are refused later
                # A file, not its path: torch would choose the reader by its suffix.
                return torch.load(file, map_location="cpu", weights_only=True), objects
        except BadInput:
            raise
        except Exception as error:  # readers raise some ten different types here, a few with an empty text
            refused = REFUSED.search(str(error))
            name = (refused[1] if "." in refused[1] else f"builtins.{refused[1]}") if refused else ""
            if name and name not in objects and len(objects) < MOST_OBJECTS:
                objects.append(name)
            elif objects:
                return None, objects
            else:
                raise BadInput(f"{path} cannot be read as weights: {_reason(error)}") from error


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:  # the first bytes count, not the name: files of torch are renamed too
        return file.read(9)[8:] == b"{"


def _require_short_header(path: Path) -> None:
    """Refuse a header that names far more tensors than networks have: reading it would take minutes."""
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
    if MOST_HEADER < n_bytes < path.stat().st_size:
        size = f"{n_bytes / 1e6:.1f} MB of names"
        raise BadInput(f"{path} begins with {size}, more than any network has: {SAVE}")


def _reason(error: Exception) -> str:
    text = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error) or type(error).__name__
    if isinstance(error, EOFError) or re.search(DAMAGED, text):
        return f"it is {CUT}: copy or download it again"
    if re.search(FOREIGN, text):
        return "it is neither a file of torch nor one of safetensors"
    return text.splitlines()[0][:150]


def _states(
    content: object, keys: Keys = (), seen: set[int] | None = None
) -> Iterator[tuple[Keys, Mapping[str, Tensor]]]:
    """Every state dict within a checkpoint, with the keys that lead to it.

    Any other mapping counts where it is ``seen`` first: nested, it may stand in millions of places.
    """
    seen = set() if seen is None else seen
    if not isinstance(content, Mapping) or len(keys) > DEPTH:
        return
    if content and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        yield keys, content
        return
    if id(content) not in seen:
        seen.add(id(content))
        for key, value in content.items():
            if isinstance(key, str):
                yield from _states(value, (*keys, key), seen)


def _refusal(path: Path, content: object, objects: Sequence[str], states: Sequence[Keys]) -> str:
    """The line about a checkpoint of which no single state dict can be read."""
    unread = ", ".join(objects[:N_NAMED])
    holds = f"{path} holds {unread if objects and content is None else _described(content)}"
    expressions = [_indexed(keys) for keys in states] or _expressions(content)
    which = f", the one that you mean of {' and '.join(expressions)}" if len(expressions) > 1 else ""
    reading = _reading(path, trusted=bool(objects))
    if expressions:
        trusted = f"; {TRUSTED} " if objects else ": "
        return f"{holds}{trusted}{SAVE}{which}: torch.save({reading}{expressions[0]}, 'weights.pth')"
    if objects:
        return f"{holds}; {TRUSTED} read it by {reading} and {SAVE}"
    if isinstance(content, Mapping) and any(
        isinstance(v, Tensor) for k, v in content.items() if isinstance(k, str)
    ):
        named = "if isinstance(k, str) and isinstance(v, torch.Tensor)"
        chosen = f"{{k: v for k, v in {_reading(path)}.items() {named}}}"
        return f"{holds}: {SAVE}: torch.save({chosen}, 'weights.pth')"
    return f"{holds}: save the network's state_dict alone: torch.save(network.state_dict(), 'weights.pth')"


def _expressions(content: object) -> list[str]:
    """How to get at the state dict of a network that was saved whole."""
    if isinstance(content, Unread):
        return [".state_dict()"]
    if not isinstance(content, Mapping):
        return []
    return [f"[{key!r}].state_dict()" for key in NETWORKS if isinstance(content.get(key), Unread)]


def _indexed(keys: Keys) -> str:
    return "".join(f"[{key!r}]" for key in keys)


def _reading(path: Path, *, trusted: bool = False) -> str:
    """The expression that reads a file, on any device."""
    name = repr(str(path))
    return (
        f"safetensors.torch.load_file({name})"
        if _is_safetensors(path)
        else f"torch.load({name}, map_location='cpu', weights_only={not trusted})"
    )


def _described(content: object) -> str:
    """The content of a checkpoint in a few words."""
    if isinstance(content, Unread):
        return f"a whole object ({content.name})"
    if isinstance(content, Tensor):
        return f"one tensor, {list(content.shape)}, without a name"
    if not isinstance(content, Mapping) or not content:
        length = f" of {len(content)}" if isinstance(content, (list, tuple, dict)) else ""
        return f"a {type(content).__name__}{length}, not a mapping of names to tensors"
    if set(content) >= {"state", "param_groups"}:
        return "the state of an optimizer, not that of a network"
    kinds = sorted({type(key).__name__ for key in content if not isinstance(key, str)})
    if kinds:
        n = sum(not isinstance(key, str) for key in content)
        return f"{n} of {len(content)} values under keys that are no names ({', '.join(kinds)})"
    n_tensors = sum(isinstance(value, Tensor) for value in content.values())
    parts = [f"{n_tensors} tensors by name"] if n_tensors else []
    others = [(k, v) for k, v in content.items() if not isinstance(v, Tensor)]
    shown = [*parts, *(f"{k[:40]!r} ({_short(v)})" for k, v in others[: 4 - len(parts)])]
    return ", ".join(shown) + (f", … ({len(content)} in all)" if len(parts) + len(others) > 4 else "")


def _short(value: object) -> str:
    if isinstance(value, Unread):
        return ".".join(value.name.split(".")[-2:])
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return f"a mapping of {len(value)}, with keys that are no names"
        n = sum(isinstance(v, Tensor) for v in value.values())
        return f"{n} tensors" if n == len(value) else f"a mapping of {len(value)}"
    return type(value).__name__
