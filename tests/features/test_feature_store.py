"""Every image is embedded once per model and scale, whoever asks, however often, in whatever order."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import RANDOM, Loud, Pictures, build_tiny, tiny_model

from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.features import FeatureStore, eager_engine, engines, extraction, extraction_cost, forget
from mlproject.losses import Silent
from mlproject.models import Preprocess, Weights, normalise, prepare

IMAGES = Pictures(list(range(300)))


def ask(store, numbers, **how):
    how = {"model": tiny_model(), "weights": RANDOM, "images": IMAGES, "engine": "eager"} | how
    return store.features(indices=np.asarray(numbers, np.int64), report=Silent(), **how)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path)


def test_the_seed_grid_costs_one_forward_an_image(store):
    for _seed in range(3):
        for size in (100, 200, 300):
            ask(store, range(size))
    assert store.n_forwards == 300


def test_a_warm_store_embeds_nothing_in_this_process_or_the_next(store):
    first = ask(store, range(20))
    again, later = ask(store, range(20)), ask(FeatureStore(store.root), range(20))
    assert (first.n_forwards, again.n_forwards, later.n_forwards) == (20, 0, 0)
    assert np.array_equal(first.matrix, later.matrix)
    assert (first.n_params, first.flops_per_image) == (later.n_params, later.flops_per_image)
    assert later.provenance == first.provenance | {"forwards_done_now": "0"}


def test_a_new_image_costs_one_forward_and_a_new_scale_only_its_own(store):
    ask(store, range(10))
    assert ask(store, range(11)).n_forwards == 1
    both = ask(store, range(11), image_scales=(1.0, 2.0))
    assert (both.n_forwards, both.n_crops) == (11, 44)
    assert ask(store, range(11), image_scales=(2.0,)).n_forwards == 0
    assert both.flops_per_image == 5 * ask(store, range(1)).flops_per_image


def test_stores_of_one_process_share_the_network_and_its_check(store):
    ask(store, range(10), engine="onnx")
    other = FeatureStore(store.root)
    ask(other, range(20), engine="onnx")
    assert (other.n_forwards, other.n_checks) == (10, 0)


def test_duplicates_are_embedded_once(store):
    images = Pictures([7, 7, 8, 7])
    features = ask(store, [0, 1, 2, 3, 2, 0], images=images)
    assert features.n_forwards == 2
    assert len(images.reads) == 2
    assert np.array_equal(features.matrix[0], features.matrix[3])
    assert not np.array_equal(features.matrix[0], features.matrix[2])


def test_rows_follow_the_order_of_the_request(store):
    forth, back = ask(store, [3, 1, 2]), ask(store, [2, 1, 3])
    assert np.array_equal(forth.matrix[::-1], back.matrix)


def test_scales_are_blocks_in_the_order_asked_for(store):
    one, two = ask(store, range(5)), ask(store, range(5), image_scales=(2.0,))
    both = ask(store, range(5), image_scales=(2.0, 1.0))
    assert np.array_equal(both.matrix, np.hstack([two.matrix, one.matrix]))


NORMAL = tiny_model().preprocess


@pytest.mark.parametrize(
    "change",
    [
        {"model": tiny_model(preprocess=replace(NORMAL, mean=(0.5, 0.5, 0.5)))},
        {"model": tiny_model(preprocess=replace(NORMAL, std=(0.5, 0.5, 0.5)))},
        {"model": tiny_model(preprocess=replace(NORMAL, resize=18))},
        {"model": tiny_model(preprocess=replace(NORMAL, interpolation="bicubic"))},
        {"model": tiny_model(name="other")},
        {"weights": Weights("random", "random:1", "random:1")},
        {"engine": "onnx"},
        {"precision": "amp"},
        {"image_scales": (2.0,)},
    ],
)
def test_any_change_that_changes_the_numbers_misses(store, change):
    ask(store, range(3))
    assert ask(store, range(3), **change).n_forwards == 3


@pytest.mark.parametrize("name", ["RANDOM_VERSION", "PREPROCESS_VERSION"])
def test_another_version_of_the_code_misses(store, name, monkeypatch):
    ask(store, range(3))
    monkeypatch.setattr(extraction, name, 99)
    assert ask(store, range(3)).n_forwards == 3


def test_onnx_gives_the_features_of_plain_eager(store):
    onnx, eager = ask(store, range(20), engine="onnx"), ask(store, range(20), engine="eager")
    assert engines.relative_distance(onnx.matrix, eager.matrix) < 1e-4
    assert onnx.provenance["engine"] == "onnx"
    assert "from eager" in onnx.provenance["engine_note"]
    assert store.n_checks == 2


def test_a_backbone_that_draws_random_numbers_is_refused(store):
    class Noisy(torch.nn.Module):
        def forward(self, features):
            return features + torch.randn_like(features)

    def build():
        return build_tiny().append(Noisy())

    with pytest.raises(BadInput, match="other features for the same images at every pass"):
        ask(store, range(20), engine="onnx", model=tiny_model(build=build))


def test_an_engine_that_disagrees_is_left_aloud_and_for_good(store, monkeypatch, caplog):
    monkeypatch.setattr(engines, "TOLERANCE", -1.0)
    features = ask(store, range(20), engine="onnx")
    assert "onnxruntime is not used for tiny" in caplog.text
    assert features.provenance["engine"] == "eager"
    assert store.n_forwards == 20
    assert ask(FeatureStore(store.root), range(20), engine="onnx").n_forwards == 0


class Attends(torch.nn.Module):
    """Attention over four patches of an image of 16 pixels."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 8, stride=8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)


def test_attention_goes_through_onnx_too(store):
    features = ask(store, range(10), engine="onnx", model=tiny_model(name="attends", build=Attends))
    assert features.provenance["engine"] == "onnx"


class Bessel(torch.nn.Module):
    def forward(self, x):
        return torch.special.i0(x.mean((2, 3)).repeat(1, 3)[:, :8])


def test_a_network_that_onnx_cannot_hold_runs_in_torch(store, caplog):
    features = ask(store, range(10), engine="onnx", model=tiny_model(name="bessel", build=Bessel))
    assert features.provenance["engine"] == "eager"
    assert "cannot run this network" in caplog.text


def test_auto_is_onnx_on_a_cpu_and_torch_for_mixed_precision(store, monkeypatch):
    monkeypatch.setenv("MLPROJECT_DEVICE", "cpu")
    assert ask(store, range(2), engine="auto").provenance["engine"] == "onnx"
    assert ask(store, range(2), engine="auto", precision="amp").provenance["engine"] == "eager"


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ({"engine": "onxx"}, WrongUse, "did you mean onnx"),
        ({"precision": "fp8"}, WrongUse, "unknown precision"),
        ({"engine": "onnx", "precision": "amp"}, WrongUse, "fp32 only"),
        ({"image_scales": (1.6,)}, BadInput, "no whole number"),
        ({"image_scales": (1.0625,)}, BadInput, "cannot be cut into 2 even crops"),
        ({"model": tiny_model(fixed_side=True), "image_scales": (1.5,)}, BadInput, "use whole scales"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(store, how, error, text):
    with pytest.raises(error, match=text):
        ask(store, range(2), **how)


def test_features_that_are_not_finite_are_refused(store):
    def broken():
        from torch import nn

        net = tiny_model().build()
        nn.init.constant_(net[0].weight, float("nan"))
        return net

    with pytest.raises(BadInput, match="2 images are not finite"):
        ask(store, range(2), model=tiny_model(name="broken", build=broken))


def test_progress_counts_only_what_is_computed(store):
    ask(store, range(10))
    loud = Loud()
    store.features(tiny_model(), RANDOM, IMAGES, np.arange(30), engine="eager", report=loud)
    assert (loud.stages, loud.done) == ([("features", 20)], 20)


def test_pixels_are_the_first_values_of_the_normalised_input_without_a_forward(store):
    model, images = tiny_model(), Pictures([1, 2, 3])
    pixels = store.pixels(model, images, np.arange(3), count=100, report=Silent())
    plain = prepare(model.preprocess, images.read(1))
    expected = normalise(model.preprocess, plain[None]).reshape(-1)[:100]
    assert np.array_equal(pixels[1], expected)
    n_reads = len(images.reads)
    store.pixels(model, images, np.arange(3), count=100, report=Silent())
    assert (store.n_forwards, len(images.reads)) == (0, n_reads)
    with pytest.raises(WrongUse, match="count must lie in"):
        store.pixels(model, images, np.arange(3), count=10_000, report=Silent())


def test_a_crop_larger_than_the_picture_cannot_be_asked_for():
    with pytest.raises(WrongUse, match="crop must lie"):
        Preprocess(resize=10, crop=16)


WARM = """
import sys
from tiny import *
from mlproject.features import FeatureStore
from mlproject.models import find_model, find_weights
find_weights(find_model("resnet18"), "random")
two = Pictures([1, 2])
f = FeatureStore().features(tiny_model(), RANDOM, two, np.arange(2), engine="eager", report=Loud())
print(f.n_forwards, *sorted({"torch", "torchvision", "onnxruntime", "mlflow"} & set(sys.modules)))
"""


def test_a_warm_request_imports_no_torch(tmp_path, monkeypatch):
    ask(FeatureStore(tmp_path), [0, 1], images=Pictures([1, 2]))
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    assert run(WARM).stdout.split() == ["0"]


def run(code, *, check=True):
    here = Path(__file__).parent
    paths = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parents[1] / 'src')!r}]\n"
    return subprocess.run([sys.executable, "-c", paths + code], capture_output=True, text=True, check=check)


def test_the_cost_of_features_is_known_once_their_backbone_was_timed_on_this_device(store, monkeypatch):
    ask(store, range(290))
    model, how = tiny_model(), {"precision": "fp32", "root": store.root}
    monkeypatch.setattr("mlproject.features.cost.find_engine", lambda *_: "eager")
    cost = extraction_cost(model, RANDOM, IMAGES.digests, **how)
    assert (cost.n_forwards, cost.n_bytes) == (10, 10 * (4 * 8 + 68))
    assert 0 < cost.seconds < 60
    assert extraction_cost(model, RANDOM, IMAGES.digests[:290], **how).seconds == 0
    scaled = extraction_cost(model, RANDOM, IMAGES.digests, image_scales=(1.0, 2.0), **how)
    assert (scaled.n_forwards, scaled.seconds) == (310, None)
    monkeypatch.setattr("mlproject.features.cost.find_n_threads", lambda: 99)
    assert extraction_cost(model, RANDOM, IMAGES.digests, **how).seconds is None


def refusing(most):
    """An engine of torch on a device that has room for so many images."""

    def make(*how):
        engine = eager_engine(*how)

        def forward(images):
            if len(images) > most:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return engine.forward(images)

        return replace(engine, forward=forward)

    return make


def test_a_batch_without_room_is_halved_once_and_told_once(store, monkeypatch, caplog):
    expected = ask(FeatureStore(store.root / "other"), range(40)).matrix
    forget()
    monkeypatch.setattr(engines, "eager_engine", refusing(3))
    assert np.allclose(ask(store, range(40)).matrix, expected, rtol=1e-5, atol=1e-6)
    assert [record.message for record in caplog.records] == [
        "out of memory on cpu: tiny takes 4 images at a time from here on",
        "out of memory on cpu: tiny takes 2 images at a time from here on",
    ]
    forget()
    monkeypatch.setattr(engines, "eager_engine", refusing(0))
    with pytest.raises(MLProjectError, match="out of memory on cpu with one image at a time: tiny"):
        ask(store, range(50))


def test_inputs_that_are_normalised_on_a_device_are_those_of_the_cpu():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    preprocess = tiny_model().preprocess
    inputs = engines.network_inputs(preprocess, pixels, "cpu")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
    assert torch.equal(inputs, scaled)  # what a GPU computes, by another library
