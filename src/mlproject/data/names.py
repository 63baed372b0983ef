"""Ids: file names as printable text in the order that people expect."""

from __future__ import annotations

import re
import unicodedata


def printable(path: str) -> str:
    """The id of a relative path: composed (NFC), with unprintable characters and ``%`` percent-escaped.

    ``urllib.parse.unquote(id, errors="surrogateescape")`` gives the composed path back.

    >>> printable("n01440764/a\\tb 100%.png")
    'n01440764/a%09b 100%25.png'
    """
    return "".join(map(_escaped, unicodedata.normalize("NFC", path)))


def natural(text: str) -> tuple[list[str | int], str]:
    """Sort key that compares runs of digits as numbers.

    >>> sorted(["10.png", "2.png", "1.png"], key=natural)
    ['1.png', '2.png', '10.png']
    """
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if part.isdecimal() and part.isascii() else part for part in parts], text


def _escaped(character: str) -> str:
    if character.isprintable() and character != "%":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))
