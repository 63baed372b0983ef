"""Files that are given in place of weights: what kind of file it is, and what to do with it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

SAVE = "save its state_dict alone"
CHUNK = 1 << 20
MOST_PICKLED = 8 << 20
"""Bytes of an archive's data.pkl: a tensor takes a hundred, and torch reads a megabyte a second."""
MOST_RECORDS = 50_000
"""Records of an archive: one for each tensor, and torch takes seconds to read as many."""
CUT = "cut off or damaged"
KINDS = {
    b"<": "a web page or another text, not weights: download the file itself again",
    b"version https://git-lfs": "a Git LFS pointer, not weights: fetch the file with `git lfs pull`",
    b"\x89HDF": f"an HDF5 file (Keras), not one of torch: convert it and {SAVE}",
    b"GGUF": f"a GGUF file, not one of torch: convert it and {SAVE}",
    b"\x93NUMPY": f"a NumPy array, not a mapping of names to tensors: {SAVE}",
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"\xfd7zXZ": "compressed (xz): unpack it first",
    b"BZh": "compressed (bzip2): unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed (zstd): unpack it first",
    b"7z\xbc\xaf": "compressed (7z): unpack it first",
}
"""First bytes of files that are often given in place of weights."""
ONNX = re.compile(rb"\x08[\x01-\x20]\x12", re.DOTALL)  # its version, then the name of the producer


def other_kind(path: Path) -> str:
    """The description of a file that is no checkpoint; empty for one that may be."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0 \r\n\t"):
        return "empty: copy or download it again"
    for start, kind in KINDS.items():
        if head.lstrip().startswith(start):
            return kind
    if ONNX.match(head):
        return f"an ONNX graph, which has lost the network's names: in the program that exported it, {SAVE}"
    if re.fullmatch(rb"[\t\r\n\x20-\x7e]+", head):
        return f"a text file, not weights (it begins {head.split()[0][:40].decode()!r})"
    return _other_archive(path) if head.startswith(b"PK") else ""


def _other_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if reason := _too_large(archive.infolist()):
                return f"an archive {reason}, more than any network has: {SAVE}"
            for record in archive.infolist():
                _check_sum(archive, record)
    except zipfile.BadZipFile:
        return f"{CUT}: copy or download it again"
    if any(name.endswith("constants.pkl") for name in names):
        save = f"torch.save(torch.jit.load({str(path)!r}).state_dict(), 'weights.pth')"
        return f"a TorchScript program, which is not run: where you trust the file, {SAVE}: {save}"
    if any(name.endswith(".npy") for name in names):
        return f"an archive of NumPy arrays: {SAVE}, as tensors"
    if not any(name.endswith("data.pkl") for name in names):
        return f"an archive of other files (first: {(names or ['none'])[0][:60]}): unpack it first"
    return ""


def _too_large(records: list[zipfile.ZipInfo]) -> str:
    """Why reading an archive would take minutes; empty where it would not."""
    if len(records) > MOST_RECORDS:
        return f"of {len(records):,} records"
    n_bytes = max((r.file_size for r in records if r.filename.endswith("data.pkl")), default=0)
    return f"with {n_bytes / 1e6:.0f} MB of names and values" if n_bytes > MOST_PICKLED else ""


def _check_sum(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    """Raise BadZipFile for a record whose bytes are not those that were saved: torch does not check them.

    A record of checksum 0 was saved without one (``torch.serialization.set_crc32_options(False)``).
    """
    if record.CRC:
        with archive.open(record) as file:
            while file.read(CHUNK):
                pass
