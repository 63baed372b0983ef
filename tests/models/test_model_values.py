"""Rows of the table of models as plain values: what they refuse, and the identity of their weights."""

from __future__ import annotations

import re

import pytest

from mlproject.errors import WrongUse
from mlproject.models import MODELS, Pinned, Preprocess, Weights, find_model, find_weights
from mlproject.models.model import torchvision_weights


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resize": 10, "crop": 11}, "crop must lie in 1..resize (10), not 11"),
        ({"resize": 10, "crop": 0}, "crop must lie in 1..resize (10), not 0"),
        ({"resize": 10, "crop": 10, "std": (1.0, 0.0, 1.0)}, "std must be positive, not (1.0, 0.0, 1.0)"),
    ],
)
def test_a_preprocessing_that_is_impossible_cannot_be_built(values: dict, message: str) -> None:
    with pytest.raises(WrongUse) as refused:
        Preprocess(**values)
    assert str(refused.value) == message


def test_published_weights_are_identified_by_set_and_eight_digits() -> None:
    pinned = torchvision_weights("resnet18", "f37072fd")
    assert pinned.digest == "IMAGENET1K_V1/f37072fd"
    assert pinned.url == "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    assert Pinned(set_name="S", file="f", sha256="0123456789" * 6).digest == "S/01234567"


PINNED = {name: model.imagenet for name, model in MODELS.items() if model.imagenet is not None}


@pytest.mark.parametrize("name", PINNED)
def test_every_row_of_pinned_weights_has_a_source_and_a_digest(name: str) -> None:
    pinned = PINNED[name]
    assert (pinned.url is None) != (pinned.package is None)
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", pinned.sha256)
    assert pinned.sha256[:8] in pinned.file


def test_the_seed_of_random_weights_is_that_of_their_name() -> None:
    model = find_model("resblock_w2_d1")
    assert find_weights(model, "random").label == "random:0"
    assert find_weights(model, "random:007") == find_weights(model, "random:7")
    assert find_weights(model, "random:12").seed == 12
    assert find_weights(model, "scratch") == Weights("scratch", "scratch", "scratch")


@pytest.mark.parametrize("spec", ["random:", "random:-1", "random:1.5", "random:x", "random:1234567890"])
def test_a_seed_that_is_none_is_refused_in_one_line(spec: str) -> None:
    with pytest.raises(WrongUse) as refused:
        find_weights(find_model("plain"), spec)
    assert str(refused.value) == f"weights must be random or random:SEED, SEED a whole number, not {spec!r}"


def test_models_are_equal_by_their_values_and_not_by_how_they_are_built() -> None:
    assert find_model("resblock_w7_d2") == find_model("resblock_w7_d2")
    assert find_model("resblock_w7_d2") != find_model("resblock_w7_d3")
