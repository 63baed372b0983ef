"""Contrastive loss terms on the features of a batch, and the detection of collapsed features.

All terms are functions of cosines: features [B, d] are normalised first. Terms are per image, [B].

A signed term near 0 is no success: where all features point the same way, same-class and different-class
cosines are both 1 and cancel. ``separation`` returns the two separately.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Contrast = Literal["none", "signed", "hinged", "supcon"]

COLLAPSED = 0.99
"""Mean cosine of images of different classes from which features count as collapsed."""


def signed(features: Tensor, labels: Tensor) -> Tensor:
    """Minus the cosine with a partner of the same class, or the cosine with one of another class.

    Which of the two is drawn at random for each image, and so is the partner within the batch; where the
    batch has no such partner, the other kind is taken. In -1..1; good separation is -0.5 or less, total
    collapse 0 on average. [B, d] and [B] to [B].
    """
    same, cosine = _partners(features, labels)
    return torch.where(same, -cosine, cosine)


def hinged(features: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """The same partners: 1 - cosine of the same class, max(0, cosine - margin) of another class.

    Total collapse gives 0 and 1 - margin, so it is no minimum. Hadsell, Chopra, LeCun 2006 (CVPR).
    """
    same, cosine = _partners(features, labels)
    return torch.where(same, 1 - cosine, (cosine - margin).clamp_min(0))


def supcon(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Supervised contrastive loss: -mean over an image's class of its log-softmax over all other images.

    Khosla et al. 2020, arXiv 2004.11362, equation 2 (L_out), without the factor temperature / 0.07 of the
    authors' code. An image that is alone in its class gives 0 and stays in the others' sums.
    """
    unit = functional.normalize(features, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    scaled = (unit @ unit.T / temperature).masked_fill(itself, -math.inf)
    log_share = functional.log_softmax(scaled, dim=1).masked_fill(itself, 0.0)
    positive = (labels[:, None] == labels) & ~itself
    return -(log_share * positive).sum(1) / positive.sum(1).clamp_min(1)


def separation(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine over all pairs of one class, and over all pairs of different classes; NaN without a pair.

    Computed from sums over each class, without a matrix of pairs. [n, d] and [n] to two scalars.
    """
    unit = functional.normalize(features.detach().float(), dim=1)
    classes, index, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    sums = unit.new_zeros(len(classes), unit.shape[1]).index_add_(0, index, unit)
    within, all_pairs = sums.square().sum(), sums.sum(0).square().sum()
    n_alike, n_unlike = sizes.square().sum() - len(unit), len(unit) ** 2 - sizes.square().sum()
    none = unit.new_tensor(math.nan)
    same = torch.where(n_alike > 0, (within - unit.square().sum()) / n_alike, none)
    return same, torch.where(n_unlike > 0, (all_pairs - within) / n_unlike, none)


def collapsed(different: float, features: Tensor) -> bool:
    """Whether features [n, d] carry no information about their images: one direction, or mostly zeros.

    ``different`` is the mean cosine of images of different classes.
    """
    dead = features.norm(dim=1).eq(0).double().mean().item()
    return different > COLLAPSED or dead > 0.5


def _partners(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image of a batch a random partner: whether it is of the same class, and the cosine."""
    n = len(labels)
    unit = functional.normalize(features, dim=1)
    itself = torch.eye(n, dtype=torch.bool, device=labels.device)
    alike = (labels[:, None] == labels) & ~itself
    other = labels[:, None] != labels
    wants_same = torch.rand(n, device=labels.device) < 0.5
    same = torch.where(wants_same, alike.any(1), ~other.any(1))
    lots = torch.rand(n, n, device=labels.device)
    among = torch.where(same[:, None], alike, other)
    partner = lots.masked_fill(~among, -1.0).argmax(1)
    return same, (unit * unit[partner]).sum(1)
