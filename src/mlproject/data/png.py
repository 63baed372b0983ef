"""Faults of PNG files that decoders let pass: wrong checksums of chunks, and missing rows.

Source: PNG specification, third edition (W3C 2025), sections 5 (chunks), 8 (interlacing), 10.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel of each colour type of PNG."""
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Passes of an interlaced PNG: first column, first row, step in columns, step in rows."""
PIECE = 1 << 20
"""Bytes of pixel data that are inflated at once: 49 megapixels of 16-bit RGBA are 400 MB."""


def check_png(content: bytes) -> None:
    """Check what decoders do not: the checksum of each chunk, and that all rows are there.

    Source: PNG specification, third edition (W3C 2025), sections 5 (chunks), 8 (interlacing), 10.
    Raises: ValueError with the reason.
    """
    chunks = list(_png_chunks(content))
    if not chunks or chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ValueError("no header")
    if chunks[-1][0] != b"IEND":
        raise ValueError("truncated")
    expected = _n_png_bytes(chunks[0][1])
    if _n_inflated((data for name, data in chunks if name == b"IDAT"), expected) != expected:
        raise ValueError(f"pixel data is not {expected:,} bytes long")


def _n_inflated(packed: Iterable[memoryview], most: int) -> int:
    """Length of a compressed stream, inflated piece by piece; -1 where it is longer or has no end."""
    inflate, length = zlib.decompressobj(), 0
    pieces = (data[at : at + PIECE] for data in packed for at in range(0, len(data), PIECE))
    for piece in itertools.chain(pieces, [b""]):  # what is left inside comes without further input
        rest = bytes(piece)
        while not inflate.eof and length <= most:
            inflated = inflate.decompress(rest, PIECE)
            length, rest = length + len(inflated), inflate.unconsumed_tail
            if not rest and len(inflated) < PIECE:
                break
    return length if inflate.eof else -1


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and data of each chunk up to IEND; bytes after it are ignored."""
    view = memoryview(content)
    at, name = 8, b""
    while name != b"IEND" and at + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        name = bytes(view[at + 4 : at + 8])
        end = at + 8 + length
        if end + 4 > len(view):
            raise ValueError("truncated")
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", view, end)[0]:
            raise ValueError(f"checksum of {name.decode('latin-1')!r} is wrong")
        yield name, view[at + 8 : end]
        at = end + 4


def _n_png_bytes(header: memoryview) -> int:
    """Length of the decompressed pixel data; each row has one byte for its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * SAMPLES[colour]
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for first_column, first_row, column_step, row_step in passes:
        n_columns = len(range(first_column, width, column_step))
        n_rows = len(range(first_row, height, row_step))
        total += n_rows * (1 + (n_columns * bits + 7) // 8) if n_columns else 0
    return total
