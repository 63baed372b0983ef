"""The report of a study for a browser: the sections of its document in the order of a reader, images, setup.

    answer -> figure -> exponents -> differences -> images -> distributions -> predictions -> what was run
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from mlproject.analysis import (
    Curve,
    Explorer,
    ModelDifference,
    Study,
    explorers,
    shared_by_cells,
)
from mlproject.report.document import Document, Figure, Format, Row, Section, Table
from mlproject.report.formats import (
    FORMULAS,
    as_count,
    as_fixed,
    as_interval,
    as_number,
    as_scale,
    as_signed,
    as_text,
    ends,
    range_text,
)

LATE = ("Study", "Not fitted", "Verdicts", "Read with this in mind")
"""Sections of the document that follow the results, in this order."""
FIRST = ("Exponents",)
MOST_VALUES = 8
"""Values of a setting that are listed; of more, the first and last are."""
COUNTED = (
    "Parameters are those of the backbone and of what was trained on it. FLOP of a cell are those of its "
    "features, once for each training image, and of its training; a multiplication and an addition are two."
)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a page shows that a study does not know: pictures of images, addresses of runs.

    ``thumbnails`` are WebP files by image; ``no_thumbnails`` says why there are none. ``run_page`` gives the
    address of a run in a tracking server, or nothing.
    """

    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    no_thumbnails: str = ""
    run_pages: str = ""

    def run_page(self, run_id: str) -> str:
        """The address of a run, empty where the store is no server."""
        return f"{self.run_pages}{run_id}" if self.run_pages else ""


NOWHERE = Surroundings()


def study_page(study: Study, document: Document, around: Surroundings = NOWHERE) -> Document:
    """The document of a study as a page: its sections, and those that only a browser shows."""
    by_title = {section.title: section for section in document.sections}
    figures = [figure for figure in document.figures if figure.name not in _switched(document.figures)]
    curves = [figure for figure in figures if figure.name.startswith("scaling_")]
    spread = [f for f in figures if f.name.startswith(("distribution_", "correlation_", "loss_kinds_"))]
    moved = {figure.name for figure in (*curves, *spread)}
    known = explorers(study)
    middle = [
        section for title, section in by_title.items() if title not in (*FIRST, *LATE, "Data", "Curves")
    ]
    sections = [
        Section(title="Losses against scale", figures=tuple(curves)),
        Section(title="Exponents", paragraphs=by_title["Exponents"].paragraphs, tables=(laws_table(study),)),
        *_differences(known),
        *(_images(study, explorer, around) for explorer in known[:1]),
        *_without(middle, moved),
        Section(title="Distributions and correlations", figures=tuple(spread)),
        Section(title="The largest scale, predicted from the others", tables=(held_out_table(study),)),
        Section(title="What was run", paragraphs=(COUNTED,), tables=(setup_table(study),)),
        *(by_title[title] for title in LATE if title in by_title),
        Section(title="All laws and statistics", tables=by_title["Exponents"].tables),
        Section(title="Runs", paragraphs=tuple(_left_out(study)), tables=(runs_table(study, around),)),
        Section(title="Glossary", terms=glossary()),
        Section(title="", tables=by_title["Data"].tables if "Data" in by_title else ()),
    ]
    return replace(
        document, title=_title(study), question=_question(study), sections=tuple(sections)
    )


def _switched(figures: Iterable[Figure]) -> set[str]:
    """Figures of the median, which a browser shows in the place of the mean."""
    live = [figure.name for figure in figures if figure.interactive is not None]
    return {name.replace("_mean", "_median") for name in live if "_mean" in name}


def _without(sections: Iterable[Section], moved: set[str]) -> Iterator[Section]:
    """Sections without the figures that another one shows."""
    for section in sections:
        yield replace(section, figures=tuple(f for f in section.figures if f.name not in moved))


def _title(study: Study) -> str:
    data = dict.fromkeys(_data_name(run.cell.data) for run in study.runs)
    return f"Scaling of {_listing([kind.replace('_', ' ') for kind in _kinds(study)])} on {_listing(list(data))}"


def _question(study: Study) -> str:
    """What the cells vary, and so what was asked."""
    cells = [run.cell for run in study.runs]
    varied = []
    for name, values in (
        ("training images", sorted({cell.dataset_size for cell in cells})),
        ("epochs", sorted({c.knobs["epochs"] for c in cells if c.knobs.get("epochs")}) if study.along("epochs") else []),
    ):  # fmt: skip
        if len(values) > 1:
            varied.append(f"{name} ({values[0]:,} to {values[-1]:,})")
    for name, texts in (
        ("the model", {cell.model for cell in cells}),
        ("the region of the image", {cell.region for cell in cells}),
        ("the image scale", {",".join(f"{s:g}" for s in cell.image_scales) for cell in cells}),
    ):
        if len(texts) > 1:
            varied.append(f"{name} ({_listing(sorted(texts))})")
    if study.ablation.tables:
        varied.append("the settings of the training")
    loss = "loss of the training images" if all(cell.in_sample for cell in cells) else "held-out loss"
    if not varied:
        return f"What is the {loss} of {cells[0].model} with {cells[0].dataset_size:,} training images?"
    return f"How does the {loss} change with {_and(varied)}?"


def _kinds(study: Study) -> list[str]:
    return list(dict.fromkeys(run.kind for run in study.runs))


def _and(texts: Sequence[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _listing(texts: Sequence[str]) -> str:
    """All of a few values, else how many there are, with the first and the last."""
    if len(texts) <= 4:
        return _and(texts)
    return f"{len(texts)}: {texts[0]} to {texts[-1]}"


def _data_name(data: str) -> str:
    return data.rstrip("/").rpartition("/")[2]


def laws_table(study: Study) -> Table:
    """Every curve under one law a column, mean and median loss, so that rows compare."""
    rows = [
        _laws_row(study, curve, statistic)
        for curve in study.curves
        for statistic in ("mean", "median")
        if statistic in curve.assessments
    ]
    shown = [row for row in rows if row["statistic"] == "mean"]
    formats: dict[str, Format] = {"group": as_text("name"), "axis": as_text("scale")}
    for law, formula in FORMULAS.items():
        formats[f"α under {formula}"] = replace(as_interval(f"{law}_alpha"), bar=f"{law}_alpha")
    formats |= {"E": as_interval("power_floor_E"), "verdict": as_text("verdict"), "seeds": as_text("n_seeds")}
    caption = (
        "Exponents of the mean loss with 95 % intervals, one law a column. The bar is the interval, the mark "
        "its value; all bars of a column have one scale, the grey line is 0. Limits alone are all that the "
        "data determine."
    )
    return Table(name="exponents_by_law", rows=rows, formats=formats, caption=caption, shown=shown)


def _laws_row(study: Study, curve: Curve, statistic: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"group": curve.label, "axis": curve.axis.name, "statistic": statistic}
    row |= {"name": study.name_of(curve), "scale": f"{curve.axis.name} {curve.axis.symbol}"}
    for law in FORMULAS:
        fitted = curve.law(statistic, law)
        parameters = fitted.parameters if fitted is not None and fitted.fit is not None else {}
        for name in ("alpha", "E") if law == "power_floor" else ("alpha",):
            estimate = parameters.get(name)
            known = estimate is not None and estimate.identified
            row |= ends(f"{law}_{name}", estimate, identified=known)
    assessment = curve.assessments[statistic]
    return row | {"verdict": assessment.verdict, "n_seeds": range_text(*curve.n_seeds)}


def _differences(known: Sequence[Explorer]) -> Iterator[Section]:
    """Models against the best one, image by image."""
    rows = [_difference_row(explorer, d) for explorer in known for d in explorer.differences]
    if rows:
        text = (
            "Each model minus the one of the lowest loss, on the same images and seeds, at the largest size "
            "that all were trained with: 95 % intervals one at a time, the verdict after Holm's correction."
        )
        formats = {"model": as_text("model"), "minus": as_text("reference"), "images": as_scale("size")}
        formats |= {"loss": as_number("loss")}
        formats["Δ loss"] = replace(as_signed("difference"), bar="difference")
        formats |= {"loss is": as_text("verdict"), "p (Holm)": as_number("p_holm", 2)}
        formats["seeds"] = as_count("n_seeds")
        if len(known) > 1:
            formats = {"group": as_text("family"), **formats}
        table = Table(name="model_differences", rows=rows, formats=formats, caption="Paired differences.")
        yield Section(title="Differences between models", paragraphs=(text,), tables=(table,))


def _difference_row(explorer: Explorer, compared: ModelDifference) -> Row:
    difference = compared.difference
    row: dict[str, Any] = {"family": explorer.family, "model": compared.name, "reference": compared.reference}
    row |= {"size": compared.size, "loss": compared.loss, "reference_loss": compared.reference_loss}
    row |= ends("difference", difference.effect) | {"verdict": difference.verdict}
    return row | {
        "p_holm": difference.holm, "n_seeds": difference.effect.n_seeds, "n_images": difference.effect.n_images,
    }  # fmt: skip


def _images(study: Study, explorer: Explorer, around: Surroundings) -> Section:
    from mlproject.report.interactive.gallery import MOST_IMAGES, image_gallery

    families = {(c.family, c.image_ids): [] for c in study.along("images")}  # type: dict[Any, list[Curve]]
    for curve in study.along("images"):
        families[curve.family, curve.image_ids].append(curve)
    n, more = len(explorer.image_ids), len(families) - 1
    caption = f"{explorer.family}: {n:,} images."
    if n > MOST_IMAGES:
        caption += (
            f" {MOST_IMAGES} are shown: half of them those whose loss rises most reliably or is highest, the "
            "others spread evenly over the rest."
        )
    if more:
        caption += f" The images of {more} other groups are in losses_by_size.csv."
    if explorer.labels is None:
        caption += " No labels are stored with these runs."
    if not around.thumbnails:
        caption += f" Without pictures: {around.no_thumbnails or 'none were given'}."
    curves = families[explorer.family, explorer.image_ids]
    gallery = image_gallery(explorer, curves, around.thumbnails, name="images", caption=caption)
    return Section(title="Images", paragraphs=tuple(image_sentences(explorer)), gallery=gallery)


def image_sentences(explorer: Explorer) -> Iterator[str]:
    """What the images show: which get worse with more data, who carries the loss, where models disagree."""
    n = len(explorer.image_ids)
    scaled = [series for series in explorer.series if series.has_exponents]
    if scaled:
        rates = ", ".join(f"{series.name} {int(series.rises.sum()):,}" for series in scaled)
        every = f", {explorer.n_rising_everywhere:,} under all" if len(scaled) > 1 else ""
        yield (
            f"{explorer.n_rising:,} of {n:,} images get reliably worse with more training images under at "
            f"least one model{every} (at a false-discovery rate of 5 %: {rates})."
        )
        falls = [int(series.falls.sum()) for series in scaled]
        yield f"Reliably better: {range_text(min(falls), max(falls))} images of a model."
    else:
        yield "Three sizes and losses above zero are needed to say which images get worse with more data."
    shares = sorted(s.worst_tenth for s in explorer.series if s.worst_tenth == s.worst_tenth)
    if shares and n >= 10:
        texts = dict.fromkeys(f"{100 * share:.0f}" for share in (shares[0], shares[-1]))
        yield (
            f"The worst tenth of the images carries {' to '.join(texts)} % of the loss at the largest size "
            f"of a model."
        )
    if explorer.disagreement is None:
        yield "One model: nothing is said about disagreement."


def held_out_table(study: Study) -> Table:
    """The loss at the largest scale of each curve, and what the smaller scales predicted."""
    rows = []
    for curve in study.curves:
        held_out = curve.assessments["mean"].held_out if "mean" in curve.assessments else None
        if held_out is None:
            continue
        losses, predicted = curve.points[-1].losses["mean"], held_out.prediction
        row: dict[str, Any] = {"group": curve.label, "name": study.name_of(curve), "axis": curve.axis.name}
        row |= {"x": float(curve.x[-1])} | ends("observed", losses)
        row |= {"predicted": float(predicted.mean[0]), "predicted_low": float(predicted.low[0])}
        row["predicted_high"] = float(predicted.high[0])
        inside = row["predicted_low"] <= losses.value <= row["predicted_high"]
        rows.append(row | {"inside": "yes" if inside else "no"})
    formats = {"group": as_text("name"), "axis": as_text("axis"), "scale": as_scale("x")}
    formats |= {"observed": as_interval("observed"), "predicted": as_interval("predicted")}
    formats["observed lies inside"] = as_text("inside")
    return Table(
        name="held_out", rows=rows, formats=formats,
        caption="Mean losses at the largest scale, observed and predicted from the smaller ones, over all laws.",
    )  # fmt: skip


def setup_table(study: Study) -> Table:
    """Every coordinate and knob of the cells, with the values that it takes."""
    values: dict[str, dict[str, None]] = {}
    for run in study.runs:
        for name, value in _settings(run.cell).items():
            values.setdefault(name, {})[value] = None
    rows = [
        {"setting": name, "n_values": len(given), "values": _listed(list(given))}
        for name, given in values.items()
    ]
    formats = {"setting": as_text("setting", wrap=False), "values": as_text("values")}
    caption = "What the cells are: every coordinate and knob, with all its values."
    return Table(name="setup", rows=rows, formats=formats, caption=caption)


def _settings(cell: Any) -> dict[str, str]:
    """A cell's coordinates and knobs as text; digests by their beginning."""
    shared = shared_by_cells(cell)
    plain = {name: value for name, value in cell.coordinates.items() if name not in ("recipe_version",)}
    texts = {name: _setting(name, value) for name, value in plain.items() if value not in ("", None)}
    tuned = set(cell.tuned)
    texts |= {
        f"knob {name}": f"{value} (chosen by a search)" if name in tuned else str(value)
        for name, value in cell.knobs.items()
    }
    status = ", ".join(f"{k} {v}" for k, v in cell.tuning.items()) or "no knob was tuned"
    return texts | {"kind of weights": str(shared["weights_kind"]), "tuning": status}


def _setting(name: str, value: Any) -> str:
    if name.endswith("digest"):
        return str(value)[:16]
    if isinstance(value, list):
        return ",".join(f"{item:g}" for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _listed(values: list[str]) -> str:
    numbers = all(re.fullmatch(r"[\d,]+", value) for value in values)
    ordered = sorted(values, key=lambda v: int(v.replace(",", ""))) if numbers else sorted(values)
    if len(ordered) > MOST_VALUES:
        return f"{len(ordered)} values: {', '.join(ordered[:3])} … {ordered[-1]}"
    return "; ".join(ordered)


def runs_table(study: Study, around: Surroundings) -> Table:
    """Every run that was used, with its digest."""
    rows = [
        {
            "run": run.run_id,
            "cell": run.cell.key,
            "model": run.cell.model,
            "weights": run.cell.weights,
            "images": run.cell.dataset_size,
            "seed": run.cell.seed,
            "region": run.cell.region,
            "loss": float(run.losses.mean()),
            "params": run.observation.metrics.get("params"),
            "accuracy": run.observation.metrics.get("accuracy"),
            "losses_digest": run.observation.losses_digest,
        }
        for run in study.runs
    ]
    rows.sort(key=lambda row: (row["model"], row["images"], row["seed"], row["cell"]))
    link = (lambda row: around.run_page(row["run"])) if around.run_pages else None
    formats = {"run": replace(as_text("run", wrap=False), link=link), "model": as_text("model", wrap=False)}
    formats |= {"images": as_count("images"), "seed": as_count("seed"), "loss": as_fixed("loss", 4)}
    formats |= {"parameters": as_scale("params"), "cell": as_text("cell", wrap=False)}
    formats["digest of the losses"] = as_text("losses_digest")
    return Table(name="runs", rows=rows, formats=formats, caption="The runs behind every number.")


def _left_out(study: Study) -> Iterator[str]:
    yield f"{len(study.runs):,} runs are used, {study.n_left_out:,} that repeat a cell are left out."


@cache
def glossary() -> tuple[tuple[str, str], ...]:
    """The terms of the documentation with their definitions, as plain text."""
    text = (Path(__file__).parent / "glossary.md").read_text("utf-8")
    _, _, body = text.partition(":::{glossary}\n")
    terms = []
    for entry in re.split(r"\n(?=\S)", body.partition("\n:::")[0].strip()):
        term, *lines = entry.splitlines()
        definition = " ".join(line.strip() for line in lines).strip()
        terms.append((term, re.sub(r"[`*]|\]\([^)]*\)|\[(?=[^\]]*\]\()", "", definition)))
    return tuple(terms)

