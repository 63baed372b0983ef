"""Any torchvision classifier by its torchvision name, cut before its last layer."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torchvision
from torch import nn

from mlproject.errors import BadInput
from mlproject.models.model import Model, Pinned, Preprocess

SET_NAME = "IMAGENET1K_V1"
N_CLASSES = 1000
# Their published weights were trained with other means, which these networks undo themselves.
EXTRA_ARGUMENTS: dict[str, dict[str, bool]] = {
    "googlenet": {"transform_input": True, "init_weights": True},
    "inception_v3": {"transform_input": True, "init_weights": True},
}


def torchvision_names() -> list[str]:
    """Names of all torchvision classifiers."""
    return list(torchvision.models.list_models(module=torchvision.models))


@functools.lru_cache
def torchvision_model(name: str) -> Model:
    """The model of a torchvision classifier, counted without making its weights.

    Raises: BadInput when the network has no last layer of 1,000 classes to cut off.
    """
    with torch.device("meta"):
        full = _full(name)
        classifier, width = _last_layer(name, full)
        body = _cut(full, classifier)
    pinned, preset = _published(name)
    return Model(
        name=name,
        family="torchvision",
        side=preset.crop,
        width=width,
        preprocess=preset,
        n_params_body=sum(p.numel() for p in body.parameters()),
        imagenet=pinned,
        classifier=classifier + ".",
        fixed_side=name.startswith(("vit", "maxvit")),
        build=lambda: _cut(_full(name), classifier),
    )


def _full(name: str) -> nn.Module:
    arguments = EXTRA_ARGUMENTS.get(name, {})
    net: nn.Module = torchvision.models.get_model(name, weights=None, **arguments)
    return net


def _last_layer(name: str, net: nn.Module) -> tuple[str, int]:
    for path, module in reversed(list(net.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == N_CLASSES:
            return path, module.in_features
        if isinstance(module, nn.Conv2d) and module.out_channels == N_CLASSES:
            return path, module.in_channels
    raise BadInput(f"{name} ends in no layer of {N_CLASSES} classes, so there are no features to take")


def _cut(net: nn.Module, path: str) -> nn.Module:
    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    return net


def _published(name: str) -> tuple[Pinned | None, Preprocess]:
    sets = torchvision.models.get_model_weights(name).__members__
    chosen = sets.get(SET_NAME)
    # Without V1, the set of the smallest side is the one that fits the network as built.
    presets = [member.transforms() for member in ([chosen] if chosen else sets.values())]
    preset = min(presets, key=lambda found: found.crop_size[0])
    crop = int(preset.crop_size[0])
    preprocess = Preprocess(
        resize=max(int(preset.resize_size[0]), crop),
        crop=crop,
        mean=_triple(preset.mean),
        std=_triple(preset.std),
        interpolation=preset.interpolation.value,
    )
    if chosen is None:
        return None, preprocess
    file = chosen.url.rpartition("/")[2]
    digits = file.removesuffix(".pth").rpartition("-")[2]
    return Pinned(set_name=SET_NAME, file=file, sha256=digits, url=chosen.url), preprocess


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
