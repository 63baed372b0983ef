"""Decode image files to upright RGB pixels, or refuse them with a reason. Only this module opens pictures.

A file is opened without following links or blocking, and must be a plain file of 1 byte to 64 MB. Its first
bytes decide the format, not its name. Limits on pixels are checked before anything is decoded. Pillow alone
would read 16-bit gray as white, ignore the EXIF orientation, and fill the missing rows of a truncated PNG
with black. Flipped bits inside JPEG, lossy WebP and BMP cannot be detected here; digests detect them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlproject.data.png import check_png
from mlproject.errors import BadInput

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Pixels = NDArray[np.uint8]

MAX_BYTES = 64_000_000
MAX_PIXELS = 50_000_000
MAX_SIDE = 32_768
STRIP = 256
"""Rows that are converted at once: a large picture with transparency takes a copy or two, not five."""
MAX_RATIO = 100
"""Longest side over the shortest, which is resized to the input of a network, and the longest with it."""
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF, as the next
    b"MM\0+": "TIFF",
}
UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
"""EXIF orientation to the turn that makes an image upright."""
SAVE_NUMBERS = "save the number of each pixel's class (0, 1, …) as an 8-bit gray or palette PNG"

_EXIF_ORIENTATION = 0x0112
_COLOUR_SPACE, _N_BANDS, _EXTRA_BANDS = 262, 277, 338
COLOUR_BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # gray (0, 1), RGB, palette, CMYK, YCbCr, L*a*b*
_header_lock = threading.Lock()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its messages on bad files are in the reason


LINK = "symbolic link, not followed"


class BadImage(BadInput):
    """A file that cannot be read as an image; the message is the reason, without the file's name."""


def read_bytes(path: str, offset: int = 0, length: int = -1) -> bytes:
    """The content of one plain file of 1 byte to 64 MB, or ``length`` bytes of a file from ``offset`` on.

    Raises: BadImage for links, pipes, devices, empty, large and unreadable files, and for ranges beyond one.
    """
    if length > MAX_BYTES:
        raise BadImage(f"over {MAX_BYTES // 1_000_000} MB")
    try:
        with open_plain(path) as file:
            file.seek(offset)
            content = file.read(MAX_BYTES + 1 if length < 0 else length)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadImage(LINK) from error
        raise BadImage(f"cannot be opened ({error.strerror})") from error
    if not content:
        raise BadImage("empty file")
    if len(content) < length:
        raise BadImage(f"ends after {len(content):,} of {length:,} bytes")
    if len(content) > MAX_BYTES:
        raise BadImage(f"over {MAX_BYTES // 1_000_000} MB")
    return content


def open_plain(path: str) -> BinaryIO:
    """Open a plain file without following a link or waiting. Raises: OSError; BadImage for anything else."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return file
    file.close()
    raise BadImage("not a plain file")


def decode(content: bytes) -> Pixels:
    """The first frame as upright RGB, [height, width, 3].

    16-bit gray is scaled to 8 bits, transparency is composited on white, CMYK is converted. An
    orientation that cannot be read counts as upright.

    Raises: BadImage with the reason.
    """
    with _refusing(content) as kind:
        image = _loaded(content, kind)
        return _upright(_rgb(image), _orientation(image))


def check(content: bytes) -> None:
    """Refuse what ``decode`` would refuse, without copying pixels that are RGB already.

    Raises: BadImage with the reason.
    """
    with _refusing(content) as kind:
        image = _loaded(content, kind)
        if image.mode != "RGB":
            _rgb(image)


def decode_map(content: bytes) -> Pixels:
    """The values of a PNG of palette indices or 8-bit gray, upright, [height, width].

    Raises: BadImage with the reason.
    """
    with _refusing(content) as kind:
        if kind != "PNG":
            raise BadImage(f"is a label map but {kind}, not PNG, which keeps values: {SAVE_NUMBERS}")
        image = _loaded(content, kind)
    if image.mode not in ("P", "L", "1"):
        raise BadImage(
            f"is a label map with pixels of mode {image.mode}, not palette or 8-bit gray: {SAVE_NUMBERS}"
        )
    return _upright(np.array(image, np.uint8), _orientation(image))


def orientation(content: bytes) -> int:
    """The EXIF orientation of a picture, 1 to 8; 1 where there is none. Raises: BadImage with the reason."""
    with _refusing(content) as kind:
        value = _orientation(_open(content, kind))
    return value if value in UPRIGHT else 1


@contextlib.contextmanager
def _refusing(content: bytes) -> Iterator[str]:
    """Yield the format, and turn whatever its decoder raises into a reason."""
    kind = _format(content)
    try:
        yield kind
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # decoders raise any type of exception on bytes that are no image
        raise BadImage(f"cannot be decoded as {kind}: {_one_line(error)}") from error


def _loaded(content: bytes, kind: str) -> PillowImage:
    image = _open(content, kind)
    _check_size(*image.size)
    if kind == "PNG":
        check_png(content)
    image.load()
    return image


def _format(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    for signature, kind in SIGNATURES.items():
        if content.startswith(signature):
            return kind
    raise BadImage("not an image (none of PNG, JPEG, WEBP, BMP, GIF, TIFF)")


def _open(content: bytes, kind: str) -> PillowImage:
    from PIL import Image, UnidentifiedImageError

    try:
        with _quiet():
            if kind == "TIFF":
                _check_bands(content)
            return Image.open(io.BytesIO(content), formats=[kind])
    except UnidentifiedImageError as error:  # its message is the address of a buffer
        raise ValueError("its header describes no picture that can be read") from error


def _check_bands(content: bytes) -> None:
    """Refuse a TIFF with bands that are neither colours nor alpha; Pillow drops them, or opens none of it."""
    from PIL import TiffImagePlugin

    file = io.BytesIO(content)
    header = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if b"+" in content[:4] else 8))
    file.seek(header.next)
    header.load(file)
    n_bands, extra = int(header.get(_N_BANDS, 1)), tuple(header.get(_EXTRA_BANDS, ()))
    colours = COLOUR_BANDS.get(int(header.get(_COLOUR_SPACE, -1)), n_bands)
    if n_bands != colours and (n_bands != colours + 1 or extra not in ((1,), (2,))):
        raise BadImage(f"TIFF of {n_bands} bands; gray, RGB, CMYK and palette are read, alone or with alpha")


def _check_size(width: int, height: int) -> None:
    longest, shortest = max(width, height), min(width, height)
    if longest > MAX_SIDE or width * height > MAX_PIXELS:
        limits = f"{MAX_PIXELS // 1_000_000} million pixels, {MAX_SIDE:,} a side"
        raise BadImage(f"{width:,} x {height:,} is over the limit ({limits})")
    if longest > MAX_RATIO * shortest:
        raise BadImage(f"{width:,} x {height:,} is a strip, over {MAX_RATIO} times as long as wide")


def _orientation(image: PillowImage) -> int:
    with contextlib.suppress(Exception), _quiet():
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    return 1


def _upright(pixels: Pixels, value: int) -> Pixels:
    return np.ascontiguousarray(UPRIGHT.get(value, np.asarray)(pixels))


def _largest_index(image: PillowImage) -> int:
    """The largest palette index of a picture of one band."""
    extrema: Any = image.getextrema()
    return int(extrema[1])


def _rgb(image: PillowImage) -> Pixels:
    """Pixels of any mode as RGB, writable."""
    wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    if image.mode in ("I", "F") and not wide:
        raise BadImage("32-bit or signed pixels, whose white is not known")
    if image.mode == "P" and (largest := _largest_index(image)) >= (n := len(image.getpalette() or ()) // 3):
        raise BadImage(f"holds palette index {largest}, and its palette has {n} colours (from 0)")
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        strip = image.crop((0, top, width, min(top + STRIP, height)))
        pixels[top : top + STRIP] = _gray(strip)[..., np.newaxis] if wide else _composited(strip)
    return pixels


def _gray(image: PillowImage) -> Pixels:
    """16-bit gray scaled to 8 bits."""
    wide = np.asarray(image).astype(np.uint32)
    return ((wide + 128) // 257).astype(np.uint8)


def _composited(image: PillowImage) -> Pixels:
    """Colours, those with transparency on white."""
    from PIL import Image

    if image.has_transparency_data:
        front = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Make Pillow's warning of a decompression bomb an error and silence its other warnings.

    Warning filters belong to the process, so only one thread at a time may change them.
    """
    from PIL import Image

    with _header_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
