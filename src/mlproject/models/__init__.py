"""Backbones by name: the table of models, their weights, and how to build them.

Importing this package needs neither torch nor torchvision. To add a family, write one file with the function
that builds its network and the rows ``ROWS`` of the table, and add it to ``MODELS`` here. Any other
torchvision classifier works by its torchvision name, and any timm model as ``timm:name``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mlproject.errors import WrongUse, shown, unknown
from mlproject.models import efficientnet_lite, hub, libraries, models_file, small, timm_models
from mlproject.models.model import (
    PREPROCESS_VERSION,
    TORCHVISION_SET,
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
    names_published,
    names_set,
    weights_folder,
)

if TYPE_CHECKING:
    from torch.nn import Module

    from mlproject.models.checkpoint import read_state_dict
    from mlproject.models.depth import at_depth
    from mlproject.models.layers import Copies, FeatureEncoding, PixelEncoding, fourier, trace
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
    "Weights",
    "at_depth",
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
    "trace",
    "train_last",
    "weights_folder",
    "weights_sha256",
]

MODELS: dict[str, Model] = {
    model.name: model
    for rows in (
        libraries.ROWS,
        efficientnet_lite.ROWS,
        small.ROWS,
    )
    for model in rows
}
"""All models that have a row, by name."""

_DEFERRED = {
    "layers": ("Copies", "FeatureEncoding", "PixelEncoding", "fourier", "trace"),
    "checkpoint": ("read_state_dict",),
    "depth": ("at_depth",),
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


def find_model(name: str, weights: str = "") -> Model:
    """The model of that name, as ``weights`` need it: some have their own preprocessing, or another side.

    torchvision and timm are imported only for what has no row, and a user's code (``models_file``) only for a
    model of theirs.

    Raises: WrongUse with the near matches, BadInput for ``timm:name`` where timm is broken.
    """
    if name.startswith(timm_models.PREFIX):
        return _timm_model(name, weights)
    if (of_user := models_file.model_of_file(name, _shipped)) is not None:
        return of_user
    other_set = weights if names_set(weights) and weights != TORCHVISION_SET else ""
    model = MODELS.get(name) or small.small_model(name)
    if model is not None and not other_set:
        return model
    known = libraries.torchvision_names()
    if name in known:
        return libraries.torchvision_model(name, other_set or TORCHVISION_SET)
    if model is not None:
        raise WrongUse(f"{name} is no model of torchvision, so it has no weights {shown(weights)}")
    if timm_models.has(name):
        raise WrongUse(f"unknown model {shown(name)}; timm has it: model={timm_models.PREFIX}{name}")
    raise unknown("model", name, {*MODELS, *known, *models_file.names()})


def _shipped() -> set[str]:
    return {*MODELS, *libraries.torchvision_names()}


def _timm_model(name: str, weights: str) -> Model:
    """A timm model; with its published weights where they are named, or ``auto`` finds them in the cache."""
    if names_published(weights):
        return timm_models.timm_model(name, published=True)
    if weights == "auto":
        model = timm_models.timm_model(name, published=True)
        if model.hub is not None and hub.cached(model.hub, hub.MAIN):
            return model
    return timm_models.timm_model(name)


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
