"""Published weights of timm from the cache of the Hugging Face Hub, without a network."""

import errno
import hashlib

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants, errors
from PIL import Image
from safetensors.torch import save_file

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.models import fetch_weights, find_model, find_weights, hub, load_backbone, normalise, prepare
from mlproject.models.timm_models import timm_model

NAME = "timm:test_vit.r160_in1k"
REPOSITORY = "timm/test_vit.r160_in1k"
FIRST, SECOND = "a" * 40, "b" * 40


def place(root, net, commit, refs=("main",)):
    """Put a network's weights where huggingface_hub keeps those of a commit; gives their SHA-256."""
    folder = root / "models--timm--test_vit.r160_in1k"
    snapshot = folder / "snapshots" / commit
    for path in (snapshot, folder / "blobs", folder / "refs"):
        path.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), folder / "new")
    digest = hashlib.sha256((folder / "new").read_bytes()).hexdigest()
    (folder / "new").rename(folder / "blobs" / digest)
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{digest}")
    for ref in refs:
        (folder / "refs" / ref).write_text(commit)
    return digest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, which is out of reach by choice."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return timm.create_model("test_vit.r160_in1k")


def test_features_are_those_of_timms_own_model_of_the_same_file(cache, network):
    """Preprocessing included, which the tag decides: here bicubic, 160 pixels, mean and deviation 0.5."""
    digest = place(cache, network, FIRST)
    model = find_model("timm:test_vit", "pretrained")
    weights = find_weights(model, "pretrained")
    assert (model.name, weights.revision, weights.digest) == (NAME, FIRST, f"hub:{digest}")
    by_hand = timm.create_model("test_vit.r160_in1k", pretrained=True, num_classes=0).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(by_hand))
    pixels = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    inputs = torch.from_numpy(normalise(model.preprocess, prepare(model.preprocess, pixels)[None]))
    expected = transform(Image.fromarray(pixels))[None]
    torch.testing.assert_close(inputs, expected, rtol=0, atol=1e-6)
    with torch.no_grad():
        features = load_backbone(model, weights)(inputs)
        assert torch.equal(features, by_hand(inputs))
    assert features.shape == (1, model.width)


def test_a_revision_pins_a_commit_a_tag_or_a_branch(cache, network):
    first = place(cache, network, FIRST, refs=("main", "v1"))
    other = timm.create_model("test_vit.r160_in1k")
    second = place(cache, other, SECOND, refs=("main",))
    for spec, digest, commit in (
        ("pretrained", second, SECOND),
        ("pretrained@v1", first, FIRST),
        (f"pretrained@{FIRST}", first, FIRST),
    ):
        weights = find_weights(find_model(NAME, spec), spec)
        assert (weights.label, weights.digest, weights.revision) == (spec, f"hub:{digest}", commit)
    with pytest.raises(WrongUse, match=r"a commit, tag or branch, not .pretrained@\.\./x"):
        find_weights(find_model(NAME, "pretrained"), "pretrained@../x")


def test_an_empty_cache_offline_is_told_at_once_with_what_to_fetch_where(cache):
    model = find_model(NAME, "pretrained")
    with pytest.raises(BadInput) as caught:
        find_weights(model, "pretrained@v2")
    text = str(caught.value)
    folder = "models--timm--test_vit.r160_in1k"
    for part in (f"mlproject fetch {NAME} --weights pretrained@v2", folder, str(cache), "HF_HOME"):
        assert part in text
    assert "\n" not in text
    with pytest.raises(BadInput, match=f"HF_HUB_OFFLINE is set; unset it, or copy the folder {folder}"):
        fetch_weights(model, "pretrained")


def test_auto_is_pretrained_where_the_cache_has_the_weights_and_random_elsewhere(cache, network):
    assert find_weights(find_model(NAME, "auto"), "auto").label == "random:0"
    place(cache, network, FIRST)
    assert find_weights(find_model("timm:test_vit", "auto"), "auto").revision == FIRST


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("GatedRepoError", f"its terms are to be accepted first at {constants.ENDPOINT}/{REPOSITORY}"),
        ("RevisionNotFoundError", f"it has no revision 'v7'; {constants.ENDPOINT}/{REPOSITORY}/commits/main"),
        ("RepositoryNotFoundError", "there is no such repository, or it is private"),
        ("RemoteEntryNotFoundError", "holds none of model.safetensors, pytorch_model.bin at revision v7"),
        ("LocalEntryNotFoundError", f"{constants.ENDPOINT} cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(cache, monkeypatch, error, message):
    kind = getattr(errors, error)

    def refuse(*_, **_named):
        raise kind.__new__(kind)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(BadInput, match=message) as caught:
        fetch_weights(find_model(NAME, "pretrained"), "pretrained@v7")
    assert "\n" not in str(caught.value)


def test_a_full_disk_while_fetching_is_not_taken_for_a_fault_of_the_hub(cache, monkeypatch):
    def fill(*_, **_named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fill)
    with pytest.raises(OSError, match="No space left"):
        fetch_weights(find_model(NAME, "pretrained"), "pretrained")


def test_damaged_weights_are_refused_before_they_are_read(cache, network):
    digest = place(cache, network, FIRST)
    model = find_model(NAME, "pretrained")
    found = find_weights(model, "pretrained")
    blob = cache / "models--timm--test_vit.r160_in1k" / "blobs" / digest
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(DigestMismatch, match="it changed after it was found"):
        load_backbone(model, found)
    with pytest.raises(DigestMismatch, match=r"delete it and .*, and fetch it again"):
        find_weights(model, "pretrained")


@pytest.mark.parametrize("content", [b"<html>sign in</html>", None])
def test_a_file_that_holds_no_weights_is_refused_when_the_cell_is_planned(cache, network, content):
    place(cache, network, FIRST)
    snapshot = cache / "models--timm--test_vit.r160_in1k" / "snapshots" / FIRST / "model.safetensors"
    whole = snapshot.read_bytes()
    snapshot.unlink()  # a cache that was made by hand holds files, not links to them
    snapshot.write_bytes(content or whole[:-100])
    with pytest.raises(BadInput, match=r"cannot be read as weights .*: fetch it again"):
        find_weights(find_model(NAME, "pretrained"), "pretrained")


def test_weights_of_another_network_are_refused_in_one_line(cache):
    place(cache, torch.nn.Linear(2, 2), FIRST)
    model = find_model(NAME, "pretrained")
    with pytest.raises(BadInput, match=r"cannot be read as weights of timm:test_vit\.r160_in1k") as caught:
        load_backbone(model, find_weights(model, "pretrained"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:", "model=timm: names no model of timm, for example timm:vit"),
        ("test_vit", "unknown model 'test_vit'; timm has it: model=timm:test_vit"),
        ("timm:test_vitt", "unknown timm model 'test_vitt'; did you mean test_vit"),
        ("timm:vit_small_patch14_dinov2.lvd142", "unknown tag of .* 'lvd142'; did you mean lvd142m"),
        ("timm:vit_small_patch14_dinov2.", "unknown tag of .* ''; known: lvd142m"),
    ],
)
def test_an_unknown_model_or_tag_is_named_with_its_near_matches(name, message):
    with pytest.raises(WrongUse, match=message):
        find_model(name, "pretrained")


def test_models_that_timm_publishes_elsewhere_or_nowhere_say_what_remains():
    for name in ("timm:legacy_seresnet18", "timm:test_vit4"):
        model = find_model(name, "pretrained")
        with pytest.raises(BadInput, match="use weights=/path/to/checkpoint, weights=random"):
            find_weights(model, "pretrained")
    with pytest.raises(BadInput, match="use weights=imagenet"):
        find_weights(find_model("resnet18"), "pretrained")


def test_names_without_published_weights_keep_their_identity():
    """Cells of version 0.2 with random weights or a checkpoint have these names and no digest."""
    model = find_model("timm:test_vit", "random")
    assert (model.name, model.digest, model.hub) == ("timm:test_vit", "", None)
    assert timm_model("timm:test_vit", published=True).digest != ""


def test_some_tags_squash_pictures_to_a_square():
    model = find_model("timm:convnext_tiny.fb_in22k_ft_in1k_384", "random")
    assert model.preprocess.fit == "squash"
    pixels = np.random.default_rng(1).integers(0, 256, (50, 90, 3), np.uint8)
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(model.name[5:]).to_dict())
    expected = timm.data.create_transform(**config)(Image.fromarray(pixels)).numpy()
    inputs = normalise(model.preprocess, prepare(model.preprocess, pixels)[None])[0]
    np.testing.assert_allclose(inputs, expected, atol=1e-6)


def test_cached_looks_for_every_file_that_timm_does(cache):
    model = find_model(NAME, "pretrained")
    assert hub.cached(model.hub, "main") is None
    assert model.hub.files == ("model.safetensors", "pytorch_model.bin")
