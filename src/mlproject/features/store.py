"""FeatureStore: frozen features computed once per (weights, preprocessing, image, scale).

A later request for the same image, for any dataset size, seed, target or trial, reads the row from disk and
needs no torch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlproject.device import find_device, find_precision
from mlproject.errors import WrongUse, unknown
from mlproject.features.extraction import (
    Extraction,
    Features,
    Finish,
    Images,
    LargeImages,
    RowRequest,
    complete,
    preprocess_values,
)
from mlproject.features.prepared import KEPT, Pixels
from mlproject.features.table import FeatureTable
from mlproject.files import cache_folder
from mlproject.models import Model, Weights, normalise

if TYPE_CHECKING:
    from torch import Tensor

    from mlproject.features.engines import Passes, Runtime
    from mlproject.losses import Report
else:
    Passes = Report = Runtime = Tensor = Any

log = logging.getLogger(__name__)

ENGINES = ("auto", "onnx", "eager")

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

# Shared by all stores of the process, so that a new store loads neither again.
_TABLES: dict[Path, FeatureTable] = {}
_ENGINE: dict[Extraction, Runtime] = {}


def forget() -> None:
    """Release the network, the opened tables (verified again when reopened) and the prepared images."""
    KEPT.clear()
    _TABLES.clear()
    _ENGINE.clear()


class FeatureStore:
    """Features by image digest, stored below ``root`` (default: ``cache_folder()``).

    Stores are cheap: the loaded network and the verified tables belong to the process, not to a store. With
    ``shared`` other processes may add other rows to the same tables at the same time.

    ``n_forwards`` counts images embedded (once per scale), ``n_crops`` the backbone passes that this
    took, ``n_checks`` the passes of eager torch that onnxruntime was compared to.
    """

    def __init__(self, root: Path | None = None, *, shared: bool = False) -> None:
        self.root, self.shared = root or cache_folder(), shared
        self.n_forwards = self.n_crops = self.n_checks = 0

    def features(
        self,
        model: Model,
        weights: Weights,
        images: Images,
        indices: Indices,
        *,
        image_scales: Sequence[float] = (1.0,),
        large_images: LargeImages = "interpolated",
        precision: str = "fp32",
        engine: str = "auto",
        report: Report,
    ) -> Features:
        """Features of ``images`` at ``indices``; only images without a stored row are embedded.

        Raises: WrongUse (unknown engine or precision), BadInput (a scale that does not divide, pixels
        or features that cannot be used), NoRoom, and what loading the weights raises.
        """
        name = find_engine(engine, precision)
        at_one = Extraction(
            model=model, weights=weights, large_images=large_images, precision=precision, engine=name
        )
        before = self.n_forwards, self.n_crops
        matrix = np.empty((len(indices), model.width * len(image_scales)), np.float32)
        metas = []
        for i, image_scale in enumerate(image_scales):
            block = matrix[:, i * model.width : (i + 1) * model.width]
            request = RowRequest(images, indices, block, report, self.shared)
            metas.append(self._fetch(replace(at_one, image_scale=float(image_scale)), request))
        done = self.n_forwards - before[0]
        return Features(
            matrix=matrix,
            n_params=int(metas[0]["n_params"]),
            flops_per_image=float(sum(meta["flops_per_image"] for meta in metas)),
            provenance=_provenance(model, weights, metas[0], done),
            n_forwards=done,
            n_crops=self.n_crops - before[1],
            crops_per_image=sum(int(meta["n_crops"]) for meta in metas),
        )

    def pixels(
        self, model: Model, images: Images, indices: Indices, *, count: int = 512, report: Report
    ) -> Floats:
        """The first ``count`` values of the normalised input ([3, S, S] flattened): [n, count].

        Raises: WrongUse when the input has fewer values.
        """
        preprocess = model.preprocess
        if not 1 <= count <= 3 * preprocess.crop**2:
            raise WrongUse(f"count must lie in 1..{3 * preprocess.crop**2}, not {count}")
        table = self._table({"pixels": count, "preprocess": preprocess_values(preprocess)}, count)

        def compute(pixels: Pixels) -> Finish:
            # The table's lock is held here, so that no other process removes the file while it is written.
            if table.read_meta() is None:
                table.write_meta({})
            rows = normalise(preprocess, pixels).reshape(len(pixels), -1)[:, :count].copy()
            return lambda: rows

        matrix = np.empty((len(indices), count), np.float32)
        complete(table, RowRequest(images, indices, matrix, report, self.shared), preprocess, compute)
        return matrix

    def _fetch(self, extraction: Extraction, request: RowRequest) -> dict[str, Any]:
        table = self._table(extraction.key, extraction.model.width)
        meta = table.read_meta() or {}
        if "refused" in meta:
            return self._fetch(replace(extraction, engine="eager"), request)

        passes: Passes | None = None

        def compute(pixels: Pixels) -> Finish:
            nonlocal meta, passes
            if passes is None:  # torch is imported where something is missing, not before
                from mlproject.features.engines import Passes as passes_of

                passes = passes_of(extraction, partial(self._ready, extraction))
            finish = passes.embed(pixels)
            meta = meta or _describe(table, extraction, passes.note)
            self.n_forwards += len(pixels)
            self.n_crops += len(pixels) * extraction.n_crops
            return finish

        try:
            complete(table, request, extraction.preprocess, compute)
        except _EngineRefused as refusal:
            log.warning("onnxruntime is not used for %s: %s; torch is used", extraction.model.name, refusal)
            table.write_meta({"refused": str(refusal)})
            return self._fetch(replace(extraction, engine="eager"), request)
        meta = meta or _describe(table, extraction, "not recorded")
        if passes is not None and (speed := passes.speed()):
            table.write_meta(meta | {"speed": speed})
        return meta

    def _table(self, key: dict[str, Any], width: int) -> FeatureTable:
        table = FeatureTable(self.root, key, width)
        return _TABLES.setdefault(table.folder, table)

    def _ready(self, extraction: Extraction, crops: Tensor) -> Runtime:
        """The engine of an extraction, made and checked by its first crops where it is not loaded."""
        # A torch engine takes crops of any side; an exported network is fixed to one side.
        side = 1.0 if extraction.engine == "eager" else extraction.crop_side / extraction.model.side
        same = replace(extraction, image_scale=side, large_images="interpolated")
        if same not in _ENGINE:
            _ENGINE.clear()  # frees the last network before the next one is loaded
            _ENGINE[same] = self._make(extraction, crops)
        return _ENGINE[same]

    def _make(self, extraction: Extraction, crops: Tensor) -> Runtime:
        from mlproject.features.engines import N_CHECKED, Disagreement, eager_engine, onnx_engine
        from mlproject.models import load_backbone

        backbone = load_backbone(extraction.model, extraction.weights)
        if extraction.engine == "eager":
            return eager_engine(backbone, find_device(), find_precision(extraction.precision))
        self.n_checks += min(N_CHECKED, len(crops))
        try:
            return onnx_engine(backbone, crops.numpy())
        except Disagreement as error:
            raise _EngineRefused(str(error)) from error


class _EngineRefused(Exception):
    """onnxruntime cannot be used for this network."""


def find_engine(engine: str, precision: str) -> str:
    """The engine of that name; for ``auto``, the one that suits device and precision. Raises: WrongUse."""
    find_precision(precision)
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if engine == "auto":
        return "onnx" if find_device() == "cpu" and precision == "fp32" else "eager"
    if engine == "onnx" and precision != "fp32":
        raise WrongUse(f"engine onnx computes in fp32 only, not {precision}; use engine=eager")
    return engine


def _describe(table: FeatureTable, extraction: Extraction, engine_note: str) -> dict[str, Any]:
    from mlproject.models import count, weights_sha256

    counted = count(extraction.model, extraction.crop_side)
    described = {
        "n_params": counted.n_params,
        "flops_per_image": counted.flops * extraction.n_crops,
        "n_crops": extraction.n_crops,
        "weights_label": extraction.weights.label,
        "weights_sha256": weights_sha256(extraction.model, extraction.weights),
        "engine_note": engine_note,
    }
    table.write_meta(described)
    return {"key": table.key, **described}


def _provenance(model: Model, weights: Weights, meta: dict[str, Any], n_forwards: int) -> dict[str, str]:
    key = meta["key"]
    where = {"weights_revision": weights.revision, "model_source": model.source}
    return {name: value for name, value in where.items() if value} | {
        "weights": weights.label,
        "weights_digest": weights.digest,
        "weights_sha256": str(meta["weights_sha256"]),
        "engine": str(key["engine"]),
        "engine_note": str(meta["engine_note"]),
        "precision": str(key["precision"]),
        "layer": str(key["layer"]),
        "preprocess": json.dumps(key["preprocess"], sort_keys=True),
        "forwards_done_now": str(n_forwards),
    }
