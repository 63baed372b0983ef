"""RegionStore: regions found once per image and settings, kept until somebody needs them again.

    <root>/regions-<method>-<settings>/<image>.json   one region, with its own SHA-256

A file appears whole or not at all, so a process that is killed loses the image that it was at. A damaged
file counts as absent. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from mlproject.files import STUB_SUFFIX, locked, sha256, write_atomic
from mlproject.regions.blobs import Pixels
from mlproject.regions.finder import Finder
from mlproject.regions.found import Found
from mlproject.regions.settings import Settings


class RegionStore:
    """Regions by image digest under one set of settings; ``root`` is the folder of the feature cache."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.settings = settings
        self.folder = root / f"regions-{settings.method}-{settings.digest[:16]}"
        self.finder = Finder(settings=settings, root=root)

    def region(self, digest: str, read: Callable[[], Pixels]) -> Found:
        """The region of the image with this SHA-256, which is only read where the region is not kept.

        Raises: BadInput, NoRoom, and what ``read`` raises.
        """
        kept = self.kept(digest)
        if kept is None:
            kept = self.finder.find(read())
            content = json.dumps(kept.to_dict(), allow_nan=False)
            write_atomic(self._path(digest), json.dumps([sha256(content.encode()), content]).encode())
        return kept

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Hold the folder against pruning, waiting for another process that works in it; sweeps stubs."""
        with locked(self.folder.with_name(self.folder.name + ".lock")):
            for stub in self.folder.glob(f"*{STUB_SUFFIX}"):
                stub.unlink(missing_ok=True)
            yield

    def kept(self, digest: str) -> Found | None:
        """The region that is kept for an image; None where there is none, or it is damaged."""
        try:
            expected, content = json.loads(self._path(digest).read_bytes())
            whole = sha256(content.encode()) == expected
            return Found.from_dict(json.loads(content)) if whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"
