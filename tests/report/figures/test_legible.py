"""Every figure of every shipped plan can be read, and each check refuses a figure that has its fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from mlproject.analysis import analyse
from mlproject.errors import BadInput
from mlproject.losses import PerImageLosses
from mlproject.plans import read_plan
from mlproject.report import RC, TrialColumns, iterations_document, study_document
from mlproject.report.figures.runs import histogram_figure, trials_figure
from tests.plans.test_plans import FETCHED, STAND_IN, SWEEPS
from tests.report.figures import legible
from tests.studies import cell, made_up, planted, with_two_laws

FEW = {"dataset_size": 2, "model": 3, "seed": 1, "knobs": 3, "image_scales": 3}
"""The most values of each coordinate that the smallest study of a plan keeps; two sizes carry no law."""
WITH_LAWS = {"embedded": 5, "regions": 5}
"""Sizes of the plans whose figures show laws."""


def smallest(path: Path) -> list:
    """The cells of a plan with few values of each coordinate, made up and not run."""
    try:
        cells = read_plan(path, {}).cells
    except BadInput:
        cells = read_plan(path, STAND_IN | ({"weights": "random"} if path.stem in FETCHED else {})).cells
    few = FEW | ({"dataset_size": WITH_LAWS[path.stem], "model": 2} if path.stem in WITH_LAWS else {})
    for name, most in few.items():
        values = list(dict.fromkeys(repr(getattr(cell, name)) for cell in cells))
        kept = {values[i] for i in np.unique(np.linspace(0, len(values) - 1, most).round().astype(int))}
        cells = [cell for cell in cells if repr(getattr(cell, name)) in kept]
    return [made_up(cell) for cell in cells]


@pytest.mark.parametrize(
    "path",
    [path for path in SWEEPS if not path.with_stem(f"{path.stem}-quick").exists()],
    ids=lambda p: p.stem,
)
def test_every_figure_of_every_plan_can_be_read_and_carries_its_data(path: Path) -> None:
    study = with_two_laws(smallest(path), n_draws=20)  # figures show no more than the first laws
    documents = [study_document(study)]
    if study.iterations is not None:
        documents.append(iterations_document(study.iterations))
    figures = [figure for document in documents for figure in document.figures]
    assert figures
    assert len({figure.name for figure in figures}) == len(figures)
    kinds: dict[str, Any] = {}
    for figure in sorted(figures, key=lambda figure: len(figure.caption)):
        assert figure.data is not None, figure.name
        assert figure.data.rows, figure.name
        # Of figures that differ only in what they are of, that with the longest names is drawn.
        kinds[figure.name if path.stem == "embedded" else figure.name.partition("_")[0]] = figure
    for figure in kinds.values():
        assert not (found := legible.faults(figure.draw)), f"{figure.name}: {found}"


def test_networks_of_one_size_and_long_verdicts_can_be_read() -> None:
    """Two networks with equally many parameters have no curve over model size; random ones long names."""
    runs = [
        planted(cell(model, size, seed, weights="random:0"), noise=0.3)
        for model in ("efficientnet_lite0", "efficientnet_lite1")
        for size in (10, 30, 90)
        for seed in (0, 1)
    ]
    figures = study_document(analyse(runs, n_draws=20)).figures
    assert {figure.name for figure in figures if figure.name.startswith("scaling")} == {
        "scaling_training_images_mean", "scaling_training_images_median",
    }  # fmt: skip
    for figure in figures:
        assert not (found := legible.faults(figure.draw)), f"{figure.name}: {found}"


SKEWED = np.exp(1.5 * np.random.default_rng(0).normal(size=300))


@pytest.mark.parametrize("losses", [SKEWED, np.linspace(1, 2, 300), np.zeros(300), np.r_[0.0, SKEWED[1:]]])
def test_the_histogram_of_a_cell_shows_every_split_whatever_its_losses(losses: np.ndarray) -> None:
    splits = ("train",) * 280 + ("eval",) * 20
    ids = tuple(map(str, range(300)))
    cell = PerImageLosses(
        kind="cross_entropy", image_ids=ids, splits=splits, values={"cross_entropy": losses}
    )
    assert not legible.faults(lambda: histogram_figure(cell, "a cell"))
    (ax,) = histogram_figure(cell, "a cell").axes
    heights = [patch.get_path().vertices[:, 1].max() for patch in ax.patches]
    assert len(heights) == 2
    assert min(heights) > 1.0, "shares of a split, so that few images are as visible as many"


def test_the_trials_of_a_search_can_be_read_and_name_every_knob() -> None:
    knobs = {
        "lr": (1e-3, 1e-2, 0.1, 0.3),
        "weight_decay": (0.0, 0.1, 0.01, 0.02),
        "steps": (10, 100, 200, 50),
    }
    trials = TrialColumns(
        title="efficientnet_lite0 · 100 images · embedded", indices=(0, 1, 2, 3), losses=(0.9, 0.7, 0.8, 4.0),
        knobs=knobs, log=frozenset({"lr"}), importances={"lr": 0.8, "weight_decay": 0.2},
    )  # fmt: skip
    assert not legible.faults(lambda: trials_figure(trials))
    texts = [text.get_text() for text in trials_figure(trials).axes[1].texts]
    assert set(texts) == {"lr", "weight_decay", "steps: best of each training"}


def plain() -> Figure:
    figure = Figure(figsize=(3.4, 2.5))
    figure.subplots().plot([1, 2, 3], [1, 2, 1], marker="o")
    return figure


def overlapping() -> Figure:
    figure = plain()
    figure.axes[0].set_xticks([1, 1.05], ["efficientnet_lite0", "efficientnet_lite1"])
    return figure


def outside() -> Figure:
    figure = plain()
    figure.suptitle("a title that is longer than the figure " * 3)
    return figure


def covered() -> Figure:
    figure = plain()
    figure.axes[0].text(2, 2, "a name on a point", ha="center", va="center")
    return figure


def on_a_bar() -> Figure:
    figure = Figure(figsize=(3.4, 2.5))
    figure.subplots().barh([0, 1], [1.0, 2.0])
    figure.axes[0].text(0.0, 1, "steps", va="center")
    return figure


def on_a_colour_bar() -> Figure:
    figure = Figure(figsize=(3.4, 2.5), layout="constrained")
    first, second = figure.subplots(2, 1)
    figure.colorbar(second.imshow([[0, 1], [1, 0]]), ax=[first, second])
    second.set_title("a title that is wider than its panel and ends on the bar of colours", loc="left")
    return figure


def empty() -> Figure:
    figure = Figure(figsize=(3.4, 2.5))
    first, second = figure.subplots(1, 2)
    first.plot([1, 2], [1, 2])
    second.axhline(0.0)
    return figure


def small() -> Figure:
    figure = plain()
    figure.text(0.5, 0.95, "small", fontsize=5)
    return figure


def wide() -> Figure:
    figure = plain()
    figure.set_figwidth(14)
    return figure


def colours() -> Figure:
    figure = plain()
    figure.axes[0].plot([1, 2, 3], [2, 1, 2], marker="o")
    return figure


PLANTED = {
    legible.overlapping_text: (overlapping,),
    legible.text_outside: (outside,),
    legible.covered_text: (covered, on_a_bar, on_a_colour_bar),
    legible.empty_panels: (empty,),
    legible.small_fonts: (small, wide),
    legible.colour_only: (colours,),
}


@pytest.mark.parametrize(
    ("check", "draw"),
    [(check, draw) for check, draws in PLANTED.items() for draw in draws],
    ids=lambda item: item.__name__,
)
def test_a_check_refuses_a_figure_with_its_fault_and_passes_a_good_one(check, draw):
    with matplotlib.rc_context(RC):
        assert not list(check(legible.laid_out(plain())))
        assert list(check(legible.laid_out(draw())))
