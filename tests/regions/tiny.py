"""A SAM of some 80,000 parameters, built of the package's own modules and randomly initialised."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import segment_anything
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from mlproject.files import sha256_file
from mlproject.regions.settings import CHECKPOINTS

SIDE, WIDTH = 128, 32


def build() -> Sam:
    """SAM's three parts for inputs of 128 pixels; the caller seeds torch."""
    grid = SIDE // 16
    encoder = ImageEncoderViT(
        depth=2, embed_dim=WIDTH, img_size=SIDE, mlp_ratio=2, num_heads=2, patch_size=16, qkv_bias=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, global_attn_indexes=(1,),
        window_size=4, out_chans=WIDTH,
    )  # fmt: skip
    prompts = PromptEncoder(
        embed_dim=WIDTH, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=4
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer_dim=WIDTH, iou_head_depth=2, iou_head_hidden_dim=WIDTH,
        transformer=TwoWayTransformer(depth=1, embedding_dim=WIDTH, mlp_dim=64, num_heads=2),
    )  # fmt: skip
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    return Sam(encoder, prompts, decoder, mean, std).eval()


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, sure: bool = False) -> Path:
    """A checkpoint known under the name ``tiny``; a ``sure`` one has scores near 1 and sharp masks."""
    torch.manual_seed(0)
    network = build()
    if sure:
        with torch.no_grad():
            head = network.mask_decoder.iou_prediction_head.layers[-1]
            head.weight.mul_(0.01)
            head.bias.fill_(0.95)
            for one in network.mask_decoder.output_hypernetworks_mlps:
                one.layers[-1].weight.mul_(1000)
    path = folder / "tiny.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setitem(segment_anything.sam_model_registry, "tiny", build)
    monkeypatch.setitem(CHECKPOINTS, "tiny", ("tiny.pth", sha256_file(path)))
    return path
