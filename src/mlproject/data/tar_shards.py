"""The pictures and labels in a tar file by WebDataset's rules: members that differ in their endings are one.

Source: the format of github.com/webdataset/webdataset: a member's key is its path up to the first dot of its
name. Members are found by their headers once; afterwards pictures are read by offset and length.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Mapping
from typing import Any, BinaryIO

from mlproject.data.images import BadImage, open_plain
from mlproject.data.layout import SUFFIXES, printable
from mlproject.data.manifest import Row
from mlproject.errors import BadInput
from mlproject.files import read_json

LABELS = ("cls", "json", "txt")
"""Endings of members that hold a label, the first that is there is taken."""
KEYS = ("label", "cls", "class", "class_id", "target", "label_name", "class_name")
"""Keys of a JSON member that may hold the label."""
LONGEST_LABEL = 1 << 20
LONGEST_TEXT = 200
BLOCK, PART = 512, 1 << 20
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
Place = tuple[int, int]


def tar_rows(path: str) -> list[Row]:
    """The pictures of a shard in its order. Raises: BadInput for a compressed, truncated or damaged one."""
    try:
        with open_plain(path) as file:
            samples = _samples(path, file)
            return [_row(file, key, members) for key, members in samples.items() if _pictures(members)]
    except OSError as error:
        raise BadInput(f"cannot read the shard {path}: {error.strerror or error}") from error
    except BadImage as error:
        raise BadInput(f"the shard {path} is {error}") from error


def _samples(path: str, file: BinaryIO) -> dict[str, dict[str, Place]]:
    """Offset and length of each member by its key and its ending."""
    if file.read(6).startswith(COMPRESSED):
        raise BadInput(
            f"the shard {path} is compressed, so that images cannot be read one by one; unpack it to .tar"
        )
    file.seek(0)
    samples: dict[str, dict[str, Place]] = {}
    n_bytes, n_members, end = os.fstat(file.fileno()).st_size, 0, 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                end = member.offset_data + (member.size if member.isreg() else 0)
                if end > n_bytes:
                    break
                n_members += 1
                if member.isreg():
                    above, name = posixpath.split(member.name)
                    key, _, ending = name.partition(".")
                    place = member.offset_data, member.size
                    samples.setdefault(posixpath.join(above, key), {})[ending.casefold()] = place
            end = max(end, tar.offset)
    except tarfile.TarError:
        end = n_bytes + 1
    file.seek(min(end, n_bytes))
    if end > n_bytes or file.read(BLOCK) != bytes(BLOCK):
        raise BadInput(
            f"the shard {path} is truncated or damaged after {n_members:,} members; fetch or write it again"
        )
    if _holds_more(file):
        raise BadInput(
            f"the shard {path} holds more behind its end, after {n_members:,} members: it is damaged, or "
            "several archives were joined (unpack and write them again)"
        )
    return samples


def _holds_more(file: BinaryIO) -> bool:
    """Whether anything but zeros follows, which fill a tar file up behind its end."""
    return any(any(part) for part in iter(lambda: file.read(PART), b""))


def _pictures(members: Mapping[str, Place]) -> list[str]:
    return [ending for ending in members if f".{ending}" in SUFFIXES]


def _row(file: BinaryIO, key: str, members: Mapping[str, Place]) -> Row:
    endings = _pictures(members)
    offset, length = members[endings[0]]
    name = printable(key.removeprefix("./"))
    if len(endings) > 1:
        return Row(name, "", offset, length, "", f"{len(endings)} pictures of one key ({', '.join(endings)})")
    ending = next((each for each in LABELS if each in members), None)
    if ending is None:
        return Row(name, "", offset, length)
    label, reason = _label(file, ending, *members[ending])
    return Row(name, label, offset, length, "", reason)


def _label(file: BinaryIO, ending: str, offset: int, length: int) -> tuple[str, str]:
    """The label in a member, or why there is none."""
    if length > LONGEST_LABEL:
        return "", f"its label .{ending} is over {LONGEST_LABEL:,} bytes"
    file.seek(offset)
    try:
        text = file.read(length).decode("utf-8").strip()
        value: Any = read_json(text) if ending == "json" else text
    except ValueError:
        return "", f"its label .{ending} cannot be read"
    if isinstance(value, dict):
        value = next((value[key] for key in KEYS if key in value), None)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or str(value).strip() == "":
        return "", f"its .{ending} holds no label (a number or a name" + (
            f" under {KEYS[0]})" if ending == "json" else ")"
        )
    if len(str(value)) > LONGEST_TEXT:
        return "", f"its label .{ending} is a text of {len(str(value)):,} characters"
    return printable(str(value).strip()), ""
