"""Model, Weights, Preprocess: what is known of a backbone before any network is built.

Plain values that need neither torch nor torchvision, so that a dry run or a warm run stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlproject.errors import WrongUse

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

PREPROCESS_VERSION = 1
"""Raised when the pixels that ``preprocess.py`` makes change; part of every cache key."""

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From a picture to the network's input: shorter side to ``resize``, centre crop, normalise.

    Units: ``resize`` and ``crop`` in pixels; ``mean`` and ``std`` per channel of pixels in 0..1.
    Raises: WrongUse when the crop would not lie inside the resized picture.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise WrongUse(f"crop must lie in 1..resize ({self.resize}), not {self.crop}")
        if min(self.std) <= 0:
            raise WrongUse(f"std must be positive, not {self.std}")


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """One weights file that is known by its SHA-256 (64 digits, or the 8 that its name carries).

    Where it comes from is either ``url`` or ``package``, an installed Python package that ships it.
    """

    set_name: str
    file: str
    sha256: str
    url: str | None = None
    package: str | None = None

    @property
    def digest(self) -> str:
        """The identity of these weights: the set's name and the first 8 digits of the SHA-256."""
        return f"{self.set_name}/{self.sha256[:8]}"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A backbone: images in, pooled features out, no classifier.

    ``build`` makes the network (on the current torch device, with its own initial weights); called on
    [B, 3, side, side] it gives [B, width]. ``classifier`` is the prefix of the keys that a full
    classifier's state dict has beyond it. ``fixed_side`` says that no other input side is accepted;
    ``maps`` that it gives a feature for every pixel, [B, width, side, side]. ``parent`` and ``change`` say
    which model it grew from, and by what.
    """

    name: str
    family: str
    side: int
    width: int
    preprocess: Preprocess
    n_params_body: int
    imagenet: Pinned | None
    classifier: str
    fixed_side: bool = False
    maps: bool = False
    parent: str = ""
    change: str = ""
    build: Callable[[], Module] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Weights:
    """Which numbers a backbone carries; ``digest`` is the identity that cells and caches use.

    ``label`` is for people: ``imagenet``, ``random:0``, ``scratch`` (drawn from the cell's seed) or a
    path. ``path`` is None where there is no file, or it is still to be fetched.
    """

    kind: Literal["imagenet", "random", "scratch", "file"]
    label: str
    digest: str
    path: Path | None = None

    @property
    def seed(self) -> int:
        """The seed of random weights."""
        return int(self.label.partition(":")[2])
