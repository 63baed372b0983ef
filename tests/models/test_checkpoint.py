"""Checkpoints of every make: read where one state dict is meant, else refused in one line that helps."""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from mlproject.errors import BadInput
from mlproject.models import MODELS, find_weights, load_backbone


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), fc=nn.Linear(4, 2), tail=nn.Conv2d(4, 4, 1)
        )
    )


def body() -> nn.Module:
    net = network()
    del net.fc
    return net


MODEL = replace(MODELS["resnet18"], name="small", build=body, imagenet=None)
STATE = network().state_dict()


def load(path: Path) -> nn.Module:
    return load_backbone(MODEL, find_weights(MODEL, str(path)))


def saved(path: Path, content: object, **options: bool) -> Path:
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert len(text) - text.count(str(path)) * len(str(path)) < 320
    return text


def behind(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


@pytest.mark.parametrize(
    "content",
    [
        *(behind(p) for p in ("module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.module.")),
        behind("_fsdp_wrapped_module."),
        {name.replace("norm.", "norm._orig_mod._checkpoint_wrapped_module."): v for name, v in STATE.items()},
        behind("module.") | {"n_averaged": torch.tensor(3)},
        {"state_dict": behind("module."), "epoch": 3, "optimizer": {"state": {0: {"mean": torch.ones(2)}}}},
        {name: value for name, value in STATE.items() if "tracked" not in name},
        STATE | {"fc.weight": torch.ones(9, 4), "fc.bias": torch.ones(9)},
        STATE | {"head.weight": torch.ones(9, 4), "head.bias": torch.ones(9)},
        OrderedDict((n, nn.Parameter(v) if v.is_floating_point() else v) for n, v in STATE.items()),
    ],
    ids=[
        "module", "compiled", "compiled parallel", "all of them", "fsdp", "within", "averaged",
        "training script", "without counters", "other classes", "head of a recipe", "parameters",
    ],
)  # fmt: skip
def test_prefixes_of_wrappers_classifiers_and_counters_are_no_part_of_a_body(tmp_path, content):
    assert torch.equal(load(saved(tmp_path / "w.pth", content)).conv.weight, STATE["conv.weight"])


OPTIMIZER = torch.optim.SGD(network().parameters(), lr=0.1)
REFUSED = {
    "net": ({"net": STATE, "acc": 93.1}, ["'net' (11 tensors), 'acc' (float)"]),
    "average": ({"model_ema": STATE}, ["'model_ema' (11 tensors)"]),
    "two": (
        {"model": STATE, "model_ema": behind("module.")},
        ["the one that you mean of ['model'] and ['model_ema']"],
    ),
    "nested": ({"model": {"state_dict": STATE}}, ["['model']['state_dict']"]),
    "mixed": (STATE | {"epoch": 5}, ["11 tensors by name, 'epoch' (int)"]),
    "integer": (STATE | {7: torch.ones(1)}, ["1 of 12 values under keys that are no names (int)"]),
    "several beside options": (
        {"model": STATE, "model_ema": STATE, "args": argparse.Namespace(lr=1)},
        ["the one that you mean of ['model'] and ['model_ema']", "weights_only=False"],
    ),
    "network beside a number": ({"model": network(), "epoch": 3}, ["'model' (container.Sequential)"]),
    "whole network": (network(), ["weights_only=False).state_dict()"]),
    "another prefix": ({"state_dict": behind("model.")}, ["names that begin with 'model.'"]),
    "two encoders": (
        behind("module.encoder_q.") | behind("module.encoder_k."),
        ["'module.encoder_q.' or 'module.enc"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_remedy_of_a_refused_checkpoint_makes_a_file_that_loads(tmp_path, monkeypatch, name):
    content, parts = REFUSED[name]
    text = refusal(saved(tmp_path / "w.pth", content))
    for part in [*parts, " alone", ": torch.save("]:
        assert part in text
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"torch\.save\(.*\)$", text)[0], {"torch": torch})
    assert torch.equal(load(tmp_path / "weights.pth").conv.weight, STATE["conv.weight"])


def test_the_remedy_for_a_prefix_in_safetensors_reads_safetensors(tmp_path, monkeypatch):
    safetensors.torch.save_file(behind("model."), tmp_path / "renamed.bin")
    text = refusal(tmp_path / "renamed.bin")
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"torch\.save\(.*\)$", text)[0], {"torch": torch, "safetensors": safetensors})
    assert torch.equal(load(tmp_path / "weights.pth").conv.weight, STATE["conv.weight"])


class Bomb:
    """A picklable object that would print when it is unpickled."""

    def __reduce__(self):
        return print, ("this must never run",)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (argparse.Namespace(lr=0.1, layers=[1, 2]), "argparse.Namespace"),
        (np.float64(93.1), "multiarray.scalar"),
        (np.ones(3), "multiarray._reconstruct"),
        (Path("data"), "pathlib.PosixPath"),
        (Bomb(), "builtins.print"),
    ],
    ids=["options", "scalar", "array", "path", "code"],
)
def test_python_objects_beside_weights_are_named_and_never_made(tmp_path, capsys, zipped, content, kind):
    path = saved(
        tmp_path / "w.pth", {"model": STATE, "extra": content}, _use_new_zipfile_serialization=zipped
    )
    text = refusal(path)
    assert f"'model' (11 tensors), 'extra' ({kind}" in text
    reading = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)['model']"
    assert f"save its state_dict alone: torch.save({reading}, 'weights.pth')" in text
    assert "never run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (network(), "torch.nn.modules.container.Sequential"),
        ({"model": network()}, "weights_only=False)['model'].state_dict(), 'weights.pth')"),
        (dict(enumerate(STATE.values())), "11 of 11 values under keys that are no names (int)"),
        ({"state_dict": dict(enumerate(STATE.values()))}, "(a mapping of 11, with keys that are no names)"),
        (STATE | {b"x": torch.ones(1)}, "1 of 12 values under keys that are no names (bytes)"),
        (STATE | {"\x1b[2J\n": torch.ones(1)}, r"the file holds 1 others (\x1b[2J\n)"),
        (list(STATE.values()), "a list of 11, not a mapping"),
        (torch.ones(3, 4), "one tensor, [3, 4], without a name"),
        (None, "a NoneType"),
        ({}, "a dict of 0"),
        (OPTIMIZER.state_dict(), "the state of an optimizer"),
        (STATE | {"module.conv.weight": STATE["conv.weight"]}, "'conv.weight' and 'module.conv.weight'"),
        ({f"{i}{'x' * 500}": torch.ones(1) for i in range(99)}, "8 of its 9 tensors are missing"),
        ({k: v for k, v in STATE.items() if "tail" not in k}, "2 of its 9 tensors are missing (tail"),
        (STATE | {"conv.weight": torch.ones(4, 1, 3, 3)}, "shape [4, 1, 3, 3], not [4, 3, 3, 3]"),
    ],
    ids=["network", "network within", "integers", "integers within", "bytes", "escapes",
         "list", "tensor", "none", "empty", "optimizer", "beside",
         "long names", "missing", "grey"],
)  # fmt: skip
def test_what_is_no_state_of_this_network_is_described_in_one_line(tmp_path, content, part):
    assert part in refusal(saved(tmp_path / "w.pth", content))


def test_a_checkpoint_of_another_model_is_recognised_by_its_size(tmp_path):
    with torch.device("meta"):
        shapes = MODELS["resnet50"].build().state_dict()
    path = saved(tmp_path / "w.pth", {name: torch.zeros(v.shape) for name, v in shapes.items()})
    assert "it has as many parameters as resnet50" in refusal(path)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "make", "part"),
    [
        ("w.pth", lambda good, safe: b"", "is empty"),
        ("w.pth", lambda good, safe: bytes(4000), "is empty"),
        ("w.pth", lambda good, safe: b"<!DOCTYPE html><html>404", "is a web page"),
        ("w.pth", lambda good, safe: b"version https://git-lfs.github.com/spec/v1\nsize 3\n", "git lfs pull"),
        ("w.pth", lambda good, safe: b'{"error": "rate limit"}', "is a text file"),
        ("w.pth", lambda good, safe: cut(good), "is cut off or damaged"),
        ("w.safetensors", lambda good, safe: cut(safe), "is cut off or damaged"),
        ("w.safetensors", lambda good, safe: safe[:50], "is cut off or damaged"),
        ("w.pth", lambda good, safe: gzip.compress(good), "is compressed .gzip.: unpack"),
        ("w.pth", lambda good, safe: b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xff", "is an ONNX graph"),
        ("w.pth", lambda good, safe: b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file"),
        ("w.pth", lambda good, safe: b"\x89PNG\r\n\x1a\n" + bytes(99), "neither a file of torch nor"),
    ],
    ids=["empty", "zeros", "page", "pointer", "json", "cut zip", "cut tensors", "cut header", "gzip", "onnx",
         "keras", "png"],
)  # fmt: skip
def test_files_that_are_no_checkpoints_are_named(tmp_path, name, make, part):
    good = saved(tmp_path / "good.pth", STATE).read_bytes()
    (tmp_path / name).write_bytes(make(good, safetensors.torch.save(STATE)))
    assert re.search(part, refusal(tmp_path / name))


def test_a_byte_that_changed_on_the_disk_is_noticed_by_the_checksums_of_the_file(tmp_path):
    content = bytearray(saved(tmp_path / "w.pth", STATE).read_bytes())
    content[content.index(STATE["conv.weight"].numpy().tobytes()) + 1] ^= 1
    (tmp_path / "w.pth").write_bytes(content)
    assert "is cut off or damaged" in refusal(tmp_path / "w.pth")


def test_a_file_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "w.pth", STATE)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load(path).conv.weight, STATE["conv.weight"])


def test_the_format_is_read_from_the_file_and_not_from_its_name(tmp_path):
    assert torch.equal(load(saved(tmp_path / "w.safetensors", STATE)).conv.weight, STATE["conv.weight"])


def test_a_program_or_an_archive_of_arrays_is_not_run(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "program.pt")
    np.savez(tmp_path / "arrays.npz", weight=np.ones(3))
    assert "torch.jit.load(" in refusal(tmp_path / "program.pt")
    assert "an archive of NumPy arrays" in refusal(tmp_path / "arrays.npz")


def test_an_archive_of_more_records_than_any_network_has_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mlproject.models.other_files.MOST_RECORDS", 3)
    torch.save(STATE, tmp_path / "w.pth")
    assert "records, more than any network has: save its state_dict alone" in refusal(tmp_path / "w.pth")


def test_an_archive_of_values_without_end_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("mlproject.models.other_files.MOST_PICKLED", 1000)
    torch.save({"model": STATE, "history": list(range(1000))}, tmp_path / "w.pth")
    assert "of names and values, more than any network" in refusal(tmp_path / "w.pth")


def changed(change) -> dict[str, torch.Tensor]:
    return STATE | {"conv.weight": change(STATE["conv.weight"])}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (changed(lambda v: v.to(torch.complex64)), "numbers of type complex64, which are not converted"),
        (changed(lambda v: v > 0), "numbers of type bool"),
        (changed(lambda v: (100 * v).to(torch.int8)), "numbers of type int8"),
        (changed(lambda v: v.to(torch.float8_e4m3fn)), "numbers of type float8_e4m3fn"),
        (changed(lambda v: v.to_sparse()), "is sparse: save tensor.to_dense()"),
        (changed(lambda v: v.to("meta")), "has a shape but no numbers"),
        (changed(lambda v: v * float("nan")), "not finite (first: conv.weight)"),
        (changed(lambda v: v.double() * 1e300), "not finite (first: conv.weight)"),
    ],
    ids=["complex", "bool", "int8", "float8", "sparse", "meta", "nan", "too large"],
)
def test_numbers_that_are_no_weights_are_not_converted(tmp_path, content, part):
    assert part in refusal(saved(tmp_path / "w.pth", content))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_used_as_float32_and_reported(tmp_path, caplog, dtype):
    path = saved(tmp_path / "w.pth", {name: value.to(dtype) for name, value in STATE.items()})
    net = load(path)
    assert torch.equal(net.conv.weight, STATE["conv.weight"].to(dtype).float())
    assert f"holds {str(dtype).removeprefix('torch.')}, used as float32" in caplog.text


def test_a_header_of_more_names_than_networks_have_is_refused_before_it_is_read(tmp_path):
    names = {f"k{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)}
    header = json.dumps(names).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert "begins with 1.3 MB of names, more than any network has" in refusal(path)


def test_a_mapping_that_stands_in_millions_of_places_is_looked_through_once(tmp_path):
    content = {"a": {"b": 1}}
    for _ in range(3):
        content = {f"k{i}": content for i in range(1000)}
    assert "'k0' (a mapping of 1000), 'k1'" in refusal(saved(tmp_path / "w.pth", content))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.float32])
def test_counters_are_whole_numbers_or_left_out(tmp_path, kind):
    path = saved(tmp_path / "w.pth", STATE | {"norm.num_batches_tracked": torch.tensor(3).to(kind)})
    if kind == torch.int32:
        assert "num_batches_tracked holds numbers of type int32" in refusal(path)
    else:
        assert load(path).norm.num_batches_tracked == (3 if kind == torch.int64 else 0)
