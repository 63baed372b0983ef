"""The tables of a plan: every key that is misspelt names the near match, every value its rule."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlproject.errors import MLProjectError, WrongUse
from mlproject.plans import plan_of, read_plan
from mlproject.plans.tables import SIZE_RULE, Coordinates, PlanTable
from mlproject.recipes import RECIPES, described, validated

GRID = '[[grid]]\nmodel = "resnet18"\nweights = "random"\n'
LETTERS = "abcdefghijklmnopqrstuvwxyz_"


def message_of(text: str, folder: Path, **overrides: object) -> str:
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongUse) as caught:
        read_plan(path, overrides)
    return str(caught.value)


@st.composite
def misspelt(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, str]:
    """A name with one letter left out, doubled or replaced."""
    name = draw(st.sampled_from([name for name in names if len(name) > 3]))
    at = draw(st.integers(min_value=0, max_value=len(name) - 1))
    new = draw(st.sampled_from(["", 2 * name[at], draw(st.sampled_from(LETTERS))]))
    wrong = name[:at] + new + name[at + 1 :]
    assume(wrong not in names)
    return name, wrong


@settings(max_examples=60)
@given(misspelt(tuple(Coordinates.model_fields)))
def test_a_misspelt_coordinate_of_a_plan_names_the_near_match(
    tmp_path_factory: pytest.TempPathFactory, names: tuple[str, str]
) -> None:
    name, wrong = names
    message = message_of(f"{GRID}{wrong} = 1\n", tmp_path_factory.getbasetemp())
    assert message.startswith(f"plan.toml, grid 1: unknown key '{wrong}'; did you mean ")
    assert name in message.replace("?", " ").split()


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(RECIPES)).flatmap(
        lambda r: st.tuples(st.just(r), misspelt(tuple(RECIPES[r].model_fields)))
    )
)
def test_a_misspelt_knob_of_any_recipe_names_the_near_match(pair: tuple[str, tuple[str, str]]) -> None:
    recipe, (name, wrong) = pair
    assume(wrong not in {*RECIPES[recipe].model_fields, *Coordinates.model_fields})
    with pytest.raises(WrongUse) as caught:
        plan_of("x", {"recipe": recipe, "model": "resnet18", wrong: 1})
    assert str(caught.value).startswith(f"unknown coordinate or knob of {recipe} '{wrong}'; did you mean ")
    assert name in str(caught.value).replace("?", " ").split()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'nam = "x"\n{GRID}', "plan.toml: unknown key 'nam'; did you mean name?"),
        (f"name = 3\n{GRID}", "plan.toml: name must be text, not 3"),
        ("grid = []", "plan.toml: grid must be at least one [[grid]] table, not []"),
        ('model = "x"', "plan.toml: model stands above the grids: write it below [[grid]]"),
        (f"epochs = 3\n{GRID}", "plan.toml: epochs stands above the grids: write it below [grid.knobs]"),
        ('[[grids]]\nmodel = "x"', "plan.toml: unknown key 'grids'; did you mean grid?"),
        (f"{GRID}knobs = 3", "plan.toml, grid 1: knobs must be a table, not 3"),
        (f"{GRID}knobs = {{ lr = nan }}", "plan.toml, grid 1: lr must be positive and finite, not nan"),
        (f"{GRID}knobs = {{ lr = inf }}", "plan.toml, grid 1: lr must be positive and finite, not inf"),
        (f"{GRID}seed = -1", "plan.toml, grid 1: seed must be 0 or more, not -1"),
        (f"{GRID}dataset_size = 1.5", f"plan.toml, grid 1: dataset_size {SIZE_RULE}, not 1.5"),
        (f"{GRID}dataset_size = true", f"plan.toml, grid 1: dataset_size {SIZE_RULE}, not True"),
        (f"{GRID}dataset_size = 0.0", f"plan.toml, grid 1: dataset_size {SIZE_RULE}, not 0.0"),
        (f"{GRID}dataset_size = 0", "plan.toml, grid 1: dataset_size must be at least 1, not 0"),
        (f"{GRID}seed = [[1]]", "plan.toml, grid 1: seed must be text, a number or a truth value, not [1]"),
        (f'{GRID}draw = "prefx"', "plan.toml, grid 1: unknown draw 'prefx'; did you mean prefix?"),
        (
            f'{GRID}knobs = {{ model = "resnet50" }}',
            "plan.toml, grid 1: model is given twice: in the grid and in its knobs",
        ),
        (
            f'{GRID}eval_size = "all"',
            "plan.toml, grid 1: eval_size must be auto, in-sample or a whole number, not 'all'",
        ),
        (
            '[[grid]]\nweights = "random"',
            "plan.toml, grid 1: model is missing; name one, for example model=resnet50",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    assert message_of(text, tmp_path) == message


DIGITS = "9" * 5000
HEX = "0x" + "f" * 5000
NO_SCALES = "image_scales must be numbers such as 1,2 or 224,448, not"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (f"{GRID}seed = {DIGITS}", "is not a TOML plan: Exceeds the limit"),
        (f"{GRID}seed = {HEX}", "seed must be at most 9,223,372,036,854,775,807, not a value"),
        (f"{GRID}eval_size = {HEX}", "eval_size must be at most 9,223,372,036,854,775,807"),
        (f"{GRID}recipe = {HEX}", "unknown recipe "),
        (f"{GRID}dataset_size = 1e308", f"dataset_size {SIZE_RULE}, not 1e+308"),
        (f'{GRID}dataset_size = "{DIGITS}"', f"dataset_size {SIZE_RULE}, not '999"),
        (f"{GRID}dataset_size = {10**18}", f"dataset_size {SIZE_RULE}, not 1000"),
        (f"{GRID}knobs.steps = 1e308", "steps must be at most 9,223,372,036,854,775,807, not 1000"),
        (f"{GRID}knobs.steps = 10_000_001", "steps must be at most 10,000,000, not 10000001"),
        (f"{GRID}knobs.epochs = 10_000_000", "epochs=10,000,000 of 200 images in batches of 32"),
        (f'{GRID}knobs.steps = "{DIGITS}"', "steps must be a whole number, not '999"),
        (f"{GRID}image_scales = true", f"{NO_SCALES} True"),
        (f"{GRID}image_scales = [1, true]", f"{NO_SCALES} [1, True]"),
        (f"{GRID}image_scales = {'1' * 400}", "image_scales must be at most 9,223,372,036,854,775,807, not"),
        (f'{GRID}image_scales = "{"1" * 400}"', "image_scales must be positive and finite, not '1111"),
        (f"{GRID}image_scales = {list(range(1, 99))}", "image_scales must be at most 64 numbers"),
        (f"{GRID}seed = {'[' * 90_000}", "is not a TOML plan: maximum recursion"),
        (f"{GRID}knobs = {'{a=' * 99}1{'}' * 99}", "a must be text, a number or a truth value, not {'a'"),
        (f'name = "{"x" * 251}"\n{GRID}', "name must have at most 250 characters, not 'xxx"),
        (f'{GRID}model = "{"x" * 99_999}"'.replace('model = "resnet18"\n', ""), "unknown model 'xxx"),
        (f'{GRID}data = ""', "data must name a data set or a folder, not ''"),
        (f'{GRID}data = "/{"x" * 300}"', "cannot read the folder"),
        (f"[tune]\ntrials = {10**30}\n{GRID}", "trials must be at most 9,223,372,036,854,775,807"),
        (f"[tune]\ntrials = 1_000_001\n{GRID}", "trials must be at most 1,000,000, not 1000001"),
        (f"[tune]\ntrials = true\n{GRID}", "trials must be a whole number, not True"),
        (f"[tune]\ntimeout = nan\n{GRID}", "timeout must be 0 or more and finite, not nan"),
        (f"[tune]\nspace.lr = {{ low = 1, high = {'1' * 400} }}\n{GRID}", "high of lr must be a number"),
    ],
)  # fmt: skip
def test_huge_deep_and_strange_values_are_one_short_line(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MLProjectError) as refusal:
        read_plan(path, {})
    message = str(refusal.value)
    assert part in message
    assert "\n" not in message
    assert len(message) < 700 + len(str(path))


def test_overrides_are_held_to_the_same_rules(tmp_path: Path) -> None:
    message = message_of(GRID, tmp_path, dataset_sise="3")
    assert message.endswith("unknown coordinate or knob of probe 'dataset_sise'; did you mean dataset_size?")


@given(st.lists(st.floats(min_value=0.25, max_value=2000), min_size=1, max_size=4))
def test_image_scales_are_the_same_as_text_list_or_single_number(scales: list[float]) -> None:
    forms: list[object] = [scales, ",".join(map(repr, scales)), *(scales if len(scales) == 1 else [])]
    points = [
        validated(Coordinates, {"model": "m", "image_scales": form}, kind="coordinate") for form in forms
    ]
    assert {point.image_scales for point in points} == {tuple(scales)}


@pytest.mark.parametrize("scales", ["1,2,x", "", [[1]], None])
def test_image_scales_that_are_no_numbers_are_refused(scales: object) -> None:
    with pytest.raises(WrongUse, match="image_scales must be numbers such as 1,2 or 224,448"):
        validated(Coordinates, {"model": "m", "image_scales": scales}, kind="coordinate")


@pytest.mark.parametrize("table", [PlanTable, Coordinates])
def test_every_key_is_described_for_the_reference(table: type) -> None:
    rows = described(table)
    assert len(list(rows)) == len(table.model_fields)
    assert all(field.description.endswith(".") for field in table.model_fields.values())
