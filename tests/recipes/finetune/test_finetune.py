"""Fine-tuning: counts, frozen parts, kill and resume, the collapse alarm, and what is refused."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mlproject.errors import DigestMismatch, WrongUse
from mlproject.features import unfinished_folder
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.recipes import build_recipe
from mlproject.recipes.finetune import Finetune
from mlproject.recipes.finetune import run as finetuning
from mlproject.recipes.finetune.run import FinetunedNetwork, build_tuned, run_finetune
from mlproject.training import train
from tests import processes
from tests.recipes.doubles import Images, Listener, cell_of, network_outcome

TINY = {"side": 8, "epochs": 3, "batch_size": 16}
SHORT = {"size": 32, "epochs": 2}


def cell(*, size=64, validation_size=16, seed=0, eval_size=32, **knobs):
    return cell_of(
        "finetune", size=size, validation_size=validation_size, seed=seed, eval_size=eval_size, **TINY | knobs
    )


def outcome(*, images=None, report=None, **changes):
    this = cell(**changes)
    return build_recipe("finetune", this.knobs).run(this, images or Images(200), report or Listener())


@pytest.mark.parametrize(
    ("model", "n_params"),  # body and head for 100 classes, as torchvision 0.29 counts them
    [("resnet50", 23_712_932), ("resnext50_32x4d", 23_184_804), ("resnext101_32x8d", 86_947_236)],
)
def test_body_and_head_for_a_hundred_classes_have_the_published_parameters(model, n_params):
    found = find_model(model)
    with torch.device("meta"):
        net = FinetunedNetwork(found.build(), found.width, 100, Finetune(dropout=0.7))
    assert sum(p.numel() for p in net.parameters()) == n_params


@pytest.mark.parametrize(
    ("encoding", "n_head"),
    [("none", 204_900), ("pixels", 204_900), ("features", 1_228_900), ("copies", 1_228_900)],
)
def test_the_head_of_an_encoding_has_a_control_of_the_same_size(encoding, n_head):
    with torch.device("meta"):
        net = FinetunedNetwork(nn.Identity(), 2048, 100, Finetune(encoding=encoding))
    assert sum(p.numel() for p in net.head.parameters()) == n_head


@pytest.mark.parametrize("knobs", [{"trained_stages": 0}, {"trained_stages": 1}, {"norms": "frozen"}])
def test_frozen_parts_are_bit_identical_after_training(knobs):
    this = cell(lr=0.05, **knobs)
    before = build_tuned(Finetune(**this.knobs), this, find_model(this.model), 4).body
    frozen = {name for name, p in before.named_parameters() if not p.requires_grad}
    still = {
        f"{name}.{buffer}".lstrip(".")
        for name, module in before.named_modules()
        for buffer, _ in module.named_buffers(recurse=False)
        if all(f"{name}.{p}".lstrip(".") in frozen for p, _ in module.named_parameters(recurse=False))
    }
    after = outcome(lr=0.05, **knobs).tensors
    old = {name: value.numpy() for name, value in before.state_dict().items()}
    same = {name for name, value in old.items() if np.array_equal(value, after[name])}
    assert frozen | still == same
    assert frozen
    assert still


def test_training_everything_moves_everything():
    this = cell(lr=0.05)
    before = build_tuned(Finetune(**this.knobs), this, find_model(this.model), 4).body
    after = outcome(lr=0.05).tensors
    assert not [n for n, p in before.named_parameters() if np.array_equal(p.detach().numpy(), after[n])]


def test_it_learns_and_evaluates_the_evaluation_images_once():
    report = Listener()
    found = outcome(report=report, epochs=25, lr=0.01)
    assert found.facts["accuracy"] > 0.7
    assert not any("eval" in name for _, row in report.points for name in row)
    assert {"train.same_cosine_epoch", "train.different_cosine_epoch"} <= set(report.points[0][1])
    columns = found.losses.select("eval").values
    assert {"cross_entropy", "error", "final_cross_entropy", "final_error"} <= set(columns)


@pytest.mark.parametrize(("knobs", "share"), [({"trained_stages": 0}, 1.1), ({"trained_stages": -1}, 3.0)])
def test_compute_counts_what_the_backward_pass_does(knobs, share):
    found = outcome(**knobs)
    per_image = found.flops_total / (64 * 3)
    assert per_image / found.flops_per_image == pytest.approx(share, abs=0.3)


@pytest.fixture(scope="module")
def plain():
    return outcome(**SHORT)


@pytest.mark.parametrize(
    "knobs",
    [
        {"augmentation": "seed"},
        {"augmentation": "modern", "mixup": 0.2, "cutmix": 1.0},
        {"contrast": "signed"},
        {"contrast": "hinged", "margin": 0.2},
        {"contrast": "supcon", "label_smoothing": 0.1},
        {"encoding": "features"},
        {"encoding": "pixels"},
        {"ema": 0.9, "optimizer": "sgd", "lr": 0.01},
    ],
    ids=lambda knobs: "-".join(f"{k}={v}" for k, v in knobs.items()),
)
def test_every_knob_changes_the_losses_and_the_same_cell_does_not(knobs, plain):
    first, again = outcome(**SHORT | knobs), outcome(**SHORT | knobs)
    assert first.losses.digest == again.losses.digest
    assert first.losses.digest != plain.losses.digest


def test_a_contrastive_term_is_told_apart_from_the_cross_entropy():
    history = outcome(contrast="supcon", contrast_weight=0.5).tables["epochs"]
    parts = zip(history["train_cross_entropy"], history["train_contrast"], strict=True)
    assert history["train_loss"] == pytest.approx([a + 0.5 * b for a, b in parts], rel=1e-5)
    assert all(-1 <= v <= 1 for v in [*history["train_same_cosine"], *history["train_different_cosine"]])


class Constant(nn.Module):
    """A body that has collapsed: one direction for every image, and a trace of the image."""

    def __init__(self, trace: float) -> None:
        super().__init__()
        self.scale, self.trace = nn.Parameter(torch.ones(1)), trace

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = nn.functional.adaptive_avg_pool2d(x, (1, 8)).mean(1).flatten(1)
        return self.scale * (self.trace * seen + 10 * (1 - self.trace))


@pytest.mark.parametrize(("trace", "alarm"), [(0.0, 1.0), (0.02, 1.0), (1.0, 0.0)])
def test_the_alarm_tells_a_planted_collapse_and_nothing_else(monkeypatch, caplog, trace, alarm):
    this = cell(contrast="signed", lr=1e-4)
    model = replace(find_model(this.model), width=8, build=lambda: Constant(trace))
    monkeypatch.setattr(finetuning, "planned_model", lambda *_: model)
    monkeypatch.setattr(finetuning, "planned_weights", lambda *_: find_weights(model, "random"))
    monkeypatch.setattr(finetuning, "load_backbone", lambda model, weights: model.build())
    found = run_finetune(Finetune(**this.knobs), this, Images(200), Listener())
    assert found.facts["collapsed"] == alarm
    assert ("collapsed" in caplog.text) == bool(alarm)
    if alarm:
        assert abs(found.facts["same_cosine"] - found.facts["different_cosine"]) < 0.02


def test_the_alarm_is_silent_on_a_network_that_learned(caplog):
    assert outcome(epochs=10, lr=0.01).facts["collapsed"] == 0.0
    assert "collapsed" not in caplog.text


def train_in_one_thread() -> None:
    torch.set_num_threads(1)
    train.__kwdefaults__["save_seconds"] = 0.0
    outcome(**INTERRUPTED)


INTERRUPTED = dict(epochs=12, augmentation="modern", contrast="signed", dropout=0.5, ema=0.9)


@pytest.mark.slow
def test_a_process_killed_outright_is_resumed_bit_for_bit(tmp_path, monkeypatch, one_thread):
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "killed" / "features"))
    kept = unfinished_folder(cell(**INTERRUPTED).key) / "training.safetensors"
    killed = processes.started(train_in_one_thread)
    processes.wait_for(kept.exists, killed)
    killed.kill()
    assert processes.ended(killed) == -signal.SIGKILL
    resumed = outcome(**INTERRUPTED)
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "whole" / "features"))
    whole = outcome(**INTERRUPTED)
    assert resumed.losses.digest == whole.losses.digest
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(np.array_equal(value, whole.tensors[name]) for name, value in resumed.tensors.items())


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"trained_stages": -2}, "trained_stages must be -1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"mixup": -0.1}, "mixup must be 0 or more"),
        ({"contrast": "supcon", "temperature": 0.0}, "temperature must be positive"),
        ({"margin": 1.0}, "margin must be at least -1"),
        ({"frequencies": 0}, "frequencies must be 1 to 16"),
        ({"contrast": "supcn"}, "did you mean supcon"),
        ({"encoding": "feature"}, "did you mean features"),
        ({"augmentation": "sed"}, "did you mean seed"),
        ({"contrast": "signed", "cutmix": 1.0}, "contrast must be none with mixup or cutmix"),
        ({"lerning_rate": 1.0}, "unknown knob of finetune"),
    ],
)
def test_knobs_that_break_a_rule_are_refused(knobs, message):
    with pytest.raises(WrongUse, match=message):
        build_recipe("finetune", knobs)


@pytest.mark.parametrize(
    ("changes", "knobs", "message"),
    [
        ({}, {"trained_stages": 99}, "trained_stages must be at most 4"),
        ({"image_scales": (1.0, 2.0)}, {}, "image_scales must be 1"),
        ({"model": "segmenter_w4_i1"}, {}, "model must classify whole images"),
        ({"model": "vit_b_16"}, {}, "side must be 224 for vit_b_16, not 8"),
    ],
)
def test_cells_that_cannot_be_fine_tuned_are_refused_in_one_line(changes, knobs, message):
    this = replace(cell(**knobs), **changes)
    with pytest.raises(WrongUse, match=message) as error:
        run_finetune(Finetune(**this.knobs), this, Images(200), Listener())
    assert "\n" not in str(error.value)


def test_one_class_gives_nothing_to_learn():
    with pytest.raises(WrongUse, match="at least 2 classes"):
        outcome(images=Images(200, n_classes=1))


def test_weights_that_changed_since_the_plan_are_refused():
    this = replace(cell(), weights_digest="other")
    with pytest.raises(DigestMismatch, match="changed after the cell was planned"):
        run_finetune(Finetune(**this.knobs), this, Images(200), Listener())


def test_without_validation_images_the_last_epoch_is_evaluated():
    found = outcome(validation_size=0)
    assert found.facts["best_epoch"] == 3
    columns = found.losses.select("eval").values
    assert np.array_equal(columns["cross_entropy"], columns["final_cross_entropy"])


def test_the_network_begins_as_the_pretrained_one():
    this = cell(encoding="pixels")
    model = find_model(this.model)
    net = build_tuned(Finetune(**this.knobs), this, model, 4).eval()
    plain = load_backbone(model, find_weights(model, this.weights))
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(net(x)[0], plain(x), atol=1e-6)


@pytest.mark.parametrize("recipe", ["finetune", "scratch", "segment"])
@pytest.mark.parametrize(
    ("size", "knobs"), [(33, {"batch_size": 32}), (32, {"batch_size": 32, "accumulate": 32})]
)
def test_every_recipe_trains_where_an_image_would_be_alone_in_a_batch_norm(recipe, size, knobs):
    side = 4 if recipe == "segment" else 8
    found = network_outcome(recipe, size=size, side=side, epochs=1, **knobs)
    assert found.facts["samples"] == size
    assert found.facts["steps"] == 1


def test_a_side_that_a_network_cannot_take_is_refused_before_training():
    with pytest.raises(WrongUse, match="cannot take inputs of 16 x 16 pixels"):
        run_finetune(Finetune(side=16), replace(cell(side=16), model="vgg11"), Images(200), Listener())
