"""The report of an ablation: no difference without its interval, all files written, nothing without arms."""

from __future__ import annotations

import csv
import re

import pytest
from mlproject.analysis.matrix import Versus
from mlproject.report.arms import accuracy, loss_difference, points
from mlproject.report.terminal import as_text

from mlproject.analysis import aggregate
from mlproject.analysis.effects import Effect
from mlproject.report import write_report
from tests.analysis.test_ablation import ARMS, by_size, observations

STUDY = [
    *(seen for seen in observations(3)),
    *(seen for seen in by_size(0.1) if seen.cell.dataset_size != 100),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    study = aggregate(STUDY, n_draws=200)
    folder = tmp_path_factory.mktemp("report")
    return study, {path.name: path for path in write_report(study, folder)}


def test_every_artifact_of_an_ablation_is_written(written):
    _, files = written
    wanted = {"ablations.csv", "interactions.csv", "exponent_differences.csv"}
    wanted |= {f"arms_net_a-100-images-toys.{kind}" for kind in ("png", "pdf")}
    wanted |= {"arm_augmentation-flips_by_training_images.png"}
    assert wanted <= set(files)
    assert all(files[name].stat().st_size > 500 for name in wanted)


def test_no_difference_stands_without_its_interval(written):
    _, files = written
    with files["ablations.csv"].open() as file:
        rows = list(csv.DictReader(file))
    compared = [row for row in rows if row["arm"] != "baseline"]
    assert {row["arm"] for row in compared} == {*ARMS, "model=net_b"}
    for row in compared:
        for name in ("loss_difference", "error_difference"):
            low, value, high = (float(row[f"{name}{end}"]) for end in ("_low", "", "_high"))
            assert low <= value <= high
            assert row[f"{name}_p_holm"]
            assert row[f"{name}_verdict"]
    assert all(row["loss_best_on_validation"] and row["loss_final"] for row in rows)


def test_the_summary_and_the_terminal_tell_every_arm(written):
    study, files = written
    page, text = files["summary.md"].read_text("utf-8"), as_text(study)
    for arm in [*ARMS, "model=net_b"]:
        assert arm.replace("_", r"\_") in page
        assert arm in text
    assert "### Interactions" in page
    assert "### Exponents of arms" in page
    lines = [line for line in page.splitlines() if line.startswith("| augmentation=flips |")]
    assert lines
    assert all(len(re.findall(r"\[[^\]]+\]", line)) >= 2 for line in lines)


def test_accuracies_are_told_in_points_with_their_sign():
    found = Effect(value=-0.012, low=-0.032, high=0.008, p=0.2, n_seeds=5, n_images=400)
    told = Versus(effect=found, holm=0.4)
    assert points(told) == "+1.2 [-0.8, +3.2]"
    assert loss_difference(told) == "-0.012 [-0.032, +0.008]"
    own = Effect(value=0.25, low=0.2, high=0.31, p=0, n_seeds=5, n_images=400)
    assert accuracy(own) == "75.0 [69.0, 80.0]"


def test_a_study_without_arms_has_nothing_of_them(tmp_path):
    study = aggregate([seen for seen in observations(2) if seen.cell.knobs["dropout"] == 0.2][:1], n_draws=50)
    names = {path.name for path in write_report(study, tmp_path)}
    assert not [name for name in names if name.startswith("arm") or "ablation" in name]
    assert "Arms" not in as_text(study)
