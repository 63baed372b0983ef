"""Load weights into a frozen network: digest, restricted unpickling, strict keys and shapes, finite values.

Checked in this order, so that no unverified file is parsed and no tensor is read before its shape fits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mlproject.errors import BadInput
from mlproject.files import sha256_file
from mlproject.models.model import Model, Weights
from mlproject.models.weights import fetch_weights, verify

log = logging.getLogger(__name__)

NOISE_BATCH = 16
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training scripts save a state dict."""


def load(model: Model, weights: Weights) -> nn.Module:
    """The network with its weights, in eval mode, no gradients.

    Raises: DigestMismatch; BadInput when the file cannot be read, does not fit or is not finite.
    """
    net = random_backbone(model, weights.seed) if weights.kind == "random" else _read(model, weights)
    return net.eval().requires_grad_(False)


def random_backbone(model: Model, seed: int) -> nn.Module:
    """The network with its family's own initialisation, drawn from ``seed`` alone.

    BatchNorm statistics are set once from one seeded batch of noise (16 images of half the side), so
    that activations keep unit scale at every depth; no image of any data set has a part in them. The
    global random state is left as it was.
    """
    generator = torch.default_generator
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        net = model.build()
        _settle_norms(net, _noise(max(32, model.side // 2)))
    finally:
        generator.set_state(state)
    return net


def weights_sha256(model: Model, weights: Weights) -> str:
    """SHA-256 of the weights file as it is on disk, or the name of the random seed."""
    if weights.kind == "random":
        return weights.digest
    return sha256_file(weights.path or fetch_weights(model))


def _read(model: Model, weights: Weights) -> nn.Module:
    path = weights.path or fetch_weights(model)
    pinned = model.imagenet
    known = pinned.sha256 if weights.kind == "imagenet" and pinned else weights.digest.partition(":")[2]
    digest = verify(path, known)
    log.info("weights of %s: %s, SHA-256 %s", model.name, path.name, digest)
    state = _body(_state_dict(path), model)
    net = model.build()
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise BadInput(f"{path} does not fit {model.name}: {' '.join(lines)[:300]}") from error
    _require_finite(net, path)
    return net


def _state_dict(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Readers raise some ten different types here, a few with an empty text.
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{path} cannot be read as weights: {first[:200]}") from error
    if isinstance(content, Mapping):
        content = next((content[w] for w in WRAPPERS if isinstance(content.get(w), Mapping)), content)
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise BadInput(f"{path} holds no state dict (a mapping of names to tensors)")
    return content


def _body(state: Mapping[str, Any], model: Model) -> dict[str, Tensor]:
    bare = {name.removeprefix("module."): value for name, value in state.items()}
    return {name: value for name, value in bare.items() if not name.startswith(model.classifier)}


def _require_finite(net: nn.Module, path: Path) -> None:
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"{path} holds values that are not finite (first: {name})")


def _noise(side: int) -> Tensor:
    # Equal parts of noise at four grains: smooth areas and edges, as pictures have, at unit variance.
    grains = [max(1, side // coarse) for coarse in (1, 4, 16, side)]
    layers = [torch.randn(NOISE_BATCH, 3, grain, grain) for grain in grains]
    scaled = [nn.functional.interpolate(layer, size=(side, side)) for layer in layers]
    return torch.stack(scaled).sum(0).div(len(scaled) ** 0.5)


def _settle_norms(net: nn.Module, noise: Tensor) -> None:
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        net(noise)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
