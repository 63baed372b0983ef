"""Addresses of databases and servers: the file of a database, and the folder of the locks of a store."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from mlproject.errors import WrongUse, masked
from mlproject.files import sha256

if TYPE_CHECKING:
    from sqlalchemy import URL
else:
    URL = Any

PLAIN = re.compile(r"sqlite:///([\w/.-]+)")
"""A SQLite address that is read as it stands: importing SQLAlchemy takes a third of a second."""
MEMORY = ("", ":memory:")  # SQLite's names of a database that ends with its process
LOOPBACK = ("", "localhost", "::1", "localhost.localdomain")
"""Names of this machine in addresses; a database without a host is reached by a socket of this machine."""
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Ports that addresses need not name."""


def database_url(address: str) -> URL | None:
    """The parts of a database's address (``dialect[+driver]://…``); None for a path or a server of runs."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(address)
    except (ArgumentError, ValueError):  # no address, or a port that is no number
        return None


def database_file(address: str) -> Path | None:
    """The file of a SQLite address, whatever characters and parameters it has; None for any other address.

    Raises: WrongUse for a database in memory, which would end with the command, or a name with a bare ``?``.
    """
    if plain := PLAIN.fullmatch(address):
        return Path(plain[1]).absolute()
    url = database_url(address)
    if url is None or url.get_backend_name() != "sqlite":
        return None
    if "?" in address and not url.query:  # parameters without a value would be dropped without a word
        raise WrongUse(f"{masked(address)}: a ? begins parameters of an address; in a file's name write %3F")
    name = url.database or ""
    if name.startswith("file:") and "uri" in url.query:  # SQLite's own form, which is decoded once more
        name = unquote(urlsplit(name).path)
    if name in MEMORY or url.query.get("mode") == "memory":
        raise WrongUse(f"{address} is a database in memory, which ends with the command; name a file")
    return Path(name).absolute()


def lock_folder(address: str | Path) -> Path:
    """The folder for locks: beside a file; for a server, a folder of this machine and user.

    Addresses that differ in their writing alone (links, relative paths, drivers, users, ``localhost``, case,
    a port or slash that goes without saying) lead to one folder.
    """
    path = address if isinstance(address, Path) else database_file(address)
    if path is not None:
        path = path.resolve()
        return path.with_name(path.name + ".locks")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "mlproject" / "locks" / sha256(_normalised(str(address)).encode())[:16]


def beside_store(address: str, name: str) -> Path:
    """A file beside a SQLite store; for a server, in the folder of this machine's locks."""
    file = database_file(address)
    return file.resolve().with_name(name) if file else lock_folder(address) / name


def _normalised(address: str) -> str:
    """One writing for all addresses of a server, of a database on one, or of a folder of runs."""
    scheme, separator, _ = address.partition("://")
    if address.startswith("file:"):
        return str(Path(url2pathname(urlsplit(address).path)).resolve())
    if not separator:
        return str(Path(address).resolve()) if "/" in address or address.startswith(".") else address
    parts = urlsplit(address)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:  # no number: whoever connects says so
        return address
    host, user = host.rstrip("."), unquote(parts.username or "")
    here = host in LOOPBACK or host.startswith("127.") or host == socket.gethostname().lower()
    dialect = scheme.lower().partition("+")[0]
    dialect = {"postgres": "postgresql", "mariadb": "mysql"}.get(dialect, dialect)
    path = "/".join(part for part in parts.path.split("/") if part)
    if dialect not in ("http", "https") and not path:
        path = user  # a database server's choice where an address names no database
    return f"{dialect}://{'localhost' if here else host}:{port or PORTS.get(dialect, '')}/{path}"
