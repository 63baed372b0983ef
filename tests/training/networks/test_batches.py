"""Batches are normalised as the definition says; evaluation gives every image its value in any batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.training import Examples, evaluate
from tests.training.blobs import TASK, blobs, network


@settings(max_examples=20)
@given(
    mean=st.tuples(*[st.floats(0.1, 0.9)] * 3),
    std=st.tuples(*[st.floats(0.05, 1.0)] * 3),
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_a_batch_is_the_pixels_less_the_mean_over_the_deviation(mean, std, rows) -> None:
    pixels = torch.randint(
        0, 256, (6, 3, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    examples = Examples(pixels=pixels, targets=torch.arange(6), mean=mean, std=std)
    inputs, targets = examples.batch(torch.tensor(rows), "cpu")
    columns = [torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (mean, std)]
    expected = (pixels[rows].double() / 255 - columns[0]) / columns[1]
    torch.testing.assert_close(inputs.double(), expected, rtol=1e-4, atol=1e-4)
    assert targets.tolist() == rows


def test_an_augmentation_receives_raw_pixels_and_its_targets_are_used() -> None:
    examples, received = blobs(4), []

    def flip(pixels: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        received.append(pixels)
        return pixels.flip(-1), 1 - targets

    rows = torch.tensor([2, 0])
    inputs, targets = examples.batch(rows, "cpu", flip)
    plain, labels = examples.batch(rows, "cpu")
    assert received[0].dtype == torch.uint8
    assert torch.equal(received[0], examples.pixels[rows])
    assert torch.equal(inputs, plain.flip(-1))
    assert torch.equal(targets, 1 - labels)


def test_a_batch_can_be_changed_without_changing_the_images() -> None:
    examples = blobs(4)
    before = examples.pixels.clone()
    first, _ = examples.batch(torch.arange(4), "cpu")
    first.zero_()
    assert torch.equal(examples.pixels, before)
    assert examples.batch(torch.arange(4), "cpu")[0].abs().sum() > 0


@pytest.mark.parametrize("batch_size", [1, 3, 7, 40, 100])
def test_values_of_images_do_not_depend_on_the_batch(batch_size: int) -> None:
    net, examples = network(), blobs(40)
    whole = evaluate(net, examples, TASK.measure, device="cpu", batch_size=40)
    values = evaluate(net, examples, TASK.measure, device="cpu", batch_size=batch_size)
    assert all(v.dtype == torch.float64 and v.shape == (40,) for v in values.values())
    torch.testing.assert_close(values["loss"], whole["loss"], rtol=1e-5, atol=1e-6)


def test_evaluation_restores_the_mode_of_every_module_and_keeps_no_gradient() -> None:
    net = network()
    net.train()
    net[1].eval()
    statistics = net[1].running_mean.clone()
    values = evaluate(net, blobs(8), TASK.measure, device="cpu", batch_size=4)
    assert [module.training for module in net] == [True, False, True, True, True, True]
    assert torch.equal(net[1].running_mean, statistics)
    assert not values["loss"].requires_grad
