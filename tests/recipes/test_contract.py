"""What every recipe keeps to, whatever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from mlproject.errors import WrongUse
from mlproject.losses import PREDICTIONS
from mlproject.recipes import LATER_KNOBS, RECIPES, build_recipe, full_knobs
from tests.recipes.doubles import QUICK, Images, Listener, Store, cell_of, install

pytestmark = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture
def outcome_of(name: str, monkeypatch: pytest.MonkeyPatch):
    install(monkeypatch, Store())
    recipe = build_recipe(name, QUICK.get(name, {}))
    evaluated = {"eval_size": 0} if RECIPES[name].only_in_sample else {}
    return lambda **changes: recipe.run(cell_of(name, **(evaluated | changes)), Images(), Listener())


@pytest.fixture(scope="module")
def outcomes():
    return {}


@pytest.fixture
def plain(name: str, outcome_of, outcomes):
    """The outcome of the plain cell of a recipe, which is run once."""
    if name not in outcomes:
        outcomes[name] = outcome_of()
    return outcomes[name]


def test_the_same_cell_gives_the_same_losses_bit_for_bit(outcome_of, plain):
    assert outcome_of().losses.digest == plain.losses.digest


def test_another_seed_gives_other_losses(outcome_of, plain):
    assert outcome_of(seed=1).losses.digest != plain.losses.digest


def test_every_image_has_one_finite_loss_and_splits_are_disjoint(name: str, plain):
    losses, n_eval = plain.losses, 0 if RECIPES[name].only_in_sample else 32
    assert len(losses.image_ids) == len(set(losses.image_ids)) == 96 + n_eval
    assert losses.splits == ("train",) * 96 + ("eval",) * n_eval
    assert np.isfinite(losses.loss).all()


def test_in_sample_cells_have_training_rows_only(outcome_of):
    losses = outcome_of(eval_size=0).losses
    assert set(losses.splits) == {"train"}
    assert losses.evaluated_split == "train"


def test_validation_images_are_evaluated_and_never_trained_on(name, outcome_of):
    if RECIPES[name].only_in_sample:
        with pytest.raises(WrongUse, match="no held-out images"):
            outcome_of(size=40, validation_size=8)
        return
    plain, validated = outcome_of(size=40).losses, outcome_of(size=40, validation_size=8).losses
    assert validated.splits == ("train",) * 40 + ("validation",) * 8 + ("eval",) * 32
    assert validated.evaluated_split == "eval"
    if not RECIPES[name].validates:  # otherwise they choose the epoch that is evaluated
        assert validated.select("eval").digest == plain.select("eval").digest


def test_counts_are_positive_and_consistent(plain):
    assert 0 < plain.n_params_trained <= plain.n_params
    assert 0 < plain.flops_per_image * 96 <= plain.flops_total


def test_numbers_and_tables_can_be_kept(plain):
    assert all(np.isfinite(value) for value in plain.facts.values())
    for columns in plain.tables.values():
        assert len({len(column) for column in columns.values()}) == 1


CLASSIFIERS = {"finetune": {}, "memorise": {}, "probe": {"target": "labels"}, "scratch": {}}


def test_a_classifier_keeps_label_and_predicted_label_of_every_image(name, monkeypatch):
    install(monkeypatch, Store())
    recipe = build_recipe(name, QUICK.get(name, {}) | CLASSIFIERS.get(name, {}))
    cell = cell_of(name, **({"eval_size": 0} if RECIPES[name].only_in_sample else {}))
    outcome = recipe.run(cell, Images(), Listener())
    table = outcome.tables.get(PREDICTIONS)
    assert (table is not None) == (name in CLASSIFIERS)
    if table is None:
        return
    assert list(table) == ["image_name", "split", "label", "predicted", "confidence"]
    assert 0.0 < min(table["confidence"]) <= max(table["confidence"]) <= 1.0
    assert (table["image_name"], table["split"]) == (outcome.losses.image_ids, outcome.losses.splits)
    images = Images()
    labels = dict(zip(images.ids, images.labels, strict=True))
    assert table["label"] == [f"class {labels[image]}" for image in table["image_name"]]
    wrong = np.array(table["label"]) != np.array(table["predicted"])
    if name == "memorise":  # another image of the same class is an error, and the right class
        assert (wrong <= (outcome.losses.values["error"] == 1)).all()
    else:
        np.testing.assert_array_equal(wrong, outcome.losses.values["error"])
    assert not any("predicted" in column for column in outcome.tables.get("epochs", {}))
    assert not any("predicted" in kind for kind in outcome.losses.values)


def test_knobs_are_concrete_and_build_the_recipe_again(name: str):
    recipe = build_recipe(name, {})
    knobs = full_knobs(recipe)
    assert set(knobs) == set(type(recipe).model_fields) - set(LATER_KNOBS)
    assert "auto" not in knobs.values()
    assert build_recipe(name, json.loads(json.dumps(knobs))) == recipe
    with pytest.raises(ValidationError, match="frozen"):
        recipe.lr = 1.0


def test_it_says_where_it_comes_from(name: str):
    assert RECIPES[name].reference
    assert RECIPES[name].version >= 1


@cache
def imported_by_building() -> dict[str, list[str]]:
    """Large packages in a new process after each recipe was built; one process for all of them."""
    code = (
        "import json, sys; from mlproject.recipes import RECIPES, build_recipe\n"
        "large = lambda: [package for package in ('torch', 'mlflow') if package in sys.modules]\n"
        "print(json.dumps({name: (build_recipe(name, {}), large())[1] for name in RECIPES}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_building_it_imports_no_torch(name: str):
    assert imported_by_building()[name] == []
