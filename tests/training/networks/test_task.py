"""Augmentations: each image by its own numbers, sizes and ranges kept, mixtures with shares of classes."""

from __future__ import annotations

import pytest
import torch

from mlproject.losses import Silent
from mlproject.training import Task, build_augment, seeded, train
from tests.training.blobs import TASK, blobs, network, settings

SETS = ("seed", "modern")


def pictures(n: int = 6, side: int = 16) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 3, side, side), generator=draw, dtype=torch.uint8).repeat(n, 1, 1, 1)


def augment(name, *, mixup=0.0, cutmix=0.0, n_classes=3):
    return build_augment(name, mixup=mixup, cutmix=cutmix, n_classes=n_classes)


def test_nothing_to_do_is_no_augmentation():
    assert augment("none") is None


@pytest.mark.parametrize("name", SETS)
def test_every_image_is_changed_by_numbers_of_its_own(name):
    pixels, labels = pictures(), torch.arange(6) % 3
    with seeded(0, "augmentation"):
        changed, targets = augment(name)(pixels, labels)
    assert changed.shape == pixels.shape
    assert changed.dtype == torch.uint8
    assert torch.equal(targets, labels)
    assert len({image.numpy().tobytes() for image in changed}) == 6


@pytest.mark.parametrize("name", SETS)
def test_the_same_stream_gives_the_same_pictures(name):
    found = []
    for _ in range(2):
        with seeded(3, "augmentation"):
            found.append(augment(name)(pictures(), torch.zeros(6, dtype=torch.int64))[0])
    assert torch.equal(*found)


@pytest.mark.parametrize("mixed", [{"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_mixtures_have_shares_of_classes_that_sum_to_one(mixed):
    labels = torch.arange(6) % 3
    with seeded(0, "augmentation"):
        changed, shares = augment("none", **mixed)(pictures(), labels)
    assert shares.shape == (6, 3)
    assert torch.allclose(shares.sum(1), torch.ones(6))
    assert 0 <= changed.min() <= changed.max() <= 255.001


def test_a_batch_of_one_has_nothing_to_mix_with():
    changed, labels = augment("none", mixup=0.2)(pictures(1), torch.tensor([2]))
    assert labels.tolist() == [2]
    assert torch.equal(changed, pictures(1))


def test_dropout_and_other_draws_do_not_shift_the_pictures():
    """Arms of an ablation see the same augmented images, whatever else they draw."""
    seen: list[list[torch.Tensor]] = []

    def noisy(n: int) -> None:
        mine: list[torch.Tensor] = []

        def jitter(pixels, targets):
            moved = pixels.float() + torch.rand(pixels.shape)
            mine.append(moved.clone())
            return moved.clamp(0, 255), targets

        def objective(net, inputs, targets):
            torch.rand(n)
            return TASK.objective(net, inputs, targets)

        task = Task(objective=objective, measure=TASK.measure, augment=jitter)
        train(
            network(), task, settings(epochs=2), seed=0, examples=blobs(), evaluated={}, device="cpu",
            report=Silent(),
        )  # fmt: skip
        seen.append(mine)

    noisy(1)
    noisy(7)
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
