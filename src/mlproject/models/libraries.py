"""Backbones of other libraries: any torchvision classifier by its name, any timm model as ``timm:name``.

torchvision's classifiers are cut before their last layer; those with a row are ResNet and ResNeXt (He et al.
2015, arXiv 1512.03385; Xie et al. 2016, arXiv 1611.05431) and ViT-B/16. timm is an optional package; its
models have random weights or those of a local checkpoint.
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
def torchvision_model(name: str) -> Model:
    """The model of a torchvision classifier, counted without making its weights.

    Raises: BadInput when the network has no last layer of 1,000 classes to cut off.
    """
    from mlproject.models.structure import hollow

    full = hollow(lambda: _full(name))
    classifier, width = _last_layer(name, full)
    body = _cut(full, classifier)
    pinned, preprocess = _published(name)
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
        fixed_side=name.startswith(("vit", "maxvit")),
        build=lambda: _cut(_full(name), classifier),
    )


@functools.lru_cache
def timm_model(name: str) -> Model:
    """The timm model behind ``timm:name``, counted without making its weights.

    Its published weights are not pinned here, so ``weights=imagenet`` is refused.
    Raises: BadInput without timm, WrongUse for a name that timm does not know.
    """
    try:
        import timm
    except ImportError as error:
        raise BadInput(f"{name} needs timm: pip install 'timm>=1.0,<2'") from error
    from mlproject.models.structure import hollow

    bare = name.partition(":")[2]
    if not timm.is_model(bare):
        raise unknown("timm model", bare, timm.list_models())

    def build() -> Module:
        net: Module = timm.create_model(bare, pretrained=False, num_classes=0)
        return net

    body: Any = hollow(build)
    preprocess = _timm_preprocess(timm.data.resolve_model_data_config(body))
    return Model(
        name=name,
        family="timm",
        side=preprocess.crop,
        width=int(body.num_features),
        preprocess=preprocess,
        n_params_body=sum(p.numel() for p in body.parameters()),
        imagenet=None,
        classifier=f"{body.default_cfg['classifier']}.",
        fixed_side=bool(body.default_cfg.get("fixed_input_size", False)),
        build=build,
    )


def _full(name: str) -> Module:
    import torchvision

    net: Module = torchvision.models.get_model(name, weights=None, **EXTRA_ARGUMENTS.get(name, {}))
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


def _published(name: str) -> tuple[Pinned | None, Preprocess]:
    import torchvision

    sets = torchvision.models.get_model_weights(name).__members__
    chosen = sets.get(TORCHVISION_SET)
    # Without V1, the set of the smallest side is the one that fits the network as built.
    presets = [member.transforms() for member in ([chosen] if chosen else sets.values())]
    preset = min(presets, key=lambda transform: transform.crop_size[0])
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
    return Pinned(set_name=TORCHVISION_SET, file=file, sha256=digits, url=chosen.url), preprocess


def _timm_preprocess(config: dict[str, Any]) -> Preprocess:
    side = int(config["input_size"][-1])
    return Preprocess(
        resize=max(side, int(side / config["crop_pct"])),
        crop=side,
        mean=_triple(config["mean"]),
        std=_triple(config["std"]),
        interpolation="bicubic" if config["interpolation"] == "bicubic" else "bilinear",
    )


def _triple(values: Any) -> tuple[float, float, float]:
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
