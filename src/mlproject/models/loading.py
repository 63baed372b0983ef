"""Load weights into a frozen network: digest, restricted unpickling, strict names and shapes, finite values.

Checked in this order, so that no unverified file is parsed and no tensor is used before its shape fits.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mlproject.errors import BadInput, printable
from mlproject.files import sha256_file
from mlproject.models.checkpoint import N_NAMED, StateDict, read_state_dict
from mlproject.models.depth import cut_at_depth
from mlproject.models.model import Model, Weights
from mlproject.models.small import CLASSIFIER
from mlproject.models.weights import file_of, verified

log = logging.getLogger(__name__)

NOISE_BATCH = 16
COUNTER = "num_batches_tracked"
"""A counter of BatchNorm that has no part in the outputs: it may be absent, or saved as another kind."""
CAST = (torch.float16, torch.bfloat16, torch.float64)
BUFFERS = ("running_mean", "running_var", COUNTER)


def load(model: Model, weights: Weights) -> nn.Module:
    """The network with its weights, in eval mode, no gradients.

    Raises: DigestMismatch; BadInput when the file cannot be read, does not fit or is not finite.
    """
    net = random_backbone(model, weights.seed) if weights.kind == "random" else _read(model, weights)
    return cut_at_depth(net.eval().requires_grad_(False), model)


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
    return sha256_file(file_of(model, weights))


def _read(model: Model, weights: Weights) -> nn.Module:
    path, digest = verified(model, weights)
    log.info("weights of %s: %s, SHA-256 %s", model.name, path.name, digest)
    if weights.kind == "hub" and model.hub is not None:
        net = model.hub.load(path)
        _require_finite(net, path)
        return net
    net, state = model.build(), read_state_dict(path)
    fit_state_dict(net, _body(state, model, net), model.name, hint=_hint(state, model))
    return net


def _body(state: StateDict, model: Model, net: nn.Module) -> StateDict:
    """The state without the parts that a backbone lacks: classifiers, and heads that recipes trained."""
    names, parts = net.state_dict().keys(), (model.classifier, *model.left_out, CLASSIFIER)
    kept = {n: value for n, value in state.tensors.items() if n in names or not n.startswith(parts)}
    return replace(state, tensors=kept)


def fit_state_dict(net: nn.Module, state: StateDict, label: str, *, hint: str = "") -> None:
    """Load the tensors into ``net``: all names, all shapes, numbers of the same kind, and finite.

    Half and double precision become float32 with a warning. ``hint`` ends the message about other names.

    Raises: BadInput in one line.
    """
    wanted, path = net.state_dict(), state.path
    missing = [name for name in wanted if name not in state.tensors and not name.endswith(COUNTER)]
    if missing or not state.tensors.keys() <= wanted.keys():
        raise BadInput(f"{path} {_prefixed(state, wanted) or _misfit(state, label, wanted, missing) + hint}")
    shapes = [n for n, v in state.tensors.items() if v.shape != wanted[n].shape and not n.endswith(COUNTER)]
    if shapes:
        actual, needed = (list(values[shapes[0]].shape) for values in (state.tensors, wanted))
        more = f" ({len(shapes) - 1} others differ too)" if len(shapes) > 1 else ""
        raise BadInput(f"{path} does not fit {label}: {shapes[0]} has shape {actual}, not {needed}{more}")
    counters = {n: v for n, v in state.tensors.items() if n.endswith(COUNTER)}
    tensors = {n: v for n, v in state.tensors.items() if n not in counters}
    whole = {n: v for n, v in counters.items() if v.numel() == 1 and not v.is_floating_point()}
    tensors |= {n: v.reshape(wanted[n].shape) for n, v in whole.items()}  # version 0.2 saved them as [1]
    for name, value in tensors.items():
        if fault := _fault(value, wanted[name]):
            raise BadInput(f"{path}: {name} {fault}")
    if cast := {str(v.dtype).removeprefix("torch.") for v in tensors.values() if v.dtype in CAST}:
        log.warning("weights of %s: %s holds %s, used as float32", label, path, " and ".join(sorted(cast)))
    net.load_state_dict(tensors, strict=False)  # names were compared; counters may be absent
    _require_finite(net, path)


def _require_finite(net: nn.Module, path: Path) -> None:
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BadInput(f"{path} holds values that are not finite (first: {name})")


def _fault(value: Tensor, like: Tensor) -> str:
    """Why a tensor cannot stand for ``like``, and what to do; empty where it can."""
    if value.is_meta:
        return "has a shape but no numbers (meta device): save the network after its weights were loaded"
    if value.layout != torch.strided:
        return "is sparse: save tensor.to_dense()"
    if value.dtype == like.dtype or (like.dtype == torch.float32 and value.dtype in CAST):
        return ""
    kinds = [str(dtype).removeprefix("torch.") for dtype in (value.dtype, like.dtype)]
    return f"holds numbers of type {kinds[0]}, which are not converted: save it as {kinds[1]}"


def _prefixed(state: StateDict, wanted: Mapping[str, Tensor]) -> str:
    """What to do where the network's names all stand behind another prefix; empty where they do not."""
    names = [name for name in wanted if not name.endswith(COUNTER)]
    ends = (other.removesuffix(names[0]) for other in state.tensors if other.endswith(f".{names[0]}"))
    prefixes = [p for p in ends if all(p + name in state.tensors for name in names)]
    if not prefixes:
        return ""
    shown = [state.names[p + names[0]].removesuffix(names[0]) for p in prefixes]
    which = "them" if len(shown) == 1 else "those of the network that you mean"
    chosen = (
        f"k.removeprefix({shown[0]!r}): v for k, v in {state.source}.items() if k.startswith({shown[0]!r})"
    )
    begin = " or ".join(map(repr, shown[:N_NAMED]))
    return f"holds names that begin with {begin}: save {which} alone: torch.save({{{chosen}}}, 'weights.pth')"


def _misfit(state: StateDict, label: str, wanted: Mapping[str, Tensor], missing: Sequence[str]) -> str:
    others = [name for name in state.tensors if name not in wanted]
    parts = (
        [f"{len(missing)} of its {len(wanted)} tensors are missing ({_listed(missing)})"] if missing else []
    )
    parts += [f"the file holds {len(others)} others ({_listed(others)})"] if others else []
    return f"does not fit {label}: {'; '.join(parts)}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name[:40]) for name in names[:N_NAMED])
    return f"{shown}, …" if len(names) > N_NAMED else shown


def _hint(state: StateDict, model: Model) -> str:
    """Which models of the table have as many parameters as the file."""
    from mlproject.models import MODELS

    @functools.cache
    def n_params(classifier: str) -> int:
        weights = {n: v for n, v in state.tensors.items() if not n.startswith(classifier)}
        return sum(value.numel() for name, value in weights.items() if not name.endswith(BUFFERS))

    others = [m.name for m in MODELS.values() if m.n_params_body == n_params(m.classifier) and m != model]
    return f"; it has as many parameters as {' or '.join(others)}" if others else ""


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
