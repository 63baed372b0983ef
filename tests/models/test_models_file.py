"""Backbones of a user's own, from models.toml."""

import sys
import uuid

import pytest
import torch

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.plans import plan_of
from mlproject.recipes.frozen import planned_model

CODE = """
import torch

def small():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

def numbers():
    net = small()
    net.rates = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
    return net

def text():
    return "a network"

def map_():
    return torch.nn.Conv2d(3, 4, 3)

def broken():
    raise ValueError("no such variant")
"""
ENTRY = {
    "factory": '"{module}:small"',
    "checkpoint": '"w.pth"',
    "size": "16",
    "mean": "[0.5, 0.5, 0.5]",
    "std": "[0.2, 0.2, 0.2]",
    "interpolation": '"bicubic"',
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write models.toml with one entry, changed as told (None: without the field), beside its module."""
    module = f"nets_{uuid.uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def written(name="mine", **changes):
        fields = {k: v for k, v in (ENTRY | changes).items() if v is not None}
        lines = [f"{k} = {v.format(module=module) if k == 'factory' else v}" for k, v in fields.items()]
        (tmp_path / "models.toml").write_text("\n".join([f"[{name}]", *lines]))
        return tmp_path / "models.toml"

    return written


def test_a_model_of_the_file_has_its_networks_weights_and_preprocessing(write, tmp_path):
    write(resize="20")
    model = find_model("mine")
    assert (model.side, model.width, model.n_params_body) == (16, 4, 3 * 4 * 9 + 4)
    preprocess = model.preprocess
    assert (preprocess.resize, preprocess.crop, preprocess.interpolation) == (20, 16, "bicubic")
    torch.save(saved := model.build().state_dict(), tmp_path / "w.pth")
    weights = find_weights(model, "pretrained")
    assert (weights.kind, weights.label) == ("file", str(tmp_path / "w.pth"))
    assert find_weights(model, weights.label) == find_weights(model, "auto") == weights
    loaded = load_backbone(model, weights).state_dict()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


def test_factory_preprocessing_and_checkpoint_are_part_of_a_cells_key(write, tmp_path):
    keys = []
    for changes in ({}, {"mean": "[0.4, 0.5, 0.5]"}, {"size": "18"}):
        write(**changes)
        torch.save(find_model("mine").build().state_dict(), tmp_path / "w.pth")
        (cell,) = plan_of("x", {"model": "mine", "weights": "random", "dataset_size": 20}).cells
        assert cell.to_dict()["model_digest"] == find_model("mine").digest
        keys.append(cell.key)
    (cell,) = plan_of("x", {"model": "mine", "weights": "pretrained", "dataset_size": 20}).cells
    assert cell.weights_digest.startswith("sha256:")
    assert len({*keys, cell.key}) == 4


def test_an_entry_that_changes_after_its_cell_was_planned_is_refused(write):
    write()
    (cell,) = plan_of("x", {"model": "mine", "weights": "random", "dataset_size": 20}).cells
    assert planned_model(cell.model, cell.weights, cell.model_digest).name == "mine"
    write(std="[0.3, 0.3, 0.3]")
    with pytest.raises(
        DigestMismatch, match=r"of mine \(.*models\.toml\) changed after the cell was planned"
    ):
        planned_model(cell.model, cell.weights, cell.model_digest)


def test_a_factory_that_computes_with_numbers_is_built_in_memory(write):
    write(factory='"{module}:numbers"')
    assert find_model("mine").width == 4


def test_the_file_is_the_one_that_the_environment_names_else_that_of_the_folder(write, tmp_path, monkeypatch):
    path = write()
    path.rename(tmp_path / "ours.toml")
    with pytest.raises(WrongUse, match="unknown model 'mine'"):
        find_model("mine")
    monkeypatch.setenv("MLPROJECT_MODELS", str(tmp_path / "ours.toml"))
    assert find_model("mine").width == 4
    with pytest.raises(WrongUse, match="unknown model 'mime'; did you mean mine"):
        find_model("mime")
    monkeypatch.setenv("MLPROJECT_MODELS", str(tmp_path / "gone.toml"))
    with pytest.raises(BadInput, match=r"MLPROJECT_MODELS names .*gone\.toml, which is no file"):
        find_model("resnet18")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factory": None}, "field factory: it is missing"),
        ({"factory": '"nets.small"'}, "field factory: must be package.module:function, not 'nets.small'"),
        (
            {"factory": '"no_such_module_x:small"'},
            "field factory: .* cannot be imported: ModuleNotFoundError",
        ),
        (
            {"factory": '"{module}:large"'},
            "field factory: .* cannot be imported: AttributeError: .*no attribute 'large'",
        ),
        ({"factory": '"{module}:broken"'}, "field factory: .* failed: ValueError: no such variant"),
        ({"factory": '"{module}:text"'}, r"field factory: .* gives str, not a torch\.nn\.Module"),
        ({"factory": '"{module}:map_"'}, r"field factory: the network gives \[2, 4, 14, 14\] for 2 images"),
        ({"size": "2"}, "field size: the network takes no inputs of 2 pixels"),
        ({"size": '"large"'}, "field size: Input should be a valid integer"),
        ({"resize": "8"}, r"crop must lie in 1\.\.resize \(8\), not 16"),
        ({"mean": "[0.5, 0.5]"}, "field mean: "),
        ({"std": "[0.0, 0.5, 0.5]"}, "std must be positive"),
        ({"interpolation": '"nearest"'}, "field interpolation: Input should be 'bilinear' or 'bicubic'"),
        ({"sise": "3"}, "unknown field 'sise'; did you mean size"),
        ({"sise": "3", "size": None}, "unknown field 'sise'; did you mean size"),
        ({"mean": "[123.7, 116.3, 103.5]"}, "field mean: Input should be less than or equal to 1, not 123.7"),
    ],
)
def test_a_faulty_entry_is_one_line_that_names_file_entry_and_field(write, changes, message):
    path = write(**changes)
    with pytest.raises((WrongUse, BadInput), match=message) as caught:
        find_model("mine")
    assert str(caught.value).startswith(f"{path}, entry 'mine'")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_toml_a_name_that_is_taken_and_weights_that_are_absent_are_told(write):
    path = write("resnet18")
    with pytest.raises(WrongUse, match="entry 'resnet18': the name is the name of another model"):
        find_model("resnet18")
    write(checkpoint=None)
    with pytest.raises(WrongUse, match="has no weights 'pretrained': its entry names no checkpoint"):
        find_weights(find_model("mine"), "pretrained")
    write()
    with pytest.raises(BadInput, match=r"checkpoint of mine .*w\.pth is no file"):
        find_weights(find_model("mine"), "pretrained")
    path.write_text("[mine")
    with pytest.raises(WrongUse, match=r"models\.toml is not a TOML file of models"):
        find_model("mine")
