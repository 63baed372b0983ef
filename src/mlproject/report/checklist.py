"""The reviewers' checklist for scaling studies, filled in from the runs; what is missing is said plainly.

The questions follow Li, Kudugunta and Zettlemoyer 2025, (Mis)Fitting: A Survey of Scaling Laws, arXiv
2502.18969, in our words, and a few that studies of small data need: seeds, intervals, held-out scales.
"""

from __future__ import annotations

from typing import Any

from mlproject.analysis import Curve, Study
from mlproject.report.document import Section, Table
from mlproject.report.formats import as_text, kind_label, range_text
from mlproject.report.methods.references import cite
from mlproject.report.methods.words import counts, data_words, joined, knob_text
from mlproject.scaling import LAWS, scale_text

Answers = dict[str, str]
"""Answers by their question."""
MISSING = "Not in the runs: "
"""How an answer begins that only the authors can give."""
SIZES_WANTED, SEEDS_WANTED, RANGE_WANTED = 5, 3, 10.0


def checklist_section(study: Study) -> Section:
    """The checklist as one table: part, question, answer."""
    rows = [
        {"part": part, "question": question, "answer": answer}
        for part, answers_of in PARTS.items()
        for question, answer in answers_of(study).items()
    ]
    formats = {
        "part": as_text("part", wrap=False),
        "question": as_text("question"),
        "answer": as_text("answer"),
    }
    n_missing = sum(MISSING in row["answer"] for row in rows)
    text = (
        f"What reviewers of scaling studies ask {cite('li2025')}, answered from the runs. {n_missing} of "
        f"{len(rows)} answers are not, or not all, in the runs; the authors have to give them."
    )
    table = Table(
        name="checklist", rows=rows, columns=("part", "question", "answer"), formats=formats,
        caption="Checklist for scaling studies.",
    )  # fmt: skip
    return Section(title="Checklist for scaling studies", paragraphs=(text,), tables=(table,))


def _fitted(study: Study) -> list[Curve]:
    return [curve for curve in study.curves if any(a.laws for a in curve.assessments.values())]


def _hypothesis(study: Study) -> Answers:
    answers: Answers = {}
    assessed = [curve.assessments["mean"] for curve in _fitted(study) if "mean" in curve.assessments]
    assessed += [grid.assessment for grid in study.grids if grid.has_laws]
    names = dict.fromkeys(law.law for assessment in assessed for law in assessment.laws)
    forms = "; ".join(f"{name}: L = {LAWS[name].formula}" for name in names)
    answers["Which forms of law?"] = forms or "None: no group carries a law."
    axes = dict.fromkeys(f"{c.axis.name} {c.axis.symbol} [{c.axis.unit}]" for c in _fitted(study))
    grids = ["model size N and training images D together"] if any(g.has_laws for g in study.grids) else []
    answers["Which variables does a law relate?"] = (
        f"The mean and the median loss to {joined([*axes, *grids])}." if axes or grids else "None."
    )
    parameters = dict.fromkeys(p for a in assessed for fit in a.fits.values() for p in fit.parameters)
    answers["Which parameters are fitted?"] = (
        f"{joined(parameters)}; a value is reported only where the data identify it."
        if parameters
        else "None."
    )
    answers["What is the form derived from?"] = (
        f"{MISSING}the forms are empirical, from the works that the methods cite; a reason why they "
        "should hold for these data is the authors' to give."
    )
    answers["Do the models differ in more than size?"] = _families(study)
    return answers


def _families(study: Study) -> str:
    models = sorted({run.cell.model for run in study.runs})
    if len(models) == 1:
        return f"There is one model, {models[0]}; nothing is said about size."
    metrics = [run.observation.metrics for run in study.runs]
    params = {logged["params"] for logged in metrics if "params" in logged}
    span = f", from {scale_text(min(params))} to {scale_text(max(params))} parameters" if params else ""
    kinds = sorted({str(curve.fixed.get("weights_kind")) for curve in study.curves})
    return (
        f"{len(models)} models ({joined(models)}){span}, weights {joined(kinds)}; random and pretrained "
        "weights are never pooled. Networks of one family may still differ in depth, width and input side."
    )


def _setup(study: Study) -> Answers:
    answers: Answers = {}
    cells = [run.cell for run in study.runs]
    models = {(cell.model, cell.weights) for cell in cells}
    answers["How many trainings, of which models and sizes?"] = (
        f"{len(cells):,} runs: {len(models)} models with their weights, "
        f"{counts(cell.dataset_size for cell in cells)} training images, "
        f"{len({cell.seed for cell in cells})} seeds."
    )
    answers["On which data?"] = joined(data_words(cell) for cell in cells) + "."
    epochs = [run.observation.metrics.get("epochs") for run in study.runs]
    known = sorted({round(number, 1) for number in epochs if number})
    answers["Are images repeated in training?"] = (
        f"Yes: each is seen about {known[0]:,g} to {known[-1]:,g} times."
        if known
        else f"{MISSING}the runs log no number of epochs."
    )
    answers["How are parameters, images and compute counted?"] = (
        "Parameters: backbone and head. Images: distinct training images. Compute: FLOPs, a "
        "multiplication and an addition as two operations, forward passes of the training images and "
        "training; a backward pass is two forward passes. The code that counts is part of mlproject."
    )
    answers["How were the knobs chosen, and do they change with scale?"] = _choice(study)
    answers["Which other settings matter?"] = (
        "All knobs of every run are columns of data/cells.csv; the methods give those that differ."
    )
    engines = {(n, v) for run in study.runs for n, v in run.observation.provenance.items() if n == "device"}
    answers["On which hardware?"] = (
        joined(sorted(value for _, value in engines)) + "."
        if engines
        else f"{MISSING}the runs name no training device."
    )
    return answers


def _choice(study: Study) -> str:
    cells = [run.cell for run in study.runs]
    tuned = [cell for cell in cells if cell.tuning]
    texts = []
    if tuned:
        record: Any = tuned[0].tuning
        texts.append(
            f"{len(tuned):,} of {len(cells):,} runs are tuned, anew at every scale and model: "
            f"{record['trials']} trials each over {record['space']}, on validation images, never on the "
            "held-out ones."
        )
    if len(tuned) < len(cells):
        lengths = {(knob_text(c.knobs.get("steps", 0)), knob_text(c.knobs.get("epochs", 0))) for c in cells}
        same = "the length of training is the same" if len(lengths) == 1 else "lengths of training differ"
        texts.append(
            f"{len(cells) - len(tuned):,} of {len(cells):,} runs are not tuned in this study: {same} at "
            f"every scale. {MISSING}where their knobs were chosen."
        )
    return " ".join(texts)


def _data(study: Study) -> Answers:
    answers: Answers = {}
    cells = [run.cell for run in study.runs]
    kinds = joined(kind_label(run.kind) for run in study.runs)
    n_images = counts(len(run.image_ids) for run in study.runs)
    splits = sorted({"in-sample" if run.split == "train" else "held-out" for run in study.runs})
    answers["Which loss, on which images?"] = f"{kinds} of {n_images} images, {joined(splits)}."
    answers["Which checkpoint of a training is evaluated?"] = (
        "The epoch of the least validation loss."
        if any(cell.validation_size for cell in cells)
        else "The last: no epoch is selected."
    )
    answers["Are losses changed before they are fitted?"] = (
        "No: neither smoothed nor interpolated. Runs of one scale are averaged over their seeds; laws "
        "are fitted to logarithms."
    )
    answers["Is the held-out set used for any choice?"] = (
        "No: it is evaluated once for each run." if "held-out" in splits else "There is none."
    )
    return answers


def _fitting(study: Study) -> Answers:
    answers: Answers = {}
    curves = _fitted(study)
    answers["Which objective, which optimiser, from where?"] = (
        f"Least squares of ln L, weighted by noise; variable projection {cite('golub2003')}; a grid of "
        "exponents, no random start, no dependence on units. Huber's loss as a check."
    )
    for name in dict.fromkeys(curve.axis.name for curve in curves):
        along = [curve for curve in curves if curve.axis.name == name]
        answers[f"Points and range of each fit along {name}?"] = _range(along)
    for grid in study.grids:
        answers[f"Points of the joint fit, {grid.series or grid.label}?"] = (
            f"{len(grid.points)} cells: {grid.shape[0]} model sizes × {grid.shape[1]} data sizes."
        )
    flags = [f for curve in curves for a in curve.assessments.values() for f in a.flags if "left out" in f]
    repeats = f" {study.n_left_out:,} runs that repeat a cell were left out." if study.n_left_out else ""
    named = f"{joined(flags)}." if flags else "No point is left out of a fit."
    answers["Are points left out?"] = named + repeats
    return answers


def _range(curves: list[Curve]) -> str:
    n_low, n_high = min(c.n_scales for c in curves), max(c.n_scales for c in curves)
    low, high = min(float(c.x[0]) for c in curves), max(float(c.x[-1]) for c in curves)
    seeds = range_text(min(c.n_seeds[0] for c in curves), max(c.n_seeds[1] for c in curves))
    lacks = []
    if n_low < SIZES_WANTED:
        lacks.append(f"fewer than {SIZES_WANTED} scales")
    if any(float(c.x[-1] / c.x[0]) < RANGE_WANTED for c in curves):
        lacks.append("less than a factor of ten")
    if any(c.n_seeds[0] < SEEDS_WANTED for c in curves):
        lacks.append(f"fewer than {SEEDS_WANTED} seeds")
    short = f" Short of the usual minimum: {joined(lacks)} in some." if lacks else ""
    return (
        f"{len(curves)} fits of {range_text(n_low, n_high)} scales from {scale_text(low)} to "
        f"{scale_text(high)} {curves[0].axis.unit}, {seeds} seeds at each scale.{short}"
    )


def _support(study: Study) -> Answers:
    answers: Answers = {}
    curves = _fitted(study)
    answers["How are intervals made, and what do they cover?"] = (
        f"95 %, {study.n_draws:,} bootstrap draws over images, paired where runs share them, and over "
        "seeds where a scale has several; see the methods."
    )
    held = [a.held_out for curve in curves for n, a in curve.assessments.items() if n == "mean"]
    n_held = sum(one_held is not None for one_held in held) + sum(g.held_out is not None for g in study.grids)
    answers["Is a scale held out and predicted?"] = (
        f"Yes: in {n_held} of {len(curves) + len(study.grids)} groups the largest scale, or the most "
        "expensive cells, are predicted from the others."
        if n_held
        else f"{MISSING}no group has enough scales to hold one out."
    )
    verdicts = [curve.assessments["mean"].verdict for curve in curves if "mean" in curve.assessments]
    tallies = (f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    answers["What do the fits identify?"] = f"{joined(tallies)}." if verdicts else "Nothing."
    answers["Are other laws compared?"] = (
        "Yes: weights and ranks of all averaged laws are in the table of laws."
        if any(len(curve.assessments["mean"].laws) > 2 for curve in curves if "mean" in curve.assessments)
        else "No."
    )
    answers["Are code, points and per-image losses given?"] = (
        "data/cells.csv and data/images.parquet hold them; REPRODUCE.md gives digests and versions. "
        f"{MISSING}where the authors publish them."
    )
    return answers


PARTS = {
    "Hypothesis": _hypothesis,
    "Training": _setup,
    "Losses": _data,
    "Fits": _fitting,
    "Evidence": _support,
}
"""The parts of the checklist in their order."""
