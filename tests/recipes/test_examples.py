"""Images that do not fit into memory are streamed: the same losses bit for bit, resumed ones included."""

import numpy as np
import pytest
import torch

from mlproject.errors import BadInput
from mlproject.features import Decoder, PixelReader, StreamedImages
from mlproject.losses import Silent
from mlproject.models import find_model
from mlproject.recipes.whole_network import sized
from mlproject.training import Examples, train
from tests.recipes.doubles import Images, network_outcome
from tests.training.blobs import TASK, network, settings


def values(outcome):
    return {name: column.tobytes() for name, column in outcome.losses.values.items()}


@pytest.mark.parametrize(
    ("recipe", "workers", "knobs"),
    [("scratch", "1", {}), ("finetune", "0", {"augmentation": "seed"}), ("segment", "0", {})],
)
def test_streamed_images_give_the_losses_of_those_in_memory(recipe, workers, knobs, monkeypatch, caplog):
    monkeypatch.setenv("MLPROJECT_WORKERS", "0")
    whole = network_outcome(recipe, **knobs)
    monkeypatch.setenv("MLPROJECT_MEMORY", "1kB")
    monkeypatch.setenv("MLPROJECT_WORKERS", workers)
    streamed = network_outcome(recipe, **knobs)
    assert values(streamed) == values(whole)
    assert (whole.provenance["images"], streamed.provenance["images"]) == ("in memory", "streamed")
    assert "streamed" in caplog.text
    assert whole.tables.get("confusion") == streamed.tables.get("confusion")


def test_a_streamed_map_without_a_class_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setenv("MLPROJECT_MEMORY", "0")
    images = Images(200)
    images.read_map = lambda index: np.full((8, 8), 255 if index == 3 else index % 4, np.uint8)
    with pytest.raises(BadInput, match=r"^3\.png: no pixel has a class at 8 x 8$"):
        network_outcome("segment", images=images)


def test_a_streamed_training_that_was_stopped_between_two_steps_goes_on_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setenv("MLPROJECT_WORKERS", "0")
    images = Images(40)
    preprocess = sized(find_model("resblock_w2_d1"), 8)
    reads = {"left": 10**6}

    def read(index):
        reads["left"] -= 1
        if reads["left"] < 0:
            raise BadInput("stopped")
        return images.read(index)

    reader = PixelReader(Decoder(read, preprocess), images.ids, (), "cpu")
    examples = Examples(
        pixels=StreamedImages(reader=reader, places=np.arange(40)),
        targets=torch.arange(40) % 2,
        mean=preprocess.mean,
        std=preprocess.std,
    )

    def trained(path):
        how = {"seed": 0, "evaluated": {}, "device": "cpu", "report": Silent(), "save_seconds": 0.0}
        return train(network(), TASK, settings(), examples=examples, checkpoint=path, **how)

    whole = trained(None)
    reads["left"] = 100  # in the third of four epochs
    with pytest.raises(BadInput, match="stopped"):
        trained(tmp_path / "state")
    reads["left"] = 80
    resumed = trained(tmp_path / "state")
    assert reads["left"] >= 0
    assert all(torch.equal(resumed.final[name], whole.final[name]) for name in whole.final)
