"""Settings of a region search, and image sets of which only the region is left.

Settings are everything that decides a mask: method, limits on blobs, SAM's checkpoint. A checkpoint's name
ends with 6 digits of its MD5, which torch's download check does not understand; here the whole SHA-256 is
verified before the file is parsed; one that was trained further is taken by the name of its network.
Checkpoints: Kirillov et al. 2023, arXiv 2304.02643, github.com/facebookresearch/segment-anything
(Apache-2.0).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mlproject.cell import Region
from mlproject.data import ImageSet
from mlproject.errors import BadInput, DigestMismatch, WrongUse, unknown
from mlproject.files import sha256_file

Method = Literal["blobs", "sam", "sam-auto"]
LimitsName = Literal["relative", "seed"]
Paths = Literal["grey-first", "grey", "colour", "both", "best"]
Refine = Literal["none", "grabcut"]

VERSION = 1
"""To be increased whenever the same settings give other masks."""
MOST_BLOBS = 32
"""Blobs kept of an image, largest first: bounds the number of prompts."""

SERVER = "https://dl.fbaipublicfiles.com/segment_anything"
CHECKPOINTS = {
    "vit_b": ("sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    "vit_l": ("sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    "vit_h": ("sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
}
"""Name of the network in segment_anything's registry to file name and SHA-256 of its checkpoint."""
PUBLISHED = f"{SERVER}/{CHECKPOINTS['vit_b'][0]}"
NO_CHECKPOINT = (
    f"SAM needs a checkpoint: download {PUBLISHED} (375 MB; or {CHECKPOINTS['vit_l'][0]}, "
    f"{CHECKPOINTS['vit_h'][0]}) "
    "and pass checkpoint=/path/to/it; method=blobs needs none"
)


@dataclass(frozen=True, kw_only=True)
class BlobLimits:
    """Bounds on the contours that count as blobs: relative to the image, or in pixels as in the seed study.

    ``area`` bounds the contour's polygon (``cv2.contourArea``: through the centres of its pixels, holes
    filled), exclusive; as shares of the image where ``shares`` is true, else in pixels. ``circularity``
    bounds 4 pi area / perimeter^2, exclusive: a rectangle of a : 1 has about pi a / (1 + a)^2.
    ``reference_side`` is the short side in pixels at which opening and closing take the seed's steps of
    3 x 3 (two for Otsu, one for HSV), in proportion elsewhere; None takes those steps at every size.
    """

    area: tuple[float, float]
    shares: bool
    circularity: tuple[float, float]
    reference_side: float | None

    def area_bounds(self, n_pixels: int) -> tuple[float, float]:
        """The bounds in pixels for an image of so many."""
        scale = n_pixels if self.shares else 1
        return self.area[0] * scale, self.area[1] * scale

    def steps(self, seed_steps: int, short_side: int) -> int:
        """Steps of 3 x 3 for an image: 0 at 28 pixels, the seed's at 375, in proportion."""
        if self.reference_side is None:
            return seed_steps
        return round(seed_steps * short_side / self.reference_side)


LIMITS = {
    "relative": BlobLimits(area=(0.002, 0.9), shares=True, circularity=(0.1, 1.5), reference_side=375.0),
    "seed": BlobLimits(area=(100.0, 50_000.0), shares=False, circularity=(0.5, 1.5), reference_side=None),
}
"""The seed study's circularity (0.5 to 1.5) refuses what is longer than 4 : 1; its upper bound is above 1 and
refuses nothing. Its listing names an absolute least and largest area without printing them; 100 and 50,000
pixels stand in for them."""


def find_limits(name: str) -> BlobLimits:
    """The limits of a name. Raises: WrongUse."""
    if name not in LIMITS:
        raise unknown("limits", name, LIMITS)
    return LIMITS[name]


CUSTOM = "custom"
"""The network of a checkpoint whose sizes are read from its tensors."""
HEADS = 8
"""Attention heads of the published mask decoders; a checkpoint does not show how many it has."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint file: path, network's name in segment_anything's registry (or ``custom``), SHA-256.

    ``published`` files were verified; others are known by their digest, ``custom`` ones by ``heads`` too.
    """

    path: Path
    model: str
    sha256: str
    published: bool = True
    heads: int = HEADS

    @property
    def spec(self) -> str:
        """The text that names this checkpoint: its path, behind the network's name if it is not published."""
        network = f"{CUSTOM}/{self.heads}" if self.model == CUSTOM else self.model
        return str(self.path) if self.published else f"{network}:{self.path}"

    @property
    def identity(self) -> str:
        """Everything of the checkpoint that decides a mask."""
        return f"{self.sha256} heads={self.heads}" if self.model == CUSTOM else self.sha256

    @property
    def label(self) -> str:
        """The network's name, with the first digits of the SHA-256 where it is not a published one."""
        return self.model if self.published else f"{self.model} {self.sha256[:8]}"


def find_checkpoint(spec: str) -> Checkpoint:
    """The checkpoint of a path, verified against the published ones, or of ``NETWORK:PATH``, taken as it is.

    NETWORK is that of a fine-tuned checkpoint (``vit_b``, ``vit_l``, ``vit_h``), or ``custom`` for other
    sizes with 8 attention heads in the mask decoder, ``custom/2`` with 2.

    Raises: WrongUse where none is given, BadInput where there is no file or it is another network's,
    DigestMismatch for a path to any other content.
    """
    if not spec:
        raise WrongUse(NO_CHECKPOINT)
    network, heads, name = _parts(spec)
    path = Path(os.path.abspath(os.path.expanduser(name)))
    if not path.is_file():
        raise BadInput(f"no checkpoint at {path}; {NO_CHECKPOINT}")
    digest = sha256_file(path)
    for model, (_, expected) in CHECKPOINTS.items():
        if digest == expected and network not in (model, CUSTOM, ""):
            raise BadInput(f"{path} is the published {model}, not {network}")
        if digest == expected:
            return Checkpoint(path=path, model=model, sha256=digest)
    if network:
        return Checkpoint(path=path, model=network, sha256=digest, published=False, heads=heads)
    raise DigestMismatch(
        f"{path} has SHA-256 {digest[:16]}…, none of the published ones: download it again ({PUBLISHED}), or "
        f"name its network if it was trained further: checkpoint=vit_b:{spec} (other sizes: {CUSTOM}:{spec})"
    )


def _parts(spec: str) -> tuple[str, int, str]:
    """The network (empty for a path alone), the decoder's attention heads, and the path."""
    match = re.fullmatch(rf"({'|'.join(CHECKPOINTS)}|{CUSTOM}(?:/([1-9]\d{{0,2}}))?):(.+)", spec, re.DOTALL)
    if match is None or os.path.isfile(spec):
        return "", HEADS, spec
    return match[1].partition("/")[0], int(match[2] or HEADS), match[3]


@dataclass(frozen=True, kw_only=True)
class RegionSettings:
    """How regions are found: ``blobs`` alone; ``sam`` with the blobs' points as prompts; ``sam-auto``, where
    masks of the automatic mask generator are selected by the blobs' points.

    ``paths`` says which blobs: by brightness and, where that gives none, by colour (``grey-first``, as in
    0.2); by ``grey`` or ``colour`` alone; by ``both``; or the ``best`` of grey, colour, both and saliency by
    score. ``refine`` is what follows: nothing, or GrabCut.
    """

    method: str
    limits: BlobLimits
    checkpoint: Checkpoint | None = None
    paths: str = "grey-first"
    refine: str = "none"

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides a mask."""
        checkpoint = self.checkpoint.identity if self.checkpoint else ""
        content = {"version": VERSION, "method": self.method, "limits": asdict(self.limits)}
        text = json.dumps({**content, "checkpoint": checkpoint, **self._added}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _added(self) -> dict[str, str]:
        """Settings added after 0.2, where they differ from what 0.2 did: its digests stay."""
        added = {"paths": (self.paths, "grey-first"), "refine": (self.refine, "none")}
        return {name: value for name, (value, default) in added.items() if value != default}

    @property
    def is_stored(self) -> bool:
        """Whether masks are kept on disk for cells: blobs alone cost less than a file."""
        return self.checkpoint is not None or bool(self._added)

    @property
    def label(self) -> str:
        """The method, with the network's name and the settings that differ from the defaults."""
        network = [self.checkpoint.label] if self.checkpoint else []
        limits = [] if self.limits == LIMITS["relative"] else ["seed limits"]
        return " ".join([self.method, *network, *limits, *self._added.values()])


def find_settings(
    method: str,
    *,
    limits: str = "relative",
    checkpoint: str = "",
    paths: str = "grey-first",
    refine: str = "none",
) -> RegionSettings:
    """The settings of these names; ``checkpoint`` is a path, read only where a network is needed.

    Raises: WrongUse, BadInput, DigestMismatch (see ``find_checkpoint``).
    """
    for name, value, known in (
        ("method", method, Method),
        ("paths", paths, Paths),
        ("refine", refine, Refine),
    ):
        if value not in get_args(known):
            raise unknown(name, value, get_args(known))
    if refine != "none" and method != "blobs":
        raise WrongUse(f"refine={refine} is for method=blobs, not {method}: SAM's masks are not refined")
    verified = None if method == "blobs" else find_checkpoint(checkpoint)
    bounds = find_limits(limits)
    return RegionSettings(method=method, limits=bounds, checkpoint=verified, paths=paths, refine=refine)


Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FILL = np.array([124, 116, 104], np.uint8)
"""Colour of replaced pixels: ImageNet's mean, a constant, so that only the outline of what was removed is
left."""


def settings_of(
    region: str, checkpoint: str = "", *, paths: str = "grey-first", refine: str = "none"
) -> RegionSettings | None:
    """Settings for a cell's region; None for ``full``. A background is the complement of SAM's region where a
    checkpoint is given, else of the blobs.

    Raises: WrongUse for an unknown region, and what ``find_settings`` raises.
    """
    if region not in get_args(Region):
        raise unknown("region", region, get_args(Region))
    if region == "full":
        return None
    by_sam = region == "sam" or (region == "background" and bool(checkpoint))
    method = "sam" if by_sam else "blobs"
    return find_settings(method, checkpoint=checkpoint, paths=paths, refine=refine)


def masked(images: ImageSet, region: str, settings: RegionSettings | None, root: Path) -> ImageSet:
    """The same images with only the region left; ids, labels, split and draws stay.

    An image in which nothing was found counts as all object. Blobs are found again at each reading (they
    cost less than a file); other regions are stored below ``root``.
    """
    if settings is None:
        return images
    from mlproject.regions.finder import MaskedImages

    return replace(
        images,
        digests=tuple(_digest(digest, region, settings) for digest in images.digests),
        ranks=images.ranks or images.digests,
        read=MaskedImages(images=images, region=region, settings=settings, root=root),
    )


def keep(image: Pixels, mask: Mask, *, background: bool) -> Pixels:
    """The image, [H, W, 3], with ``FILL`` where it is not object (or, for the background, where it is)."""
    objects = mask if mask.any() else np.ones_like(mask)
    kept: Pixels = np.where((objects ^ background)[..., None], image, FILL)
    return kept


def _digest(digest: str, region: str, settings: RegionSettings) -> str:
    return hashlib.sha256(f"{digest}:{region}:{settings.digest}".encode()).hexdigest()
