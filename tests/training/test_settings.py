"""Settings of a training: rates against closed forms, epochs that are evaluated, rules between knobs."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlproject.errors import WrongUse
from mlproject.training import Settings

STEPS = st.integers(1, 400)


@given(n=STEPS, warmup=st.floats(0, 0.9), schedule=st.sampled_from(["constant", "cosine"]))
def test_every_rate_is_positive_and_at_most_the_largest(n: int, warmup: float, schedule: str) -> None:
    settings = Settings(lr=0.5, warmup=warmup, schedule=schedule)  # type: ignore[arg-type]
    rates = [settings.rate(step, n) for step in range(n)]
    assert all(0 < rate <= 0.5 for rate in rates)


@given(n=STEPS, warmup=st.floats(0, 0.9))
def test_a_rate_rises_to_the_largest_and_then_only_falls(n: int, warmup: float) -> None:
    settings = Settings(lr=1.0, warmup=warmup)
    rates = [settings.rate(step, n) for step in range(n)]
    rising = round(warmup * n)
    assert rates[:rising] == sorted(rates[:rising])
    assert rates[rising:] == sorted(rates[rising:], reverse=True)
    assert max(rates) == 1.0


def test_half_a_cosine_has_its_values_at_the_quarters() -> None:
    settings = Settings(lr=2.0, warmup=0.0)
    expected = [2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5)]
    assert [settings.rate(step, 4) for step in range(4)] == pytest.approx(expected, abs=1e-12)


@given(n=st.integers(1, 500), most=st.integers(1, 80))
def test_epochs_are_evaluated_at_most_so_often_and_always_after_the_last(n: int, most: int) -> None:
    settings = Settings(judged_epochs=most)
    evaluated = [epoch for epoch in range(1, n + 1) if settings.evaluates(epoch, n)]
    assert evaluated[-1] == n
    assert len(evaluated) <= most
    assert most < n or evaluated == list(range(1, n + 1))


def test_steps_replace_epochs() -> None:
    settings = Settings(steps=7, epochs=3, batch_size=4)
    assert settings.epochs == 0
    assert settings.plan(10).n_steps == 7
    assert settings == Settings(steps=7, epochs=0, batch_size=4)


@given(n=st.integers(1, 200), batch=st.integers(1, 70), epochs=st.integers(1, 5))
def test_a_plan_has_the_steps_of_its_epochs(n: int, batch: int, epochs: int) -> None:
    assert Settings(batch_size=batch, epochs=epochs).plan(n).n_steps == epochs * math.ceil(n / batch)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"accumulate": 5, "batch_size": 4}, "accumulate must be at most batch_size, not 5"),
        ({"lr": 0.0}, "greater than 0"),
        ({"lr": math.inf}, "finite number"),
        ({"momentum": 1.0}, "less than 1"),
        ({"ema": 1.0}, "less than 1"),
        ({"warmup": -0.1}, "greater than or equal to 0"),
        ({"optimizer": "rmsprop"}, "'adam', 'adamw' or 'sgd'"),
        ({"precision": "fp16"}, "'fp32' or 'amp'"),
        ({"epochs": "3"}, "valid integer"),
        ({"epoch": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(**knobs)  # type: ignore[arg-type]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().lr = 1.0


def test_settings_are_made_without_torch() -> None:
    code = "import sys; from mlproject.training import Settings; Settings(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("optimizer", "decay"), [("adamw", 0.05), ("adam", 0.0), ("sgd", 0.05)])
def test_the_weight_decay_of_adamw_does_not_go_into_adam_by_default(optimizer: str, decay: float) -> None:
    assert Settings(optimizer=optimizer).weight_decay == decay  # type: ignore[arg-type]
    given = Settings(optimizer=optimizer, weight_decay=0.05)  # type: ignore[arg-type]
    assert given.weight_decay == 0.05


@pytest.mark.parametrize(("batch", "n", "name"), [(1, 8, "batch_size"), (4, 1, "dataset_size")])
def test_batches_and_data_below_the_fewest_images_of_a_network_are_refused_by_name(batch, n, name):
    assert Settings(batch_size=batch).plan(n).n_images == n
    with pytest.raises(WrongUse, match=f"{name} must be at least 2 for this network, not 1: its BatchNorm"):
        Settings(batch_size=batch).plan(n, fewest=2)
