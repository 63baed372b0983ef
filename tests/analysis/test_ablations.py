"""Arms are found from the cells alone; planted differences come out, equal arms stay equal."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import numpy as np
import pytest

from mlproject.analysis.ablations import ONE_SEED, TWO_SEEDS
from mlproject.cell import Cell
from mlproject.losses import Observation, PerImageLosses
from tests.studies import with_two_laws, without_laws

KNOBS = {"lr": 1e-3, "dropout": 0.2, "augmentation": "none", "contrast": "none"}
N = 150


def cell(model="net_a", size=100, seed=0, recipe="tune", **knobs):
    return Cell(
        recipe=recipe, model=model, weights="imagenet", weights_digest=f"{model}/1", data="toys",
        data_digest="d0", dataset_size=size, eval_size=N, validation_size=40, seed=seed,
        knobs=KNOBS | knobs if recipe == "tune" else knobs,
    )  # fmt: skip


def observe(this, *, gain=0.0, level=1.0):
    """Losses of a cell: the image's difficulty and the seed's luck are shared by all arms."""
    hard = np.random.default_rng(1).normal(0, 0.5, N + 40)
    luck = np.random.default_rng([this.dataset_size, this.seed]).normal(0, 0.05)
    own = np.random.default_rng(zlib.crc32(this.key.encode())).normal(0, 0.1, N + 40)
    loss = np.exp(hard + luck + own) * level + gain
    final = loss + 0.05
    values = {
        "cross_entropy": loss, "final_cross_entropy": final,
        "error": (loss > 1.2).astype(float), "final_error": (final > 1.2).astype(float),
    }  # fmt: skip
    table = PerImageLosses(
        kind="cross_entropy",
        image_ids=tuple(f"{i:03d}.png" for i in range(N + 40)),
        splits=("eval",) * N + ("validation",) * 40,
        values=values,
    )
    sizes = {"net_a": 1e6, "net_b": 1.02e6, "net_c": 4e6}
    metrics = {"params": sizes[this.model], "eval.loss": float(loss[:N].mean())}
    return Observation(
        cell=this, run_id=f"run-{this.key}", metrics=metrics, losses_digest=table.digest,
        load_losses=lambda: table,
    )  # fmt: skip


ARMS = {
    "augmentation=flips": ({"augmentation": "flips"}, -0.2),
    "contrast=hinged": ({"contrast": "hinged"}, 0.15),
    "dropout=0.7": ({"dropout": 0.7}, 0.0),
}


def observations(seeds=5):
    for seed in range(seeds):
        yield observe(cell(seed=seed))
        yield observe(cell(model="net_b", seed=seed))
        for knobs, gain in ARMS.values():
            yield observe(cell(seed=seed, **knobs), gain=gain)


def ablation(found, analysed=without_laws):
    return analysed(found, n_draws=400).ablation


def test_arms_are_found_with_their_baseline_and_other_models_that_share_its_knobs():
    (table,) = ablation(observations()).tables
    assert [row.arm for row in table.rows] == ["baseline", *ARMS, "model=net_b"]
    assert {name: table.baseline[f"knobs.{name}"] for name in KNOBS} == KNOBS
    assert all(row.n_seeds == 5 for row in table.rows)


def test_planted_differences_come_out_and_others_do_not():
    (table,) = ablation(observations()).tables
    for row in table.rows[1:]:
        gain = ARMS.get(row.arm, ({}, 0.0))[1]
        found = row.loss_difference
        assert found.effect.low <= gain <= found.effect.high
        assert found.verdict == {-0.2: "better", 0.15: "worse", 0.0: "no difference seen"}[gain]
        assert found.holm >= found.effect.p
        assert row.error_difference.effect.n_images == row.loss_difference.effect.n_images == N


def test_the_three_columns_are_validation_last_weights_and_evaluation_once():
    (table,) = ablation(observations()).tables
    for row in table.rows:
        assert list(row.loss) == list(row.error) == ["validation", "final", "eval"]
        assert row.loss["final"].value == pytest.approx(row.loss["eval"].value + 0.05)
        assert row.loss["validation"].n_images == 40
        assert row.loss["eval"].n_images == N


def test_pairing_is_what_makes_the_interval_narrow():
    (table,) = ablation(observations()).tables
    own = table.rows[0].loss["eval"]
    difference = table.rows[1].loss_difference.effect
    assert difference.high - difference.low < 0.3 * (own.high - own.low)


def test_the_order_of_the_runs_does_not_matter():
    found = list(observations(seeds=2))
    mixed = random.Random(0).sample(found, len(found))
    assert ablation(found) == ablation(mixed)


def test_cells_that_differ_in_too_much_or_only_in_model_or_size_are_no_arms():
    far = dict(augmentation="flips", contrast="hinged", dropout=0.5, lr=1.0)
    apart = [observe(cell(seed=s, **k)) for s in range(2) for k in ({}, far)]
    assert ablation(apart).tables == ()
    models = [observe(cell(model=m, size=n)) for m in ("net_a", "net_b") for n in (100, 200)]
    assert ablation(models).tables == ()


def test_another_recipe_is_one_difference_whatever_its_knobs():
    found = [observe(cell(seed=s)) for s in range(3)]
    found += [observe(cell(seed=s, dropout=0.5)) for s in range(3)]
    found += [observe(cell(seed=s, recipe="probe", a=1, b=2, c=3, d=4)) for s in range(3)]
    (table,) = ablation(found).tables
    assert [row.arm for row in table.rows] == ["baseline", "dropout=0.5", "recipe=probe"]


def test_two_arms_of_another_recipe_are_told_apart():
    found = [observe(cell(seed=s, **k)) for s in range(2) for k in ({}, {"dropout": 0.5}, {"dropout": 0.6})]
    found += [observe(cell(seed=s, recipe="probe", a=a)) for s in range(2) for a in (1, 2)]
    (table,) = ablation(found).tables
    names = [row.arm for row in table.rows]
    assert len(set(names)) == 5
    assert sum(name.startswith("recipe=probe [") for name in names) == 2


def test_arms_without_shared_seeds_are_shown_and_not_compared():
    found = [observe(cell(seed=0)), observe(cell(seed=1, dropout=0.7))]
    (table,) = ablation(found).tables
    assert [row.loss_difference for row in table.rows] == [None, None]


def test_one_seed_gives_an_interval_over_images():
    (table,) = ablation([observe(cell()), observe(cell(dropout=0.7), gain=0.3)]).tables
    found = table.rows[1].loss_difference.effect
    assert found.n_seeds == 1
    assert found.low < 0.3 < found.high


def test_one_seed_concludes_nothing_about_training_however_sure_its_images_are():
    runs = [observe(cell()), observe(cell(dropout=0.7), gain=0.3), observe(cell(augmentation="flips"))]
    (table,) = ablation(runs).tables
    for row in table.rows[1:]:
        for difference in (row.loss_difference, row.error_difference):
            assert difference.verdict == ONE_SEED
            assert np.isnan([difference.p, difference.holm]).all()
            assert difference.effect.over == "images"
    worse = next(row for row in table.rows if row.arm == "dropout=0.7")
    assert worse.loss_difference.effect.p < 1e-6
    assert table.over == "images"


def test_two_seeds_that_disagree_are_inconclusive_and_not_equal():
    runs = [observe(cell(seed=s)) for s in (0, 1)]
    runs += [observe(cell(seed=s, dropout=0.7), gain=0.3 * (s + 1)) for s in (0, 1)]
    (table,) = ablation(runs).tables
    difference = table.rows[1].loss_difference
    assert difference.effect.low < 0 < 0.45 < difference.effect.high
    assert difference.verdict == TWO_SEEDS


def test_another_target_and_equal_steps_are_protocols_and_no_arms():
    def probe(**knobs):
        return cell(recipe="probe", **({"target": "features", "epochs": 5, "steps": 0} | knobs))

    runs = [observe(probe()), observe(probe(steps=20)), observe(probe(target="labels"))]
    assert ablation(runs).tables == ()
    (table,) = ablation([*runs, observe(probe(epochs=10))]).tables
    assert [row.arm for row in table.rows[1:]] in (["epochs=10"], ["epochs=5"])


def by_size(change):
    sizes = (50, 100, 200, 400)
    for size in sizes:
        for seed in range(4):
            level = 4 * size**-0.3
            yield observe(cell(size=size, seed=seed), level=level)
            doublings = np.log2(size / 50)
            arm = cell(size=size, seed=seed, augmentation="flips")
            yield observe(arm, level=level, gain=change * (doublings - 3))


@pytest.mark.parametrize(("change", "verdict"), [(0.1, "worse"), (0.0, "no difference seen")])
def test_a_planted_interaction_with_the_size_comes_out(change, verdict):
    found = ablation(by_size(change))
    (one,) = found.interactions
    assert (one.arm, one.axis, one.scales) == ("augmentation=flips", "training images", (50, 100, 200, 400))
    assert one.loss.effect.low <= change <= one.loss.effect.high
    assert one.loss.verdict == verdict
    assert len(one.steps) == len(found.tables) == 4


def test_exponents_of_an_arm_stand_beside_those_of_its_baseline():
    found = ablation(by_size(0.0), with_two_laws)
    assert {one.law for one in found.exponents} == {"power", "power_floor"}
    for one in found.exponents:
        assert one.arm == "augmentation=flips"
        assert one.series == "net_a"
        assert one.difference.difference.low <= 0 <= one.difference.difference.high


def test_studies_without_error_or_validation_have_the_columns_that_they_can():
    def bare(this):
        seen = observe(this)
        full = seen.load_losses().select("eval")
        table = PerImageLosses(
            kind=full.kind, image_ids=full.image_ids, splits=full.splits, values={full.kind: full.loss}
        )
        return Observation(
            cell=this, run_id=seen.run_id, metrics=seen.metrics, losses_digest=table.digest,
            load_losses=lambda: table,
        )  # fmt: skip

    (table,) = ablation(bare(cell(seed=s, **k)) for s in range(2) for k in ({}, {"lr": 0.1})).tables
    assert [list(row.loss) for row in table.rows] == [["eval"], ["eval"]]
    assert table.rows[1].error_difference is None
    assert table.rows[1].mcnemar is None


def test_arms_that_were_tuned_alike_are_compared_whatever_knobs_the_search_chose():
    tuning = {"knobs": "lr", "space": "lr=1e-4..1", "trials": 6}

    def tuned(lr, seed, **knobs):
        return replace(cell(seed=seed, lr=lr, **knobs), tuning=tuning)

    runs = [observe(tuned(1e-3, seed)) for seed in range(3)]
    runs += [observe(tuned(1e-2, seed, augmentation="flips"), gain=-0.2) for seed in range(3)]
    (table,) = ablation(runs).tables
    assert [row.arm for row in table.rows] == ["baseline", "augmentation=flips"]
    assert table.rows[1].loss_difference.verdict == "better"
    by_hand = [observe(cell(seed=seed, lr=1e-2, augmentation="flips")) for seed in range(3)]
    assert ablation([*runs[:3], *by_hand]).tables == ()


def test_losses_are_loaded_once():
    loaded = []

    def counted(observation):
        def load():
            loaded.append(observation.run_id)
            return observation.load_losses()

        return replace(observation, load_losses=load)

    runs = [counted(observation) for observation in observations(seeds=2)]
    assert ablation(runs).tables
    assert sorted(loaded) == sorted(run.run_id for run in runs)
