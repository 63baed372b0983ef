from dataclasses import replace

import pytest

from mlproject.training import keep_speed, training_seconds
from tests.conftest import make_cell


@pytest.fixture
def scratch_cell(monkeypatch, tmp_path):
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path))
    return make_cell(recipe="scratch", knobs={"epochs": 2, "batch_size": 32, "lr": 0.1, "side": 28})


def test_the_time_of_a_training_is_told_by_the_speed_of_the_last_one_of_its_kind(scratch_cell):
    assert training_seconds(scratch_cell) is None
    keep_speed(scratch_cell, 50.0)
    longer = replace(scratch_cell, dataset_size=100, knobs={**scratch_cell.knobs, "epochs": 7, "lr": 0.5})
    assert training_seconds(longer) == 14
    counted = replace(longer, knobs={**longer.knobs, "steps": 30, "epochs": 0, "batch_size": 64})
    assert training_seconds(counted) is None  # batches of another size were not timed
    keep_speed(counted, 10.0)
    assert training_seconds(counted) == 192


def test_a_damaged_speed_counts_as_none(scratch_cell, tmp_path):
    keep_speed(scratch_cell, 50.0)
    (path,) = tmp_path.glob("training-speed-*.json")
    path.write_text("[]")
    assert training_seconds(scratch_cell) is None
