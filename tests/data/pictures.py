"""Files that tests put into folders: good pictures, and each kind of bad one."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed=0, size=(6, 4)):
    """A small RGB picture that differs by seed; size is (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def fill(folder: Path, names, first_seed=0):
    """One small PNG a name, all different."""
    for seed, name in enumerate(names, first_seed):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(seed)))
    return folder


def png(width, height, rows, *, depth=8, colour=0, flip_checksum_of=None):
    """A PNG made by hand, so that it can lie: ``rows`` is the inflated pixel data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in chunks:
        checksum = zlib.crc32(name + data) ^ (name == flip_checksum_of)
        content += struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)
    return content


def palette_png(bits, n_colours, indices):
    """A PNG of one row of palette indices, which may lie beyond its palette."""
    row = "".join(f"{index:0{bits}b}" for index in indices)
    packed = int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big")
    whole = png(len(indices), 1, b"\0" + packed, depth=bits, colour=3)
    colours = b"PLTE" + bytes(range(3 * n_colours))
    chunk = struct.pack(">I", 3 * n_colours) + colours + struct.pack(">I", zlib.crc32(colours))
    return whole[:33] + chunk + whole[33:]


def tiff(height, width, bands, tags, *, bits=8):
    """An uncompressed TIFF of any number of bands; ``tags`` are further tags, numbers of 16 bits."""
    size = height * width * bands * bits // 8
    known = {256: width, 257: height, 258: (bits,) * bands, 259: 1, 277: bands, 278: height, 279: size}
    known |= {**tags, 273: 0}
    values = {tag: v if isinstance(v, tuple) else (v,) for tag, v in sorted(known.items())}
    start = 8 + 2 + 12 * len(values) + 4
    outside, table = b"", b""
    long = {tag: 2 * len(v) for tag, v in values.items() if len(v) > 2}
    values[273] = (start + sum(long.values()),)
    for tag, numbers in values.items():
        packed = struct.pack(f"<{len(numbers)}H", *numbers)
        inside = struct.pack("<I", start + len(outside)) if tag in long else packed.ljust(4, b"\0")
        outside += packed if tag in long else b""
        table += struct.pack("<HHI", tag, 3, len(numbers)) + inside
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    return struct.pack("<2sHIH", b"II", 42, 8, len(values)) + table + bytes(4) + outside + pixels
