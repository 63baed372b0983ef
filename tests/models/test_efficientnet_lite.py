"""EfficientNet-Lite: widths of the TensorFlow code, SAME padding, counts of torch's own counter."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mlproject.models import count, find_model
from mlproject.models.efficientnet_lite import STAGES, _rounded, efficientnet_lite
from mlproject.models.layers import SamePad


@given(factor=st.floats(0.2, 3.0), channels=st.sampled_from([stage[4] for stage in STAGES]))
def test_widths_are_multiples_of_eight_and_at_most_a_tenth_too_small(factor: float, channels: int) -> None:
    width = _rounded(channels, factor)
    assert width % 8 == 0
    assert 0.9 * channels * factor <= width <= channels * factor + 8


@pytest.mark.parametrize(
    ("channels", "width"), [(16, 16), (24, 24), (40, 48), (80, 88), (112, 120), (192, 208)]
)
def test_the_widths_of_factor_eleven_tenths_are_the_published_ones(channels: int, width: int) -> None:
    assert _rounded(channels, 1.1) == width


@given(size=st.integers(1, 40), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3))
def test_same_padding_gives_the_ceiling_of_size_over_stride(size: int, kernel: int, stride: int) -> None:
    padded = SamePad(kernel, stride)(torch.ones(1, 1, size, size + 1))
    convolved = torch.nn.functional.conv2d(padded, torch.ones(1, 1, kernel, kernel), stride=stride)
    assert convolved.shape[-2:] == (math.ceil(size / stride), math.ceil((size + 1) / stride))
    assert padded.sum() == size * (size + 1)


@pytest.mark.parametrize("number", [0, 2])
def test_flops_are_those_of_torchs_counter(number: int) -> None:
    model = find_model(f"efficientnet_lite{number}")
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model.build().eval()(torch.empty(1, 3, 64, 64))
    assert count(model, 64).flops == counter.get_total_flops()


def test_depth_grows_in_the_inner_stages_only() -> None:
    with torch.device("meta"):
        plain, deep = (efficientnet_lite(1.0, depth) for depth in (1.0, 2.0))
    blocks = [len(net.get_submodule("_blocks")) for net in (plain, deep)]
    assert blocks == [16, 16 + sum(stage[0] for stage in STAGES[1:-1])]
