"""Per-image losses: what a table refuses, and a digest that changes with every bit of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import BadInput
from mlproject.losses import NotFinite, Observation, Outcome, PerImageLosses, cell_loss
from tests.conftest import make_cell, make_losses

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def table(losses: list[float], **changes: object) -> PerImageLosses:
    n = len(losses)
    fields = {
        "kind": "mse",
        "image_ids": tuple(f"{i}.png" for i in range(n)),
        "splits": ("eval",) * n,
        "values": {"mse": np.array(losses, np.float64)},
    }
    return PerImageLosses(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": ("eval",)}, "ids, splits and losses differ in length"),
        ({"values": {"mse": np.zeros(3)}}, "ids, splits and losses differ in length"),
        ({"kind": "mae"}, "no values of the trained loss 'mae'"),
        ({"image_ids": ("a", "a")}, "an image occurs twice in the table: splits must be disjoint"),
    ],
)
def test_a_table_that_contradicts_itself_cannot_be_built(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        table([1.0, 2.0], **changes)
    assert str(refused.value) == message


@given(values=st.lists(FINITE, min_size=1, max_size=6), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_any_value_that_is_not_finite_fails_the_cell_with_status_one(values: list[float], bad: float) -> None:
    with pytest.raises(NotFinite) as refused:
        table([*values, bad])
    assert str(refused.value) == f"mse is not finite for 1 images (first: {len(values)}.png)"
    assert refused.value.status == 1


def test_only_the_trained_loss_has_to_be_finite() -> None:
    losses = table([1.0], values={"mse": np.array([1.0]), "mae": np.array([np.nan])})
    assert losses.loss.tolist() == [1.0]


@given(values=st.lists(FINITE, min_size=1, max_size=6), data=st.data())
def test_the_digest_changes_with_any_bit_of_any_value(values: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    changed = data.draw(FINITE.filter(lambda v: np.float64(v).tobytes() != np.float64(values[at]).tobytes()))
    other = [*values[:at], changed, *values[at + 1 :]]
    assert table(values).digest == table(list(values)).digest != table(other).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"image_ids": ("b", "a")},
        {"splits": ("train", "eval")},
        {"values": {"mse": np.ones(2), "x": np.ones(2)}},
    ],
)
def test_the_digest_changes_with_ids_splits_and_kinds(changes: dict[str, object]) -> None:
    base = table([1.0, 1.0], image_ids=("a", "b"))
    assert replace(base, **changes).digest != base.digest


def test_the_digest_does_not_depend_on_the_order_of_kinds() -> None:
    losses = make_losses(3)
    backwards = dict(reversed(list(losses.values.items())))
    assert replace(losses, values=backwards).digest == losses.digest


@given(splits=st.lists(st.sampled_from(["train", "validation", "eval"]), min_size=1, max_size=12))
def test_the_splits_of_a_table_are_its_rows_each_once(splits: list[str]) -> None:
    losses = table([float(i) for i in range(len(splits))], splits=tuple(splits))
    parts = [losses.select(split) for split in ("train", "validation", "eval")]  # type: ignore[arg-type]
    assert sorted(v for part in parts for v in part.loss) == sorted(losses.loss)
    assert [part.image_ids for part in parts if "train" in part.splits] == (
        [tuple(f"{i}.png" for i, s in enumerate(splits) if s == "train")] if "train" in splits else []
    )


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"eval.loss": 0.5, "train.loss_final": 0.1}, 0.5),
        ({"train.loss_final": 0.1, "train.loss": 0.2}, 0.1),
        ({"eval.loss": 0.0}, 0.0),
        ({"train.loss": 0.2}, None),
        ({}, None),
    ],
)
def test_the_loss_of_a_cell_is_held_out_where_there_is_one(
    metrics: dict[str, float], expected: float | None
) -> None:
    assert cell_loss(metrics) == expected


def test_an_observation_without_a_loss_names_its_run_and_cell() -> None:
    cell = make_cell()
    seen = Observation(cell=cell, run_id="r1", metrics={}, losses_digest="", load_losses=make_losses)
    with pytest.raises(BadInput) as refused:
        _ = seen.loss
    assert str(refused.value) == f"run r1 of cell {cell.key} has no loss among its metrics"
    assert refused.value.status == 3
    assert replace(seen, metrics={"eval.loss": 0.25}).loss == 0.25
    assert seen.load_table("anything") == {}


def test_an_outcome_has_no_extras_unless_a_recipe_gives_them() -> None:
    outcome = Outcome(
        losses=make_losses(2), n_params=3, n_params_trained=1, flops_per_image=2.0, flops_total=4.0
    )
    assert (outcome.facts, outcome.provenance, outcome.tensors, outcome.tables) == ({}, {}, {}, {})
