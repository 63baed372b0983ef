"""Plain values: what a JSON file can hold, numbers to 12 digits, and compared number by number."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

REL, ABS, DIGITS = 1e-9, 1e-12, 12
UNPINNED = "about"
"""The name of words for a reader of the file, which are not compared."""


def plain(value: Any) -> Any:
    """Dicts, lists, text, whole numbers, truth values and floats; what is not finite becomes its name."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    return value


def differences(
    found: Any, golden: Any, looser: Mapping[str, float] = MappingProxyType({}), where: str = ""
) -> Iterator[str]:
    """Where two plain values differ, one line each: numbers beyond a relative ``REL``, all else at all.

    ``looser`` gives paths of names (``/fit/parameters/k/0``) that a pattern is found in another tolerance.
    """
    if isinstance(found, dict) and isinstance(golden, dict):
        for name in sorted({*found, *golden} - {UNPINNED}):
            if name in found and name in golden:
                yield from differences(found[name], golden[name], looser, f"{where}/{name}")
            else:
                yield f"{where}/{name}: only {'found' if name in found else 'golden'}"
    elif isinstance(found, list) and isinstance(golden, list) and len(found) == len(golden):
        for i, (one, other) in enumerate(zip(found, golden, strict=True)):
            yield from differences(one, other, looser, f"{where}/{i}")
    else:
        rel = max((rel for pattern, rel in looser.items() if re.search(pattern, where)), default=REL)
        if not _same(found, golden, rel):
            yield f"{where}: {found!r}, golden {golden!r}"


def _same(found: Any, golden: Any, rel: float) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (found, golden))
    if numbers:
        return math.isclose(found, golden, rel_tol=rel, abs_tol=ABS)
    return type(found) is type(golden) and found == golden


def read(path: Path) -> Any:
    """The plain value that a golden file holds."""
    return json.loads(path.read_text("utf-8"))


def write(path: Path, value: Any) -> None:
    """Keep a plain value as a golden file: a line for each entry of the outermost two dicts."""
    lines = [f"{json.dumps(name)}: {_entry(one)}" for name, one in value.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _entry(value: Any) -> str:
    text = partial(json.dumps, sort_keys=True, allow_nan=False, separators=(",", ":"))
    if not isinstance(value, dict):
        return text(value)
    return "{\n" + ",\n".join(f"  {text(name)}: {text(one)}" for name, one in value.items()) + "\n}"
