"""Backbones by name: the table of models, their weights, and how to build them.

Importing this package needs neither torch nor torchvision. To add a family, write one file with the function
that builds its network and the rows ``ROWS`` of the table, and add it to ``MODELS`` here. Any other
torchvision classifier works by its torchvision name, and any timm model as ``timm:name`` (optional package).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlproject.errors import unknown
from mlproject.models import efficientnet_lite, libraries, small
from mlproject.models.model import (
    PREPROCESS_VERSION,
    Model,
    Pinned,
    Preprocess,
    Weights,
    geometry,
    normalise,
    prepare,
    prepare_map,
)
from mlproject.models.weights import (
    RANDOM_VERSION,
    SCRATCH,
    fetch_weights,
    find_weights,
    weights_folder,
)

if TYPE_CHECKING:
    from torch.nn import Module

    from mlproject.models.checkpoint import read_state_dict
    from mlproject.models.layers import Copies, FeatureEncoding, PixelEncoding, SamePad, fourier
    from mlproject.models.loading import fit_state_dict, weights_sha256
    from mlproject.models.structure import (
        Count,
        count,
        fewest_images,
        fitting_inputs,
        freeze_norms,
        plain_attention,
        set_train_mode,
        stages,
        train_last,
    )
else:
    Module = Any

__all__ = [
    "MODELS",
    "PREPROCESS_VERSION",
    "RANDOM_VERSION",
    "SCRATCH",
    "Copies",
    "Count",
    "FeatureEncoding",
    "Model",
    "Pinned",
    "PixelEncoding",
    "Preprocess",
    "SamePad",
    "Weights",
    "count",
    "fetch_weights",
    "fewest_images",
    "find_model",
    "find_weights",
    "fit_state_dict",
    "fitting_inputs",
    "fourier",
    "freeze_norms",
    "geometry",
    "load_backbone",
    "normalise",
    "plain_attention",
    "prepare",
    "prepare_map",
    "read_state_dict",
    "set_train_mode",
    "stages",
    "train_last",
    "weights_folder",
    "weights_sha256",
]

MODELS: dict[str, Model] = {
    model.name: model for rows in (libraries.ROWS, efficientnet_lite.ROWS, small.ROWS) for model in rows
}
"""All models that have a row, by name."""

_DEFERRED = {
    "layers": ("Copies", "FeatureEncoding", "PixelEncoding", "SamePad", "fourier"),
    "checkpoint": ("read_state_dict",),
    "loading": ("fit_state_dict", "weights_sha256"),
    "structure": (
        "Count",
        "count",
        "fewest_images",
        "fitting_inputs",
        "freeze_norms",
        "plain_attention",
        "set_train_mode",
        "stages",
        "train_last",
    ),
}
"""Modules that need torch, and their names: imported when first used."""


def find_model(name: str) -> Model:
    """The model of that name; torchvision is imported only for names that have no row.

    Raises: WrongUse with the near matches, BadInput for ``timm:name`` without timm.
    """
    if name in MODELS:
        return MODELS[name]
    if (model := small.small_model(name)) is not None:
        return model
    if name.startswith("timm:"):
        return libraries.timm_model(name)
    known = libraries.torchvision_names()
    if name not in known:
        raise unknown("model", name, {*MODELS, *known})
    return libraries.torchvision_model(name)


def load_backbone(model: Model, weights: Weights) -> Module:
    """The network with its weights, in eval mode, frozen; [B, 3, side, side] gives [B, width].

    Raises: DigestMismatch, BadInput (unreadable, wrong keys or shapes, not finite).
    """
    from mlproject.models.loading import load

    return load(model, weights)


def __getattr__(name: str) -> Any:
    for module, names in _DEFERRED.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
