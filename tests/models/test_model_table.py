"""Every backbone of the table keeps the same promises; counts are torchvision's and the papers'."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision

from mlproject.errors import BadInput, WrongUse
from mlproject.models import MODELS, count, find_model, find_weights, load_backbone

# GMAC of the whole classifier for one image: torchvision's own table; the Lite papers' for the last three.
GMAC = {
    "resnet18": 1.814,
    "resnet50": 4.089,
    "resnet101": 7.801,
    "resnext50_32x4d": 4.230,
    "resnext101_32x8d": 16.414,
    "vit_b_16": 17.564,
    "efficientnet_lite0": 0.385,
    "efficientnet_lite1": 0.600,
    "efficientnet_lite2": 0.860,
}
# Parameters of the whole classifier; EfficientNet-Lite's are published in millions.
N_PARAMS = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "vit_b_16": 86_567_656,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}


@pytest.mark.parametrize("name", GMAC)
def test_counts_with_a_classifier_of_1000_are_the_published_ones(name):
    model = MODELS[name]
    counted = count(model, model.side)
    head = model.width * 1000
    assert counted.n_params == model.n_params_body
    assert counted.n_params + head + 1000 == N_PARAMS[name]
    assert (counted.flops / 2 + head) / 1e9 == pytest.approx(GMAC[name], abs=6e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_one_row_of_its_width_for_each_image(name):
    model = MODELS[name]
    with torch.device("meta"):
        net = model.build().eval()
        rows = net(torch.empty(2, 3, model.side, model.side))
    assert rows.shape == ((2, model.width, model.side, model.side) if model.maps else (2, model.width))
    assert sum(parameter.numel() for parameter in net.parameters()) == model.n_params_body
    assert model.preprocess.crop == model.side
    assert model.name == name


def test_doubling_the_side_costs_four_times_as_much():
    model = MODELS["resnet18"]
    assert count(model, 448).flops == pytest.approx(4 * count(model, 224).flops, rel=1e-3)


def test_pretrained_sets_are_never_mixed():
    pinned = [m for m in MODELS.values() if m.imagenet and m.family != "efficientnet_lite"]
    sets = {m.imagenet.set_name for m in pinned}
    assert sets == {"IMAGENET1K_V1"}


def test_a_checkpoint_of_torchvisions_whole_classifier_gives_what_its_last_layer_sees(tmp_path):
    import torchvision

    whole = torchvision.models.resnet18(weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "resnet18.pth")
    model = MODELS["resnet18"]
    body = load_backbone(model, find_weights(model, str(tmp_path / "resnet18.pth")))
    seen = []
    whole.fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole(images)
    assert torch.equal(body(images), seen[0])


@pytest.mark.parametrize(
    ("name", "width", "classifier", "set_name"),
    [
        ("mobilenet_v3_small", 1024, "classifier.3.", "IMAGENET1K_V1"),
        ("squeezenet1_1", 512, "classifier.1.", "IMAGENET1K_V1"),
        ("vit_h_14", 1280, "heads.head.", None),
    ],
)
def test_any_torchvision_classifier_works_by_name(name, width, classifier, set_name):
    model = find_model(name)
    assert (model.width, model.classifier) == (width, classifier)
    assert (model.imagenet.set_name if model.imagenet else None) == set_name
    with torch.device("meta"):
        rows = model.build().eval()(torch.empty(2, 3, model.side, model.side))
    assert rows.shape == (2, width)


def test_an_unknown_model_is_named_with_its_near_matches():
    with pytest.raises(WrongUse, match="did you mean resnet50"):
        find_model("resnet5")


def test_an_environment_without_timm_is_installed_again_from_this_repository(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match=r"needs timm.*`pip install -e \.` in this repository's checkout"):
        find_model("timm:resnet10t.c3_in1k")


@pytest.mark.parametrize(
    ("name", "set_name", "side", "interpolation", "file"),
    [
        ("resnet50", "IMAGENET1K_V2", 224, "bilinear", "resnet50-11ad3fa6.pth"),
        ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", 384, "bicubic", "vit_b_16_swag-9ac1b537.pth"),
        ("vit_b_16", "IMAGENET1K_SWAG_LINEAR_V1", 224, "bicubic", "vit_b_16_lc_swag-4e70ced5.pth"),
    ],
)
def test_other_sets_of_torchvision_have_a_preprocessing_of_their_own(
    name, set_name, side, interpolation, file
):
    model = find_model(name, set_name)
    preset = torchvision.models.get_model_weights(name)[set_name].transforms()
    assert (model.side, model.preprocess.interpolation, model.imagenet.file) == (side, interpolation, file)
    assert (model.preprocess.resize, model.preprocess.crop) == (preset.resize_size[0], preset.crop_size[0])
    assert model.name == name
    with torch.device("meta"):
        assert model.build().eval()(torch.empty(1, 3, side, side)).shape == (1, model.width)


@pytest.mark.parametrize("name", ["resnet50", "vit_b_16", "efficientnet_lite0", "resblock_w4_d1"])
def test_the_first_set_is_the_model_of_the_table(name):
    assert find_model(name, "IMAGENET1K_V1") == find_model(name, "imagenet") == find_model(name)


@pytest.mark.parametrize(
    ("name", "set_name", "message"),
    [
        (
            "resnet18",
            "IMAGENET1K_V2",
            "unknown weights of resnet18 'IMAGENET1K_V2'; did you mean IMAGENET1K_V1",
        ),
        ("resnet50", "imagenet1k_v2", "did you mean IMAGENET1K_V2"),
        ("resnet50", "DEFAULT", "known: IMAGENET1K_V1, IMAGENET1K_V2"),
        (
            "efficientnet_lite0",
            "IMAGENET1K_V2",
            "no model of torchvision, so it has no weights 'IMAGENET1K_V2'",
        ),
    ],
)
def test_a_set_that_a_model_does_not_have_is_named_with_those_it_has(name, set_name, message):
    with pytest.raises(WrongUse, match=message):
        find_model(name, set_name)


def test_names_and_weights_are_found_without_torch():
    code = (
        "import sys; from mlproject.models import find_model, find_weights\n"
        "find_weights(find_model('efficientnet_lite0'), 'auto')\n"
        "assert not {'torch', 'torchvision', 'PIL', 'safetensors'} & set(sys.modules)"
    )
    source = Path(__file__).parents[2] / "src"
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(source)!r})\n{code}"], check=True
    )


def test_side_of_maps_is_the_ceiling_of_half():
    from mlproject.models.layers import SamePad

    for size in (15, 16, 33):
        padded = SamePad(5, 2)(torch.zeros(1, 1, size, size))
        assert (padded.shape[-1] - 5) // 2 + 1 == math.ceil(size / 2)
