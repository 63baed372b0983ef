import cProfile
import pstats
from dataclasses import replace
from pathlib import Path

import pytest

from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.models import find_weights
from mlproject.plans import MOST_CELLS, Plan, cells, grids, plan_of, read_plan
from mlproject.recipes import validated

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.toml"))
LITE = 'model = "efficientnet_lite0"\nweights = "imagenet"\n'


def plan(tmp_path: Path, text: str, **overrides: object) -> Plan:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return read_plan(path, overrides)


STAND_IN = {"data": "embedded", "dataset_size": [100, 200], "eval_size": 100, "validation_size": 100}
"""For plans of published data that this machine has not got."""
FETCHED = ("seed-finetuning",)
"""Plans whose pretrained weights have to be fetched first."""


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_plan_in_the_repository_builds_its_cells(path: Path) -> None:
    try:
        found = read_plan(path, {})
    except BadInput:
        found = read_plan(path, STAND_IN | ({"weights": "random"} if path.stem in FETCHED else {}))
    assert found.name == path.stem
    assert len({cell.key for cell in found.cells}) == len(found.cells) > 0


def test_lists_make_a_product_with_model_slowest_and_seed_fastest(tmp_path: Path) -> None:
    text = '[[grid]]\nweights = "random"\nmodel = ["resnet18", "resnet50"]\nseed = [0, 1]\n'
    cells = plan(tmp_path, text + "dataset_size = [10, 20]\n").cells
    found = [(c.model, c.dataset_size, c.seed) for c in cells]
    assert found == sorted(found, key=lambda c: (c[0], c[1], c[2]))
    assert len(found) == 8


def test_a_knob_may_be_a_list_too(tmp_path: Path) -> None:
    cells = plan(tmp_path, f"[[grid]]\n{LITE}knobs = {{ lr = [1e-3, 1e-2] }}\n").cells
    assert [cell.knobs["lr"] for cell in cells] == [1e-3, 1e-2]


def test_an_override_replaces_a_value_in_every_grid(tmp_path: Path) -> None:
    text = f"[[grid]]\n{LITE}[[grid]]\n{LITE}dataset_size = 30\n"
    cells = plan(tmp_path, text, dataset_size="40,50", epochs="7").cells
    assert [(c.dataset_size, c.knobs["epochs"]) for c in cells] == [(40, 7), (50, 7)]


def test_validation_images_are_taken_from_the_pool_before_the_draw(tmp_path: Path) -> None:
    cell = plan(tmp_path, f"[[grid]]\n{LITE}validation_size = 500\n").cells[0]
    assert (cell.validation_size, cell.eval_size) == (500, 1000)
    (all_others,) = plan(tmp_path, f"[[grid]]\n{LITE}validation_size = 500\ndataset_size = 'all'\n").cells
    assert (all_others.validation_size, all_others.dataset_size) == (500, 2700)


def test_scales_in_pixels_are_multiples_of_the_input_side() -> None:
    by_pixels = plan_of("x", {"model": "resnet18", "weights": "random", "image_scales": "224,448"})
    by_multiple = plan_of("x", {"model": "resnet18", "weights": "random", "image_scales": "1,2"})
    assert by_pixels.cells == by_multiple.cells
    assert by_pixels.cells[0].image_scales == (1.0, 2.0)


def test_training_from_scratch_knows_no_native_pixels() -> None:
    given = {"recipe": "scratch", "model": "resnet18", "image_scales": "1,2", "large_images": "native"}
    with pytest.raises(WrongUse, match="large_images must be interpolated for recipe scratch"):
        plan_of("x", given)


def test_native_pixels_are_a_coordinate(tmp_path: Path) -> None:
    text = f'[[grid]]\n{LITE}image_scales = [[1], [1, 2]]\nlarge_images = ["interpolated", "native"]\n'
    found = {(c.image_scales, c.large_images) for c in plan(tmp_path, text).cells}
    assert found == {((1.0,), "interpolated"), ((1.0, 2.0), "interpolated"), ((1.0, 2.0), "native")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 3 = 4", "is not a TOML plan"),
        ('name = "x"', r"at least one \[\[grid\]\]"),
        (f"[[grid]]\n{LITE}dataset_sise = 3", "unknown key 'dataset_sise'; did you mean dataset_size"),
        (f"[[grid]]\n{LITE}knobs = {{ learning = 1 }}", "unknown coordinate or knob of probe 'learning'"),
        (f"[[grid]]\n{LITE}epochs = 3", r"epochs is a knob: write it below \[grid\.knobs\]"),
        (f"[[grid]]\n{LITE}knobs = {{ side = 32 }}", "side is a knob of finetune, scratch, segment, not of"),
        ('[[grid]]\nmodel = "resnet18"', "weights is missing"),
        ('[[grid]]\nmodel = "resnet18"\nweights = "auto"', "must be imagenet, pretrained, random or a path"),
        ('[[grid]]\nmodel = "resnet19"\nweights = "random"', "unknown model 'resnet19'; did you mean"),
        (f"[[grid]]\n{LITE}dataset_size = []", "must not be an empty list"),
        (
            f'[[grid]]\n{LITE}dataset_size = "many"',
            "dataset_size must be a whole number, a share such as 0.5, or all, not 'many'",
        ),
        (f'[[grid]]\n{LITE}image_scales = "big"', "image_scales must be numbers"),
        (f"[[grid]]\n{LITE}image_scales = 1.1", "image scale 1.1 makes 246.4 pixels of 224"),
        (f'[[grid]]\n{LITE}data = "nowhere/at/all"', "nowhere/at/all"),
        (f'[[grid]]\n{LITE}region = "blob"', "unknown region 'blob'; did you mean blobs"),
        (f'[[grid]]\n{LITE}region = "sam"', "SAM needs a checkpoint: download"),
    ],
)
def test_a_bad_plan_is_refused_with_the_place_and_the_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MLProjectError, match=message):
        plan(tmp_path, text)


def test_all_faults_of_a_plan_are_told_at_once(tmp_path: Path) -> None:
    text = f'[[grid]]\n{LITE}dataset_sise = 3\n[[grid]]\n{LITE}recipe = "prob"'
    with pytest.raises(WrongUse) as caught:
        plan(tmp_path, text)
    assert "grid 1: unknown key" in str(caught.value)
    assert "grid 2: unknown recipe 'prob'; did you mean probe" in str(caught.value)


def test_many_faults_are_cut_and_counted(tmp_path: Path) -> None:
    with pytest.raises(WrongUse) as caught:
        plan(tmp_path, "[[grid]]\n" * 100)
    assert str(caught.value).splitlines()[-1] == "… and 75 more"
    assert len(str(caught.value).splitlines()) == 26


def test_a_key_of_a_hundred_thousand_parts_is_refused_at_once(tmp_path: Path) -> None:
    for text in (".".join("a" * 100_000) + " = 1", f"[{'.'.join('a' * 100_000)}]"):
        with pytest.raises(WrongUse, match="has a key of more than 500 parts"):
            plan(tmp_path, text)


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    text = f"\ufeff[[grid]]\n{LITE}dataset_size = [50, 0.1, 0.2]\n".replace("\n", "\r\n")
    assert len(plan(tmp_path, text).cells) == 3


def test_a_plan_that_is_not_there_names_those_that_are_shipped(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no plan at .*missing\.toml; .* sweeps/embedded\.toml, "):
        read_plan(tmp_path / "missing.toml", {})


def test_a_misspelt_plan_names_the_near_match(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"no plan at .*embeded\.toml; did you mean sweeps/embedded\.toml\?$"):
        read_plan(tmp_path / "embeded.toml", {})


def test_a_shipped_plan_is_read_outside_the_repository_and_a_file_of_its_name_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("sweeps/embedded.toml")
    assert len(read_plan(path, {}).cells) == 90
    path.parent.mkdir()
    path.write_text(f"[[grid]]\n{LITE}dataset_size = 50", "utf-8")
    assert [cell.dataset_size for cell in read_plan(path, {}).cells] == [50]
    with pytest.raises(WrongUse, match="no plan at elsewhere"):
        read_plan(Path("elsewhere/embedded.toml"), {})


def test_how_blobs_are_found_is_part_of_a_cell_only_where_it_differs_from_the_default(tmp_path: Path) -> None:
    regions = f'[[grid]]\n{LITE}region = ["full", "blobs", "background"]\ndataset_size = 50\n'
    named = 'region_paths = "{}"\nregion_refine = "{}"\n'
    texts = (regions, regions + named.format("grey-first", "none"), regions + named.format("best", "grabcut"))
    bare, default, refined = ({cell.region: cell for cell in plan(tmp_path, text).cells} for text in texts)
    assert bare == default
    assert bare["full"].key == refined["full"].key
    assert all(bare[region].key != refined[region].key for region in ("blobs", "background"))
    assert (refined["blobs"].region_paths, refined["blobs"].region_refine) == ("best", "grabcut")
    assert (bare["blobs"].region_paths, refined["full"].region_refine) == ("", "")


def test_a_region_is_a_coordinate_whose_images_pair_with_the_whole_ones(tmp_path: Path) -> None:
    text = f'[[grid]]\n{LITE}region = ["full", "blobs", "background"]\ndataset_size = 50\n'
    found = plan(tmp_path, text)
    full, blobs, background = sorted(
        found.cells, key=lambda cell: ["full", "blobs", "background"].index(cell.region)
    )
    assert full.data_digest == blobs.data_digest == background.data_digest
    assert (full.region_digest, blobs.region_digest) == ("", background.region_digest)
    assert len({cell.key for cell in found.cells}) == 3
    sets = [found.images_of(cell) for cell in (full, blobs, background)]
    assert len({one.digests[0] for one in sets}) == 3
    assert len({one.ids for one in sets}) == 1
    drawn = [one.draw(50, seed=0, how="balanced").tolist() for one in sets]
    assert drawn[0] == drawn[1] == drawn[2]


def test_images_without_a_held_out_split_are_declared_in_sample(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    (cell,) = plan_of(
        "x", {"model": "resnet18", "weights": "random", "data": str(tmp_path), "dataset_size": 3}
    ).cells
    assert cell.in_sample


@pytest.mark.parametrize(
    "tune", ["trials = 0.5", 'sampler = "tpee"', "[tune.space]\nlr = { low = 1 }", "space = 3", "trails = 3"]
)
def test_a_fault_of_the_table_tune_names_the_file(tune: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(f'[tune]\n{tune}\n[[grid]]\nmodel = "resnet18"\nweights = "random"\n')
    with pytest.raises(WrongUse, match=r"^study\.toml: [^\n]+$"):
        read_plan(path, {})


SMALL = '[[grid]]\nmodel = "resnet18"\nweights = "random"\n'


def numbers(n: int) -> list[int]:
    return list(range(1, n + 1))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"{SMALL}dataset_size = {numbers(9)}\nseed = {numbers(9)}\nmax_bad = {numbers(9)}", 729),
        (f"{SMALL}seed = {numbers(101)}", 101),
        (f"{SMALL}seed = {numbers(60)}\n" * 2, 120),
        (f"{SMALL}knobs = {{ lr = {numbers(11)}, epochs = {numbers(10)} }}", 110),
    ],
    ids=["cubed", "seeds", "two grids", "knobs"],
)
def test_cells_are_counted_before_any_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int
) -> None:
    assert MOST_CELLS == 100_000
    monkeypatch.setattr("mlproject.plans.MOST_CELLS", 100)
    monkeypatch.setattr("mlproject.plans.grids.cells_at", lambda *_: pytest.fail("a cell was built"))
    with pytest.raises(WrongUse) as refusal:
        plan(tmp_path, text)
    assert str(refusal.value) == (
        f"plan.toml: the plan describes {count:,} cells, of 100 at most: shorten its lists, or split it "
        "into several"
    )


def test_the_time_of_planning_grows_as_the_number_of_cells(tmp_path: Path) -> None:
    calls = []
    for n in (30, 60):
        profile = cProfile.Profile()
        with profile:
            built = plan(tmp_path, f"{SMALL}dataset_size = {numbers(n)}")
        assert len(built.cells) == n
        calls.append(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]
    assert calls[1] < 2.5 * calls[0]


def test_what_cells_share_is_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, checked = [], []
    monkeypatch.setattr(cells, "find_weights", lambda *of: asked.append(of) or find_weights(*of))
    monkeypatch.setattr(grids, "validated", lambda *of, **kind: checked.append(of) or validated(*of, **kind))
    built = plan(tmp_path, f"{SMALL}seed = {numbers(20)}\nknobs = {{ lr = {numbers(10)} }}")
    assert len({cell.key for cell in built.cells}) == 200
    assert len(asked) == 1
    assert len(checked) == 20, "each seed, with everything else"
    assert len({id(cell.knobs) for cell in built.cells}) == 10
    first, last = built.cells[0], built.cells[-1]
    assert (first.seed, first.knobs["lr"]) == (1, 1.0)
    assert last == replace(first, seed=20, knobs={**first.knobs, "lr": 10.0})


def test_a_large_file_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"plan\.toml is larger than 2 MiB, as no plan is"):
        plan(tmp_path, "#" * (2 << 20) + "\n" + SMALL)
