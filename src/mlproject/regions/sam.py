"""Masks from Segment Anything (SAM), through its own predictor and automatic mask generator.

Points of one ``predict`` call describe one object, so all points of an image go through the batched call,
[N, 1, 2]. One point is ambiguous (part, object, group): of the three masks the one with the highest
predicted IoU is taken. Masks are decided at the network's own resolution (longest side 1024) and enlarged to
larger images, where SAM's own enlargement of every candidate would need gigabytes.
Source: Kirillov et al. 2023, arXiv 2304.02643, section 3 and appendix A.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling import Sam as SamNetwork
from segment_anything.utils.amg import calculate_stability_score
from torch import Tensor

from mlproject.data import digest_of_pixels
from mlproject.device import find_device, find_n_threads
from mlproject.errors import BadInput, one_line
from mlproject.files import require_regular, sha256, write_atomic
from mlproject.models import fit_state_dict, read_state_dict
from mlproject.regions.blobs import Mask, Pixels, require_rgb
from mlproject.regions.finder import EMBEDDINGS
from mlproject.regions.settings import CUSTOM, Checkpoint

log = logging.getLogger(__name__)

Point = tuple[int, int]
PIXELS = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
"""Mean and standard deviation of pixels in 0..255 that all of SAM's networks subtract and divide by."""
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
    state = read_state_dict(checkpoint.path)
    if checkpoint.model == CUSTOM:
        net = _network_of(state.tensors, checkpoint)
    else:
        net = sam_model_registry[checkpoint.model]()
    fit_state_dict(net, state, checkpoint.label)
    return net.eval().requires_grad_(False)


def _network_of(tensors: Mapping[str, Tensor], checkpoint: Checkpoint) -> Any:
    """SAM in the sizes that a checkpoint's tensors have, built as segment_anything builds its own."""
    try:
        encoder, width = _encoder_of(tensors), tensors["image_encoder.neck.0.weight"].shape[0]
        side, grid = encoder.img_size, tensors["image_encoder.pos_embed"].shape[1]
        prompts = PromptEncoder(
            embed_dim=width,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=tensors["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        )
        return SamNetwork(encoder, prompts, _decoder_of(tensors, width, checkpoint.heads), *PIXELS)
    except KeyError as error:
        raise BadInput(f"{checkpoint.path} is no network of segment_anything: it has no {error}") from error
    except (AssertionError, ValueError, ZeroDivisionError) as error:
        raise BadInput(
            f"{checkpoint.path}: no network of segment_anything has these sizes with {checkpoint.heads} "
            f"attention heads ({one_line(error)}); name those of its mask decoder: checkpoint={CUSTOM}/2:…"
        ) from error


def _encoder_of(tensors: Mapping[str, Tensor]) -> Any:
    dim, _, patch, _ = tensors["image_encoder.patch_embed.proj.weight"].shape
    grid, depth = tensors["image_encoder.pos_embed"].shape[1], _count(tensors, "image_encoder.blocks.")
    positions = [tensors[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    sides = [(length + 1) // 2 for length, _ in positions]
    return ImageEncoderViT(
        img_size=grid * patch,
        patch_size=patch,
        embed_dim=dim,
        depth=depth,
        num_heads=dim // positions[0][1],
        mlp_ratio=tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / dim,
        out_chans=tensors["image_encoder.neck.0.weight"].shape[0],
        qkv_bias="image_encoder.blocks.0.attn.qkv.bias" in tensors,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=min(sides) if min(sides) < grid else 0,
        global_attn_indexes=tuple(i for i, side in enumerate(sides) if side == grid),
    )


def _decoder_of(tensors: Mapping[str, Tensor], width: int, heads: int) -> Any:
    layers = "mask_decoder.transformer.layers."
    return MaskDecoder(
        num_multimask_outputs=tensors["mask_decoder.mask_tokens.weight"].shape[0] - 1,
        transformer_dim=width,
        transformer=TwoWayTransformer(
            depth=_count(tensors, layers),
            embedding_dim=width,
            num_heads=heads,
            mlp_dim=tensors[f"{layers}0.mlp.lin1.weight"].shape[0],
            attention_downsample_rate=width
            // tensors[f"{layers}0.cross_attn_token_to_image.q_proj.bias"].shape[0],
        ),
        iou_head_depth=_count(tensors, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=tensors["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0],
    )


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered layers there are behind a prefix."""
    return len({name.removeprefix(prefix).partition(".")[0] for name in tensors if name.startswith(prefix)})


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
    write_atomic(path, save({"embedding": content}, {"sha256": sha256(_place(path) + content.tobytes())}))


def _place(path: Path) -> bytes:
    """What an embedding belongs to, the checkpoint and the image, so that it counts for no other."""
    return f"{path.parent.name} {path.stem} ".encode()


def read_embedding(path: Path) -> NDArray[np.float32]:
    """A verified embedding. Raises: OSError, SafetensorError, ValueError for a damaged one."""
    with safe_open(require_regular(path), framework="numpy") as file:
        embedding: NDArray[np.float32] = file.get_tensor("embedding")
        digest = (file.metadata() or {}).get("sha256")
    content = embedding.tobytes()  # those of earlier versions belong to no place
    if embedding.dtype != np.float32 or digest not in (sha256(_place(path) + content), sha256(content)):
        raise ValueError("SHA-256 differs from the recorded one")
    return embedding


def _read(path: Path) -> NDArray[np.float32] | None:
    """An embedding, or None where it is absent or damaged, which is reported."""
    if not path.exists():
        return None
    try:
        return read_embedding(path)
    except (OSError, SafetensorError, ValueError) as error:
        log.warning("%s is damaged (%s); the embedding is computed again", path, one_line(error))
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
            kept = self.root / f"{EMBEDDINGS}{self.checkpoint.sha256[:16]}"
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
