"""Models of knobs: every field is described, and faults are one line with field, rule and value."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from mlproject.errors import WrongUse
from mlproject.plans.tables import Coordinates, PlanTable
from mlproject.recipes import RECIPES, STRICT, build_recipe, described, optimizer_notes, validated
from mlproject.tuning.search import Tune
from tests.recipes.doubles import cell_of


class Sample(BaseModel):
    model_config = STRICT

    count: Annotated[int, Field(ge=1, description="How many.")] = 3
    share: Annotated[float, Field(ge=0, lt=1, description="A share.")] = 0.5
    size: int | Literal["auto"] = "auto"
    name: str


@pytest.mark.parametrize("model", [*RECIPES.values(), Coordinates, PlanTable, Tune])
def test_every_field_has_a_description_and_a_type_in_words(model: type[BaseModel]) -> None:
    for row in described(model):
        assert row.description.endswith("."), row.name
        assert row.type
        assert "<" not in row.type + row.default


def test_bounds_and_defaults_are_in_the_reference() -> None:
    rows = {row.name: row for row in described(RECIPES["scratch"])}
    assert (rows["warmup"].default, rows["warmup"].rule) == ("0.1", "must be at least 0 and below 1")
    assert rows["optimizer"].type == "adam, adamw, sgd"
    assert rows["lr"].rule == "must be positive and finite"
    assert {row.name for row in described(RECIPES["segment"])} < set(rows)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "cuont": 1}, "sample: unknown key 'cuont'; did you mean count?"),
        ({"name": "x", "count": "0"}, "sample: count must be at least 1, not 0"),
        ({"name": "x", "count": 1.5}, "sample: count must be a whole number, not 1.5"),
        ({"name": "x", "count": None}, "sample: count must be a whole number, not None"),
        ({"name": "x", "share": "nan"}, "sample: share must be at least 0 and below 1, not nan"),
        ({"name": "x", "size": "large"}, "sample: size must be auto or a whole number, not 'large'"),
        ({"name": 3}, "sample: name must be text, not 3"),
        ({}, "sample: name is missing"),
    ],
)
def test_a_fault_is_one_line_with_field_rule_and_value(values: dict[str, object], message: str) -> None:
    with pytest.raises(WrongUse) as caught:
        validated(Sample, values, kind="key", prefix="sample: ")
    assert str(caught.value) == message


def test_text_is_read_and_numbers_take_the_type_of_their_field() -> None:
    sample = validated(Sample, {"name": "1", "count": "1e1", "share": 0, "size": "7"}, kind="key")
    assert sample == Sample(name="1", count=10, share=0.0, size=7)
    assert type(sample.share) is float


def test_large_integers_are_read_exactly() -> None:
    assert validated(Sample, {"name": "", "count": str(2**60 + 1)}, kind="key").count == 2**60 + 1


@pytest.mark.parametrize("name", ["finetune", "scratch", "segment"])
def test_a_number_of_steps_replaces_epochs(name: str) -> None:
    recipe = build_recipe(name, {"steps": "40", "epochs": 9})
    assert (recipe.steps, recipe.epochs) == (40, 0)
    with pytest.raises(WrongUse, match="epochs must be at least 1, not 0"):
        build_recipe(name, {"epochs": 0})


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_defaults_of_a_recipe_suit_its_default_optimiser(recipe: str) -> None:
    assert optimizer_notes(cell_of(recipe)) == []


DECAYING = [name for name, recipe in RECIPES.items() if "weight_decay" in recipe.model_fields]


@pytest.mark.parametrize("recipe", DECAYING)
def test_only_a_weight_decay_that_is_given_is_coupled_into_adam_and_noted(recipe: str) -> None:
    assert cell_of(recipe, optimizer="adam").knobs["weight_decay"] == 0
    solver = {"solver": "gradient"} if "solver" in RECIPES[recipe].model_fields else {}
    (note,) = optimizer_notes(cell_of(recipe, optimizer="adam", weight_decay=0.05, **solver))
    assert note.startswith("weight_decay=0.05 goes into Adam as an L2 term")
    assert optimizer_notes(cell_of(recipe, optimizer="adamw", weight_decay=0.05, **solver)) == []


def test_settings_that_do_not_suit_an_optimiser_are_noted() -> None:
    (note,) = optimizer_notes(cell_of("scratch", momentum=0.5))
    assert note == "momentum=0.5 changes nothing: optimizer=adamw has none, sgd has"
    (note,) = optimizer_notes(cell_of("finetune", optimizer="sgd", momentum=0.5))
    assert note == "lr=0.0003 is the default for adamw; sgd usually needs ten times as much or more"
    assert optimizer_notes(cell_of("finetune", optimizer="sgd", lr=0.01)) == []
    assert optimizer_notes(cell_of("memorise", momentum=0.9)) == []
    assert optimizer_notes(cell_of("probe", solver="ridge")) == []
