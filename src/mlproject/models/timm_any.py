"""Any timm model as ``timm:name`` (optional extra): random weights or a local checkpoint."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput, unknown
from mlproject.models.model import Model, Preprocess

if TYPE_CHECKING:
    from torch.nn import Module
else:
    Module = Any


@functools.lru_cache
def timm_model(name: str) -> Model:
    """The timm model behind ``timm:name``, counted without making its weights.

    Its published weights are not pinned here, so ``weights=imagenet`` is refused.
    Raises: BadInput without timm, WrongUse for a name that timm does not know.
    """
    try:
        import timm
    except ImportError as error:
        raise BadInput(f"{name} needs timm: pip install 'mlproject[timm]'") from error
    import torch

    bare = name.partition(":")[2]
    if not timm.is_model(bare):
        raise unknown("timm model", bare, timm.list_models())

    def build() -> Module:
        net: Module = timm.create_model(bare, pretrained=False, num_classes=0)
        return net

    with torch.device("meta"):
        body: Any = build()
    preprocess = _preprocess(timm.data.resolve_model_data_config(body))
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


def _preprocess(found: dict[str, Any]) -> Preprocess:
    side = int(found["input_size"][-1])
    return Preprocess(
        resize=max(side, int(side / found["crop_pct"])),
        crop=side,
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
        interpolation="bicubic" if found["interpolation"] == "bicubic" else "bilinear",
    )
