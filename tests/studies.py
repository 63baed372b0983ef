"""Observations made in memory: planted laws, images that are hard in every cell, seeds that differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial

import numpy as np
import pytest

from mlproject.analysis import Study, analyse
from mlproject.analysis.bootstrap import Replicates, replicates
from mlproject.analysis.curves import REPORTED
from mlproject.analysis.runs import ImagePool, image_pools, read_runs
from mlproject.cell import Cell
from mlproject.losses import Observation, PerImageLosses
from mlproject.models import find_model
from mlproject.scaling import PriorChoice, assess


def drawn_pools(
    observations: Iterable[Observation], *, n_draws: int, seed: int = 0
) -> Iterator[tuple[ImagePool, Mapping[str, Replicates]]]:
    """Pools and their replicates as ``analyse`` makes them, for tests of one kind of result alone."""
    for pool in image_pools(read_runs(observations)[0]):
        yield pool, replicates(pool, n_draws=n_draws, seed=seed)


def without_laws(
    observations: Iterable[Observation], *, n_draws: int, prior: PriorChoice | None = None
) -> Study:
    """A study whose curves have no laws, which take most of an analysis; its grids have theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlproject.analysis.curves._assess", lambda curve: {})
        return analyse(observations, n_draws=n_draws, prior=prior)


@contextmanager
def two_laws() -> Iterator[None]:
    """Studies analysed here have the two laws that reports give for every curve, and none of the others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlproject.analysis.curves.assess", partial(assess, laws=REPORTED))
        yield


def with_two_laws(observations: Iterable[Observation], *, n_draws: int) -> Study:
    """A study with ``two_laws``."""
    with two_laws():
        return analyse(observations, n_draws=n_draws)


PARAMS = {"lite0": 3.37e6, "lite1": 4.14e6, "lite2": 4.81e6, "resnet18": 11.2e6}


def cell(model="lite0", size=100, seed=0, **fields):
    weights = fields.pop("weights", "imagenet")
    known = {
        "recipe": "probe",
        "weights_digest": f"{model}-{weights}",
        "data": "fashion-mnist",
        "data_digest": "d0",
        "eval_size": 200,
        "knobs": {"target": "labels", "lr": 1e-3},
    }
    return Cell(model=model, weights=weights, dataset_size=size, seed=seed, **(known | fields))


def observe(this, losses, *, ids=None, kind="cross_entropy", run_id=None, params=None, flops=None, gmac=None):
    ids = ids or tuple(f"img_{i:04d}.png" for i in range(len(losses)))
    split = "train" if this.in_sample else "eval"
    table = PerImageLosses(
        kind=kind, image_ids=tuple(ids), splits=(split,) * len(ids), values={kind: np.asarray(losses, float)}
    )
    n_params = PARAMS.get(this.model, 1e6) if params is None else params
    metrics = {
        "params": n_params,
        "flops": flops or 4e8 * this.dataset_size,
        "eval.loss": float(np.mean(losses)),
    }
    metrics |= {} if gmac is None else {"gmac_per_image": gmac}
    return Observation(
        cell=this,
        run_id=run_id or f"run-{this.key}",
        metrics=metrics,
        losses_digest=table.digest,
        load_losses=lambda: table,
    )


def planted(this, *, n=200, alpha=0.5, k=6.0, floor=0.25, noise=0.02, images=0.8):
    """Losses around E + k D^-alpha: the image's own difficulty is shared by all cells, the rest is noise."""
    hard = np.random.default_rng(7).normal(size=n)
    hard = np.exp(images * (hard - hard.mean()))
    own = np.random.default_rng(zlib.crc32(this.key.encode()))
    mean = (floor + k * this.dataset_size**-alpha) * np.exp(noise * own.normal())
    losses = hard * np.exp(0.2 * own.normal(size=n))
    return observe(this, mean * losses / hard.mean())


WIDTHS = {"net-8": 1e5, "net-16": 4e5, "net-32": 1.6e6, "net-64": 6.4e6, "net-128": 2.5e7}


def joint_loss(n, d, *, alpha=0.34, beta=0.4, floor=0.3):
    """E + A N^-alpha + B D^-beta, an even share of each over the grid below."""
    return floor + 0.5 * (n / 1.6e6) ** -alpha + 0.6 * (d / 800) ** -beta


def grid_study(
    n=200, models=tuple(WIDTHS), sizes=(100, 200, 400, 800, 1600, 3200), seeds=2, noise=0.02, law=joint_loss
):
    """Models over two decades of parameters by data sizes, with logged compute 6 N D."""
    hard = np.exp(0.8 * np.random.default_rng(7).normal(size=n))
    for name in models:
        for size in sizes:
            for seed in range(seeds):
                this = cell(name, size, seed, weights="random")
                own = np.random.default_rng(zlib.crc32(this.key.encode()))
                mean = law(WIDTHS[name], size) * np.exp(noise * own.normal())
                losses = mean * hard / hard.mean() * np.exp(0.2 * own.normal(size=n) - 0.02)
                yield observe(this, losses, params=WIDTHS[name], flops=6 * WIDTHS[name] * size)


def default_study(n=200, sizes=(100, 200, 400, 700, 1200, 2000), seeds=3):
    """Three pretrained models and a random control over sizes and seeds, as `make run` makes them."""
    floors = {"lite0": (0.25, 6.0), "lite1": (0.23, 5.9), "lite2": (0.26, 6.1)}
    for size in sizes:
        for seed in range(seeds):
            for model, (floor, k) in floors.items():
                yield planted(cell(model, size, seed), n=n, floor=floor, k=k)
            yield planted(cell("resnet18", size, seed, weights="random"), n=n, floor=0.52, k=9.0, alpha=0.44)


@cache
def usual_study() -> Study:
    """The study of these runs, analysed once for all tests of this process that read it."""
    return analyse(default_study(n=100), n_draws=200)


def made_up(this, n=40):
    """A finished run of any cell: losses that fall with size and with the model's parameters, all columns.

    Recipes that train whole networks have a history of two epochs.
    """
    own = np.random.default_rng(zlib.crc32(this.key.encode()))
    hard = np.exp(0.8 * np.random.default_rng(7).normal(size=n))
    scale = sum(this.image_scales) ** 0.1
    params = float(find_model(this.model).n_params_body)
    mean = (
        (0.25 + 6.0 * this.dataset_size**-0.5 * (params / 1e7) ** -0.1) / scale * np.exp(0.03 * own.normal())
    )
    losses = mean * hard / hard.mean() * np.exp(0.2 * own.normal(size=n))
    whole = this.recipe in ("scratch", "finetune", "segment")
    labelled = whole or this.knobs.get("target") == "labels" or this.recipe == "memorise"
    kind = "cross_entropy" if labelled and this.knobs.get("loss") != "mse" else "mse"
    split = "train" if this.in_sample else "eval"
    values = {kind: losses, ("brier" if kind == "cross_entropy" else "mae"): losses**0.8}
    values |= {"error": (losses > mean).astype(float)} if labelled else {}
    ids = tuple(f"img_{i:04d}.png" for i in range(n))
    table = PerImageLosses(kind=kind, image_ids=ids, splits=(split,) * n, values=values)
    metrics = {
        "params": params,
        "flops": 6.0 * params * this.dataset_size,
        f"{split}.loss": float(losses.mean()),
    }
    metrics |= {"gmac_per_image": params / 1e7 * sum(s**2 for s in this.image_scales)}
    metrics |= {"epochs": 2, "samples": 2 * this.dataset_size, "seconds_trained": 2.0, "best_epoch": 2}
    metrics |= {"n_correct": n // 2, "n_total": n, "accuracy": 0.5, "accuracy_final": 0.5}
    metrics |= {"flops_per_image": params, "eval_loss_final": float(losses.mean())}
    history = {"epoch": [1, 2], "samples": [this.dataset_size, 2 * this.dataset_size], "seconds": [1.0, 2.0]}
    for column in ("train", "validation", "eval"):
        history |= {f"{column}_loss": [2 * mean, mean], f"{column}_accuracy": [0.3, 0.5]}
    texts = {name: [str(value) for value in column] for name, column in history.items()}
    return Observation(
        cell=this,
        run_id=f"run-{this.key}",
        metrics=metrics,
        losses_digest=table.digest,
        load_losses=lambda: table,
        load_table=lambda name: texts if whole and name == "epochs" else {},
        provenance={"device": "cpu"},
    )
