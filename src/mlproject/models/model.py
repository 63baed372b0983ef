"""Model, Weights and Preprocess: descriptions of backbones as plain values, and preprocessing itself.

They need neither torch nor torchvision, so that a dry run and a run with cached features stay light. The
numbers of ``prepare`` and ``normalise`` equal those of torchvision's transforms on PIL images (whose resize
has antialiasing); pixels stay uint8 until a whole batch is normalised at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlproject.errors import BadInput, WrongUse

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TORCHVISION_SERVER = "https://download.pytorch.org/models/"
TORCHVISION_SET = "IMAGENET1K_V1"
"""torchvision's first weights of each model. Never ``DEFAULT``: that is V1 for ResNet-18 and V2 for the
deeper ones, two training recipes along one axis."""

PREPROCESS_VERSION = 1
"""To be increased when the pixels that ``prepare`` makes change; part of every cache key."""

MOST_RESIZED = 100_000_000
"""Pixels of a resized picture before its crop, at most: 0.4 GB in memory."""

AUTO = "auto"
Interpolation = Literal["bilinear", "bicubic"]
Fit = Literal["shorter side", "squash"]


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Preprocessing of a picture to the network's input: shorter side to ``resize``, centre crop, normalise.

    With ``fit`` ``squash`` both sides become ``resize``, whatever the picture's shape (SigLIP and others of
    timm). Units: ``resize`` and ``crop`` in pixels; ``mean`` and ``std`` per channel of pixels in 0..1.
    Raises: WrongUse when the crop would not lie inside the resized picture.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    fit: Fit = "shorter side"

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise WrongUse(f"crop must lie in 1..resize ({self.resize}), not {self.crop}")
        if min(self.std) <= 0:
            raise WrongUse(f"std must be positive, not {self.std}")


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A published weights file, identified by its SHA-256 (64 digits, or the 8 in its name).

    It comes from either ``url`` or ``package``, an installed Python package that ships it.
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
class Hub:
    """Published weights on the Hugging Face Hub: a repository, the files to look for, and who reads them.

    ``load`` makes the network from the file, [B, 3, side, side] to [B, width].
    """

    repo: str
    files: tuple[str, ...]
    load: Callable[[Path], Module] = field(repr=False, compare=False)


def torchvision_weights(name: str, sha256: str) -> Pinned:
    """torchvision's ``IMAGENET1K_V1`` weights of a model, by the first 8 digits of their SHA-256."""
    file = f"{name}-{sha256}.pth"
    return Pinned(set_name=TORCHVISION_SET, file=file, sha256=sha256, url=TORCHVISION_SERVER + file)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A backbone: images in, pooled features out, no classifier.

    ``build`` makes the network (on the current torch device, with its own initial weights); called on
    [B, 3, side, side] it gives [B, width]. ``classifier`` is the prefix of the keys that a full
    classifier's state dict has in addition, ``left_out`` are those of other parts that are not built.
    ``fixed_side``: no other input side is accepted; ``maps``: it gives a feature for every pixel, [B, width,
    side, side]. ``parent`` is the model that it was grown from, ``change`` what was added. ``hub`` and
    ``checkpoint`` say where the weights called ``pretrained`` are. ``digest`` identifies network and
    preprocessing where the name does not; ``source`` says for people where the network comes from.
    ``layer`` and ``pool`` say which features are read (``depth``); ``auto`` are the network's own.
    """

    name: str
    family: str
    side: int
    width: int
    preprocess: Preprocess
    n_params_body: int
    imagenet: Pinned | None
    classifier: str
    left_out: tuple[str, ...] = ()
    fixed_side: bool = False
    maps: bool = False
    parent: str = ""
    change: str = ""
    hub: Hub | None = None
    checkpoint: Path | None = None
    digest: str = ""
    source: str = ""
    layer: str = AUTO
    pool: str = AUTO
    build: Callable[[], Module] = field(repr=False, compare=False)

    @property
    def output(self) -> str:
        """The features that are read, as rows of features and provenance name them."""
        return "pooled" if self.layer == self.pool == AUTO else f"{self.layer}/{self.pool}"


@dataclass(frozen=True)
class Weights:
    """The weights of a backbone; ``digest`` is the identity that cells and caches use.

    ``label`` is shown to people: ``imagenet``, ``pretrained@v2``, ``random:0``, ``scratch`` (drawn from the
    cell's seed) or a path. ``path`` is None where there is no file, or it is still to be fetched;
    ``revision`` is the commit on the Hugging Face Hub that the file is from.
    """

    kind: Literal["imagenet", "hub", "random", "scratch", "file"]
    label: str
    digest: str
    path: Path | None = None
    revision: str = ""

    @property
    def seed(self) -> int:
        """The seed of random weights."""
        return int(self.label.partition(":")[2])


def geometry(preprocess: Preprocess) -> Preprocess:
    """The part of a preprocessing that ``prepare`` carries out: the same for all means and deviations."""
    return replace(preprocess, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def prepare(preprocess: Preprocess, image: NDArray[np.uint8], *, name: str = "") -> NDArray[np.uint8]:
    """Resize the shorter side and cut out the centre: [H, W, 3] to [crop, crop, 3], 0..255.

    Raises: BadInput, with the picture's name, where its resized form would fill the memory before the cut.
    """
    return _fitted(preprocess, image, preprocess.interpolation, name)


def prepare_map(preprocess: Preprocess, classes: NDArray[np.uint8], *, name: str = "") -> NDArray[np.uint8]:
    """The same for a label map, [H, W] to [crop, crop]: each pixel takes the class of its nearest one."""
    return _fitted(preprocess, classes, "nearest", name)


def _fitted(
    preprocess: Preprocess,
    image: NDArray[np.uint8],
    resampling: Interpolation | Literal["nearest"],
    name: str,
) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = image.shape[:2]
    size = preprocess.resize
    if preprocess.fit == "squash":
        new_height = new_width = size
    elif height <= width:
        new_height, new_width = size, int(size * width / height)
    else:
        new_height, new_width = int(size * height / width), size
    if new_height * new_width > MOST_RESIZED:
        raise BadInput(
            f"{name or 'a picture'} of {width:,} x {height:,} pixels would be {new_width:,} x {new_height:,} "
            f"before its crop, over {MOST_RESIZED // 1_000_000} million pixels; cut it or leave it out"
        )
    picture = Image.fromarray(np.ascontiguousarray(image))
    if (height, width) != (new_height, new_width):
        picture = picture.resize((new_width, new_height), Image.Resampling[resampling.upper()])
    crop = preprocess.crop
    top, left = round((new_height - crop) / 2), round((new_width - crop) / 2)
    return np.asarray(picture.crop((left, top, left + crop, top + crop)))


def normalise(preprocess: Preprocess, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Normalised input of a batch: [B, S, S, 3] of 0..255 to [B, 3, S, S]."""
    n_images, height, width, _ = batch.shape
    scaled = np.empty((n_images, 3, height, width), np.float32)
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        # In place and by channel: a third of the time of one expression over the batch.
        plane = scaled[:, channel]
        np.divide(batch[..., channel], np.float32(255), out=plane, dtype=np.float32)
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return scaled
