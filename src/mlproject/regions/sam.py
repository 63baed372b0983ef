"""Masks from Segment Anything (SAM), through its own predictor and automatic mask generator.

Points of one ``predict`` call describe one object, so all points of an image go through the batched call,
[N, 1, 2]. One point is ambiguous (part, object, group): of the three masks the one with the highest
predicted IoU is taken. Masks are decided at the network's own resolution (longest side 1024) and enlarged to
larger images, where SAM's own enlargement of every candidate would need gigabytes.
Source: Kirillov et al. 2023, arXiv 2304.02643, section 3 and appendix A.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.utils.amg import calculate_stability_score

from mlproject.data import digest_of_pixels
from mlproject.device import find_device, find_n_threads
from mlproject.errors import BadInput
from mlproject.files import sha256, write_atomic
from mlproject.regions.blobs import Mask, Pixels, require_rgb
from mlproject.regions.settings import Checkpoint

Point = tuple[int, int]
STABILITY_OFFSET = 1.0
"""Shift of the threshold on logits between the two masks whose overlap is the stability score."""


@dataclass(frozen=True, kw_only=True)
class SamMask:
    """The mask [H, W] of one object, the index of its prompt, and SAM's scores.

    ``scores`` are the predicted IoUs of all candidates, ``chosen`` the index of the highest.
    ``stability`` is the overlap of the masks at thresholds one logit up and down; None for an empty mask.
    """

    prompt: int
    mask: Mask
    scores: tuple[float, ...]
    chosen: int
    stability: float | None
    logits_sha256: str


def load_sam(checkpoint: Checkpoint) -> Any:
    """The network in eval mode, without gradients, on the CPU.

    Raises: BadInput when the content does not fit the network or is not finite.
    """
    net = sam_model_registry[checkpoint.model]()
    try:
        state = torch.load(checkpoint.path, map_location="cpu", weights_only=True)
        net.load_state_dict(state, strict=True)
    except Exception as error:  # readers raise many types here
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"{checkpoint.path} does not fit {checkpoint.model}: {first[:200]}") from error
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise BadInput(f"{checkpoint.path} holds values that are not finite")
    return net.eval().requires_grad_(False)


class CachedPredictor(SamPredictor):  # type: ignore[misc]
    """SAM's predictor, with the embeddings of images cached in the folder ``kept``.

    ``n_embedded`` counts the images that went through the encoder.
    """

    def __init__(self, network: Any, kept: Path) -> None:
        super().__init__(network)
        self.kept = kept
        self.n_embedded = 0

    def set_image(self, image: NDArray[Any], image_format: str = "RGB") -> None:
        """Set the image, uint8 RGB, for the prompts that follow. Raises: BadInput for any other array."""
        require_rgb(image)
        shrunk = self.transform.apply_image(image)
        path = self.kept / f"{digest_of_pixels(shrunk)}.safetensors"
        embedding = _read(path)
        if embedding is None:
            super().set_image(image, image_format)
            self.n_embedded += 1
            _write(path, self.get_image_embedding().cpu().numpy())
            return
        self.features = torch.from_numpy(embedding).to(self.device)
        self.original_size, self.input_size = image.shape[:2], shrunk.shape[:2]
        self.is_image_set = True


def _write(path: Path, embedding: NDArray[np.float32]) -> None:
    content = np.ascontiguousarray(embedding, "<f4")
    write_atomic(path, save({"embedding": content}, {"sha256": sha256(content.tobytes())}))


def _read(path: Path) -> NDArray[np.float32] | None:
    """An embedding, or None where it is absent or damaged."""
    with contextlib.suppress(OSError, SafetensorError), safe_open(path, framework="numpy") as file:
        embedding: NDArray[np.float32] = file.get_tensor("embedding")
        if sha256(embedding.tobytes()) == (file.metadata() or {}).get("sha256"):
            return embedding
    return None


@dataclass
class Sam:
    """The network of a checkpoint, loaded when first used; embeddings are cached below ``root``."""

    checkpoint: Checkpoint
    root: Path
    _predictor: CachedPredictor | None = field(default=None, repr=False)

    @property
    def predictor(self) -> CachedPredictor:
        """The predictor on this machine's device."""
        if self._predictor is None:
            torch.set_num_threads(find_n_threads())
            network = load_sam(self.checkpoint).to(find_device())
            kept = self.root / f"sam-embeddings-{self.checkpoint.sha256[:16]}"
            self._predictor = CachedPredictor(network, kept)
        return self._predictor

    def masks(self, image: Pixels, points: Sequence[Point]) -> Iterator[SamMask]:
        """The best mask for each point, (x, y) in pixels of ``image``, [H, W, 3]; one batched call."""
        predictor, size = self.predictor, (image.shape[0], image.shape[1])
        predictor.set_image(image)
        if max(size) > predictor.transform.target_length:
            predictor.original_size = predictor.input_size
        coordinates = predictor.transform.apply_coords(np.array(points, np.float64)[:, None], size)
        logits, scores, low = predictor.predict_torch(
            torch.as_tensor(coordinates, dtype=torch.float, device=predictor.device),
            torch.ones(len(points), 1, dtype=torch.int, device=predictor.device),
            return_logits=True,
        )
        threshold = float(predictor.model.mask_threshold)
        for i, chosen in enumerate(scores.argmax(1).tolist()):
            best = logits[i, chosen]
            stability = float(calculate_stability_score(best[None], threshold, STABILITY_OFFSET)[0])
            yield SamMask(
                prompt=i,
                mask=_enlarged(best.cpu().numpy(), size) > threshold,
                scores=tuple(scores[i].tolist()),
                chosen=chosen,
                stability=stability if np.isfinite(stability) else None,
                logits_sha256=sha256(np.ascontiguousarray(low[i, chosen].cpu().numpy(), "<f4").tobytes()),
            )

    def proposals(self, image: Pixels, points: Sequence[Point]) -> Iterator[SamMask]:
        """For each point, the best of the automatic generator's masks that contain it; each mask once.

        The generator's own defaults: 32 points a side, predicted IoU above 0.88, stability from 0.95.
        """
        predictor, size = self.predictor, (image.shape[0], image.shape[1])
        generator = SamAutomaticMaskGenerator(predictor.model)
        generator.predictor = predictor
        require_rgb(image)
        large = max(size) > predictor.transform.target_length
        records = generator.generate(predictor.transform.apply_image(image) if large else image)
        records.sort(key=lambda record: -record["predicted_iou"])
        masks = [_resized(record["segmentation"], size) for record in records]
        taken: set[int] = set()
        for i, (x, y) in enumerate(points):
            best = next((n for n, mask in enumerate(masks) if mask[y, x]), None)
            if best is None or best in taken:
                continue
            taken.add(best)
            yield SamMask(
                prompt=i,
                mask=masks[best],
                scores=(float(records[best]["predicted_iou"]),),
                chosen=0,
                stability=float(records[best]["stability_score"]),
                logits_sha256="",
            )


def _enlarged(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    if logits.shape == size:
        return logits
    return np.asarray(cv2.resize(logits, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    if mask.shape == size:
        return mask
    as_bytes = mask.astype(np.uint8)
    return cv2.resize(as_bytes, (size[1], size[0]), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
