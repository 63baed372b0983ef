"""Segment Anything's published checkpoints: which file is which, by SHA-256, and how it becomes a network.

A checkpoint's name ends with 6 digits of its MD5, which torch's own download check takes for nothing; so the
whole SHA-256 is verified here, before the file is parsed without running any code in it.
Source: Kirillov et al. 2023, arXiv 2304.02643; github.com/facebookresearch/segment-anything (Apache-2.0).
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.files import sha256_file

SERVER = "https://dl.fbaipublicfiles.com/segment_anything"
KNOWN = {
    "vit_b": ("sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    "vit_l": ("sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    "vit_h": ("sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
}
"""Name in segment_anything's registry to file name and SHA-256."""
ABSENT = (
    f"SAM needs a checkpoint: download {SERVER}/{KNOWN['vit_b'][0]} (375 MB; or "
    f"{KNOWN['vit_l'][0]}, {KNOWN['vit_h'][0]}) and pass checkpoint=/path/to/it; method=blobs needs none"
)
NOT_INSTALLED = "SAM needs a package: pip install segment-anything==1.0 (or mlproject[sam])"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified file: where it is, its network's name in the registry, its SHA-256."""

    path: Path
    model: str
    sha256: str


def find_checkpoint(spec: str) -> Checkpoint:
    """The checkpoint at a path, verified against the three that were published.

    Raises: WrongUse where none is given or the package is missing, BadInput where there is no file,
    DigestMismatch for any other content.
    """
    if not spec:
        raise WrongUse(ABSENT)
    if not installed():
        raise WrongUse(NOT_INSTALLED)
    path = Path(os.path.abspath(os.path.expanduser(spec)))
    if not path.is_file():
        raise BadInput(f"no checkpoint at {path}; {ABSENT}")
    found = sha256_file(path)
    for model, (_, expected) in KNOWN.items():
        if found == expected:
            return Checkpoint(path=path, model=model, sha256=found)
    raise DigestMismatch(
        f"{path} has SHA-256 {found[:16]}…, which is none of {', '.join(KNOWN)}: "
        f"delete it and download it again from {SERVER}"
    )


def installed() -> bool:
    """Whether the optional package is here, without importing it (and torch)."""
    return importlib.util.find_spec("segment_anything") is not None


def load_sam(checkpoint: Checkpoint) -> Any:
    """The network in eval mode, without gradients, on the CPU.

    Raises: BadInput when the content does not fit the network or is not finite.
    """
    import torch
    from segment_anything import sam_model_registry

    net = sam_model_registry[checkpoint.model]()
    try:
        state = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
        net.load_state_dict(state, strict=True)
    except Exception as error:  # readers raise some ten types here
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{checkpoint.path} does not fit {checkpoint.model}: {first[:200]}") from error
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise BadInput(f"{checkpoint.path} holds values that are not finite")
    return net.eval().requires_grad_(False)
