"""Backbones of torchvision: any of its classifiers by its name, with any of its published sets of weights.

Classifiers are cut before their last layer; those with a row are ResNet and ResNeXt (He et al. 2015, arXiv
1512.03385; Xie et al. 2016, arXiv 1611.05431) and ViT-B/16.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput, unknown
from mlproject.models.model import (
    TORCHVISION_SET,
    Model,
    Pinned,
    Preprocess,
    torchvision_weights,
)

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

N_CLASSES = 1000
AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Second classifiers of GoogLeNet and Inception v3, which see the middle of the network in training alone."""
# Their published weights were trained with other means, which these networks undo themselves.
EXTRA_ARGUMENTS: dict[str, dict[str, bool]] = {
    "googlenet": {"transform_input": True, "init_weights": True},
    "inception_v3": {"transform_input": True, "init_weights": True},
}


@functools.cache
def torchvision_names() -> list[str]:
    """Names of all torchvision classifiers."""
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


@functools.lru_cache
def torchvision_model(name: str, set_name: str = TORCHVISION_SET) -> Model:
    """The model of a torchvision classifier, counted without making its weights.

    With another ``set_name`` than V1: as that set of weights needs it, with its own preprocessing and side.

    Raises: BadInput when the network has no last layer of 1,000 classes to cut off; WrongUse for a set that
    torchvision does not have.
    """
    from mlproject.models.structure import hollow

    pinned, preprocess = _published(name, set_name)
    fixed = name.startswith(("vit", "maxvit"))
    side = preprocess.crop if name.startswith("vit") and set_name != TORCHVISION_SET else None
    full = hollow(lambda: _full(name, side))
    classifier, width = _last_layer(name, full)
    body = _cut(full, classifier)
    return Model(
        name=name,
        family="torchvision",
        side=preprocess.crop,
        width=width,
        preprocess=preprocess,
        n_params_body=sum(p.numel() for p in body.parameters()),
        imagenet=pinned,
        classifier=classifier + ".",
        left_out=tuple(f"{part}." for part in AUXILIARY if hasattr(full, part)),
        fixed_side=fixed,
        build=lambda: _cut(_full(name, side), classifier),
    )


def _full(name: str, side: int | None = None) -> Module:
    """The whole classifier; a ViT has one position embedding for each patch of its ``side``."""
    import torchvision

    more: dict[str, Any] = EXTRA_ARGUMENTS.get(name, {}) | ({"image_size": side} if side else {})
    net: Module = torchvision.models.get_model(name, weights=None, **more)
    return net


def _last_layer(name: str, net: Module) -> tuple[str, int]:
    """The path and the input width of the last layer that gives 1,000 classes."""
    from torch import nn

    for path, module in reversed(list(net.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == N_CLASSES:
            return path, module.in_features
        if isinstance(module, nn.Conv2d) and module.out_channels == N_CLASSES:
            return path, module.in_channels
    raise BadInput(f"{name} ends in no layer of {N_CLASSES} classes, so there are no features to take")


def _cut(net: Any, path: str) -> Module:
    """The network without its last layer and without auxiliary classifiers."""
    from torch import nn

    parent, _, child = path.rpartition(".")
    setattr(net.get_submodule(parent), child, nn.Identity())
    for part in AUXILIARY:
        if hasattr(net, part):
            setattr(net, part, None)
            net.aux_logits = False  # with them a network in training returns a tuple
    body: Module = net
    return body


def _published(name: str, set_name: str) -> tuple[Pinned | None, Preprocess]:
    """A published set of weights and its preprocessing; of a model without V1, the preprocessing alone."""
    import torchvision

    sets = torchvision.models.get_model_weights(name).__members__
    known = [each for each, member in sets.items() if each == member.name]  # DEFAULT is another name of one
    chosen = sets[set_name] if set_name in known else None
    if chosen is None and set_name != TORCHVISION_SET:
        raise unknown(f"weights of {name}", set_name, known)
    # Without V1, the set of the smallest side is the one that fits the network as built.
    presets = [member.transforms() for member in ([chosen] if chosen else sets.values())]
    preset = min(presets, key=lambda transform: transform.crop_size[0])
    crop = int(preset.crop_size[0])
    preprocess = Preprocess(
        resize=max(int(preset.resize_size[0]), crop),
        crop=crop,
        mean=triple(preset.mean),
        std=triple(preset.std),
        interpolation=preset.interpolation.value,
    )
    if chosen is None:
        return None, preprocess
    file = chosen.url.rpartition("/")[2]
    digits = file.removesuffix(".pth").rpartition("-")[2]
    return Pinned(set_name=set_name, file=file, sha256=digits, url=chosen.url), preprocess


def triple(values: Any) -> tuple[float, float, float]:
    """Three numbers, one for each channel."""
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _vit_b_16() -> Module:
    """ViT-B/16 without its head (Dosovitskiy et al. 2020, arXiv 2010.11929): the class token, normalised."""
    return _cut(_full("vit_b_16"), "heads")


def _resnet(name: str, width: int, n_params: int, sha256: str) -> Model:
    return Model(
        name=name,
        family=name.partition("_")[0].rstrip("0123456789"),
        side=224,
        width=width,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=n_params,
        imagenet=torchvision_weights(name, sha256),
        classifier="fc.",
        build=lambda: _cut(_full(name), "fc"),
    )


ROWS = (
    _resnet("resnet18", 512, 11_176_512, "f37072fd"),
    _resnet("resnet50", 2048, 23_508_032, "0676ba61"),
    _resnet("resnet101", 2048, 42_500_160, "63fe2227"),
    _resnet("resnext50_32x4d", 2048, 22_979_904, "7cdf4587"),
    _resnet("resnext101_32x8d", 2048, 86_742_336, "8ba56ff5"),
    Model(
        name="vit_b_16",
        family="vit",
        side=224,
        width=768,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=85_798_656,
        imagenet=torchvision_weights("vit_b_16", "c867db91"),
        classifier="heads.",
        fixed_side=True,
        build=_vit_b_16,
    ),
)
