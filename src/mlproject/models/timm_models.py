"""Backbones of timm: ``timm:NAME`` or ``timm:NAME.TAG``, where the tag names one of its published weights.

timm's tag decides input side, mean, standard deviation, crop and interpolation, and timm's own loader reads
the file, which lies in the cache of the Hugging Face Hub (``hub``).
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.models.libraries import triple
from mlproject.models.model import PREPROCESS_VERSION, Hub, Model, Preprocess

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

PREFIX = "timm:"
FILES = ("model.safetensors", "pytorch_model.bin")
"""What timm looks for in a repository, in its order."""
FITS = {"center": "shorter side", "squash": "squash"}


@functools.lru_cache
def timm_model(name: str, *, published: bool = False) -> Model:
    """The timm model behind ``timm:name``, counted without making its weights.

    ``published``: with the weights of its tag, or of timm's default tag, which then is part of the name.
    Raises: BadInput without timm, WrongUse for a name or tag that timm does not know.
    """
    timm = _timm(name)
    bare = name.removeprefix(PREFIX)
    config = _config(timm, bare)
    if published and config is not None and config.tag:
        bare = f"{bare.partition('.')[0]}.{config.tag}"

    def build() -> Module:
        net: Module = timm.create_model(bare, pretrained=False, num_classes=0)
        return net

    body, width = _measured(name, build)
    preprocess = _preprocess(name, timm.data.resolve_model_data_config(body))
    first, *others = _classifiers(body)
    return Model(
        name=PREFIX + bare,
        family="timm",
        side=preprocess.crop,
        width=width,
        preprocess=preprocess,
        n_params_body=sum(p.numel() for p in body.parameters()),
        imagenet=None,
        classifier=first,
        left_out=tuple(others),
        fixed_side=bool(body.pretrained_cfg.get("fixed_input_size", False)),
        hub=_hub(bare, config) if published else None,
        digest=description_digest(preprocess) if published else "",
        source=f"timm {timm.__version__}",
        build=build,
    )


def description_digest(preprocess: Preprocess, **more: str) -> str:
    """16 digits of the SHA-256 of a preprocessing, and of what else a model's name leaves open."""
    content = {**asdict(preprocess), "version": PREPROCESS_VERSION, **more}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def has(name: str) -> bool:
    """Whether timm knows an architecture of this name, with or without a tag."""
    try:
        return bool(_timm(name).is_model(name.partition(".")[0]))
    except BadInput:
        return False


def _timm(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        remedy = "run `pip install -e .` in this repository's checkout, which installs it"
        raise BadInput(f"{name} needs timm, which this environment lacks; {remedy}") from error
    return timm


def _config(timm: Any, bare: str) -> Any:
    """What timm knows of a tag, None where an architecture has none. Raises: WrongUse for unknown names."""
    architecture, _, tag = bare.partition(".")
    if not bare:
        raise WrongUse(f"model={PREFIX} names no model of timm, for example {PREFIX}vit_small_patch14_dinov2")
    if not timm.is_model(architecture):
        raise unknown("timm model", bare, timm.list_models())
    try:
        return timm.get_pretrained_cfg(bare)
    except RuntimeError:
        raise unknown(f"tag of timm:{architecture}", tag, _tags(timm, architecture)) from None


def _tags(timm: Any, architecture: str) -> list[str]:
    names = timm.list_pretrained(f"{architecture}.*")
    return [name.partition(".")[2] for name in names if name.partition(".")[0] == architecture]


def _measured(name: str, build: Callable[[], Module]) -> tuple[Any, int]:
    """The network on the meta device, and the width of its features."""
    import torch

    from mlproject.models.structure import hollow

    body: Any = hollow(build).eval()
    channels, height, width = body.pretrained_cfg["input_size"]
    if channels != 3 or height != width:
        raise BadInput(f"{name} takes inputs of {channels} x {height} x {width}, not square colour pictures")
    with torch.no_grad():
        shape = body(torch.empty(1, 3, height, width, device="meta")).shape
    if len(shape) != 2:
        raise BadInput(f"{name} gives features of shape {list(shape[1:])}, not one vector an image")
    return body, int(shape[1])


def _classifiers(body: Any) -> list[str]:
    names = body.pretrained_cfg.get("classifier") or ()
    return [f"{name}." for name in ([names] if isinstance(names, str) else names)] or ["head."]


def _preprocess(name: str, config: dict[str, Any]) -> Preprocess:
    side = int(config["input_size"][-1])
    if config["crop_mode"] not in FITS:
        raise BadInput(f"{name} fits pictures by crop mode {config['crop_mode']!r}, of {', '.join(FITS)}")
    return Preprocess(
        resize=max(side, int(side / config["crop_pct"])),
        crop=side,
        mean=triple(config["mean"]),
        std=triple(config["std"]),
        interpolation="bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        fit="squash" if config["crop_mode"] == "squash" else "shorter side",
    )


def _hub(bare: str, config: Any) -> Hub | None:
    """Where the weights of a tag are; None where timm has none on the Hub."""
    if config is None or not config.hf_hub_id:
        return None
    files = (config.hf_hub_filename,) if config.hf_hub_filename else FILES
    return Hub(repo=config.hf_hub_id, files=files, load=functools.partial(_load, bare))


def _load(bare: str, path: Path) -> Module:
    """The network with the weights in a file of its tag, read and renamed by timm, without its classifier.

    timm loads all names and shapes strictly only with the classifier of the tag, so it is cut off after.
    Raises: BadInput when they do not fit.
    """
    import timm

    try:
        net: Any = timm.create_model(bare, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except Exception as error:  # of safetensors, of restricted unpickling, of names and shapes
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{path} cannot be read as weights of timm:{bare}: {reason}") from error
    net.reset_classifier(0)
    body: Module = net
    return body
