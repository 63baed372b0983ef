"""The S2 wrapper: any backbone of maps or tokens at several image scales.

Shi et al. 2024, arXiv 2403.13043, section 3.1; ``forward`` of scaling_on_scales 0.1, with its options, plus
antialiasing, images that are not square, and sizes that are never truncated silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.multiscale.crops import Layout, Size, at_least_single, cut, enlarge, layouts, split, tile

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

OUTPUT_SHAPES = ("bnc", "bchw")


def forward(
    model: Callable[[Tensor], Tensor],
    input: Tensor,
    scales: Sequence[float] | None = None,
    img_sizes: Sequence[Size] | None = None,
    max_split_size: int | None = None,
    resize_output_to_idx: int = 0,
    num_prefix_token: int = 0,
    output_shape: str = "bnc",
    split_forward: bool = False,
    antialias: bool = False,
) -> Tensor:
    """Features of a batch at several scales, pooled to one grid and concatenated along channels.

    Each scale is enlarged, cut into crops of at most ``max_split_size`` (default: the input's own sides),
    passed through ``model``, tiled back and area-pooled to the grid of scale ``resize_output_to_idx``. The
    first ``num_prefix_token`` tokens of each crop are averaged over crops instead. A patch embedding that
    drops the rest of a crop does so here too: crops should be a multiple of its stride.

    ``split_forward`` calls the model once for each crop of the batch (less memory, the same features except
    where a batch norm is training). ``img_sizes`` wins over ``scales``.

    Shapes: input [B, 3, H, W]; ``model`` gives [B, prefix + N, C] ("bnc") or [B, C, h, w] ("bchw"), and so
    does the result, with C times the number of scales.
    Raises: WrongUse for options that contradict, BadInput for sizes, or outputs that are no such tensors.
    """
    _check(input, num_prefix_token, output_shape)
    scaled = layouts(input.shape[-2], input.shape[-1], scales, img_sizes, max_split_size)
    _check_index(resize_output_to_idx, len(scaled))
    maps, prefixes = [], []
    for layout in scaled:
        enlarged = enlarge(input, layout.height, layout.width, antialias=antialias)
        crops = cut(enlarged, layout.rows, layout.columns)
        out = _outputs(model, crops, len(input) if split_forward else len(crops), output_shape)
        _check_output(out, len(crops), output_shape, num_prefix_token)
        if output_shape == "bnc":
            prefix, out = out[:, :num_prefix_token], _grid(out[:, num_prefix_token:], layout)
            prefixes.append(prefix.reshape(layout.n_crops, len(input), *prefix.shape[1:]).mean(0))
        maps.append(tile(out, layout.rows, layout.columns))
    return _merge(maps, prefixes, resize_output_to_idx)


def embed(backbone: Callable[[Tensor], Tensor], images: Tensor, image_scales: Sequence[float]) -> Tensor:
    """Pooled features at several scales, each the mean over its crops, side by side.

    What ``forward`` comes to for a backbone that pools itself: [B, 3, H, W] to [B, D * number of scales].

    Raises: BadInput for images that cannot be cut, or outputs of another shape or kind.
    """
    import torch

    rows = []
    for scale in image_scales:
        crops = split(images, scale)
        out = _tensor(backbone(crops), "bc")
        if out.dim() != 2 or len(out) != len(crops):
            raise BadInput(
                f"a backbone that pools itself gives [B, D] for {len(crops)} crops, not {list(out.shape)}; "
                "maps and tokens go through mlproject.multiscale.forward"
            )
        rows.append(out)
    return torch.cat([row.reshape(-1, len(images), row.shape[-1]).mean(0) for row in rows], 1)


def _merge(maps: Sequence[Tensor], prefixes: Sequence[Tensor], index: int) -> Tensor:
    """Maps of all scales on the grid of one of them, side by side; tokens again where there were tokens."""
    import torch
    from torch.nn.functional import interpolate

    grid = maps[index].shape[-2:]
    pooled = [interpolate(at_least_single(m), grid, mode="area").to(m.dtype) for m in maps]
    merged = torch.cat(pooled, 1)
    if not prefixes:
        return merged
    return torch.cat([torch.cat(list(prefixes), -1), merged.flatten(2).transpose(1, 2)], 1)


def _outputs(model: Callable[[Tensor], Tensor], crops: Tensor, step: int, output_shape: str) -> Tensor:
    import torch

    outputs = [_tensor(model(part), output_shape) for part in torch.split(crops, step)]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _tensor(output: object, output_shape: str) -> Tensor:
    """The output itself, which must be a tensor of floating-point numbers.

    Raises: BadInput that names the parts of any other output, and a function that takes one of them.
    """
    import torch

    if not isinstance(output, torch.Tensor):
        parts = [(access, part) for access, part in _parts(output) if isinstance(part, torch.Tensor)]
        shown = ", ".join(f"{access}: {list(part.shape)}" for access, part in parts[:4])
        dims = len(output_shape)
        chosen = next((access for access, part in parts if part.dim() == dims), parts[0][0] if parts else "")
        holds = f" with the tensors {shown}" if parts else " without a tensor"
        remedy = f"pass lambda x: model(x){chosen}" if chosen else "pass a function that returns its features"
        raise BadInput(f"the model must return a tensor, not a {type(output).__name__}{holds}; {remedy}")
    if not output.is_floating_point():
        raise BadInput(f"the model must return floating-point features, not {output.dtype}")
    return output


def _parts(output: object) -> list[tuple[str, object]]:
    """What an output that is no tensor holds: how Python reaches each part, and the part."""
    if isinstance(output, Mapping):
        return [(f"[{key!r}]", part) for key, part in output.items()]
    if isinstance(output, Sequence) and not isinstance(output, str):
        return [(f"[{place}]", part) for place, part in enumerate(output)]
    return [(f".{name}", part) for name, part in getattr(output, "__dict__", {}).items()]


def _grid(tokens: Tensor, layout: Layout) -> Tensor:
    """Tokens of crops as maps of the crops' shape: [n, N, C] to [n, C, h, w]."""
    n_tokens, (height, width) = tokens.shape[1], layout.crop
    h = round(math.sqrt(n_tokens * height / width))
    if not h or n_tokens % h or h * width != n_tokens // h * height:
        raise BadInput(
            f"{n_tokens} tokens of a crop of {height} x {width} pixels make no grid of its shape; "
            "say how many tokens stand before them (num_prefix_token=1 for a class token)"
        )
    return tokens.transpose(1, 2).reshape(len(tokens), -1, h, n_tokens // h)


def _check(images: Tensor, n_prefix: int, output_shape: str) -> None:
    if images.dim() != 4:
        raise BadInput(f"images must be [B, 3, H, W], not {list(images.shape)}")
    if not images.is_floating_point():
        raise BadInput(
            f"images must be floating point, not {images.dtype}: bicubic leaves the range of pixels"
        )
    if output_shape not in OUTPUT_SHAPES:
        raise unknown("output_shape", output_shape, OUTPUT_SHAPES)
    if n_prefix < 0:
        raise WrongUse(f"num_prefix_token must be 0 or more, not {n_prefix}")
    if n_prefix and output_shape == "bchw":
        raise WrongUse("num_prefix_token must be 0 for output_shape='bchw': maps have no tokens")


def _check_index(index: int, n_scales: int) -> None:
    if not -n_scales <= index < n_scales:
        raise WrongUse(f"resize_output_to_idx must name one of {n_scales} scales, not {index}")


def _check_output(out: Tensor, n_crops: int, output_shape: str, n_prefix: int) -> None:
    dims = len(output_shape)
    if out.dim() != dims or len(out) != n_crops:
        raise BadInput(
            f"output_shape={output_shape!r} needs outputs of {dims} dimensions for {n_crops} crops, "
            f"not {list(out.shape)} (pooled features hold no grid)"
        )
    if output_shape == "bnc" and out.shape[1] <= n_prefix:
        raise BadInput(f"num_prefix_token={n_prefix} leaves nothing of {out.shape[1]} tokens")
