"""The report of a study for a browser: the sections of its document in the order of a reader, images, setup.

answer -> figure -> exponents -> differences -> images -> distributions -> predictions -> what was run
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

from mlproject.analysis import AXES, MOST_SEEDS, Explorer, Study, explorers
from mlproject.report.checklist import checklist_section
from mlproject.report.document import Document, Figure, Section, Table
from mlproject.report.formats import listed, range_text
from mlproject.report.methods import methods_section
from mlproject.report.page_tables import (
    differences_table,
    held_out_table,
    laws_table,
    runs_table,
    setup_table,
)

LATE = ("Not fitted", "Verdicts", "Read with this in mind")
"""Sections of the document that follow the results, in this order."""
ELSEWHERE = ("Exponents", "Data", "Curves")
"""Sections whose parts stand at other places of the page."""


Pictures = Callable[[str, str, Sequence[str]], tuple[Mapping[str, bytes], str]]
"""Small WebP files by image, of images of a data set with a digest; or the reason why there are none."""


def no_pictures(data: str, digest: str, ids: Sequence[str]) -> tuple[Mapping[str, bytes], str]:
    """No picture of any image."""
    return {}, "this report was made from losses alone"


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a page shows that a study does not know: pictures of images, addresses of runs.

    ``run_page`` gives the address of the page of a run by its id; None where the store is no server.
    """

    pictures: Pictures = no_pictures
    run_page: Callable[[str], str] | None = None


NOWHERE = Surroundings()


def study_page(
    study: Study, document: Document, around: Surroundings = NOWHERE, further: Sequence[Section] = ()
) -> Document:
    """The document of a study as a page: its sections, those that only a browser shows, and further ones."""
    by_title = {section.title: section for section in document.sections}
    none = Section(title="")
    figures = _without_switched(by_title.get("Curves", none).figures)
    spread = [f for f in figures if f.name.startswith(("distribution_", "correlation_", "loss_kinds_"))]
    known = explorers(study)
    sections = [
        Section(title="Losses against scale", figures=tuple(f for f in figures if f not in spread)),
        Section(title="Exponents", paragraphs=_exponents_text(study, by_title), tables=(laws_table(study),)),
        *_differences(known),
        *(_images(study, explorer, around) for explorer in known[:1]),
        *(section for section in document.sections if section.title not in (*ELSEWHERE, *LATE)),
        *further,
        Section(title="Distributions and correlations", figures=tuple(spread)),
        Section(title="The largest scale, predicted from the others", tables=(held_out_table(study),)),
        replace(methods_section(study), title="What was run", tables=(setup_table(study),)),
        checklist_section(study),
        *(by_title[title] for title in LATE if title in by_title),
        Section(title="All laws and statistics", tables=by_title.get("Exponents", none).tables),
        Section(title="Runs", paragraphs=(_left_out(study),), tables=(runs_table(study, around.run_page),)),
        Section(title="Glossary", terms=glossary()),
        Section(title="", tables=by_title.get("Data", none).tables),
    ]
    return replace(document, title=_title(study), question=_question(study), sections=tuple(sections))


def page_tables(page: Document, document: Document) -> list[Table]:
    """The tables with rows that a page has beside those of its document."""
    known = {table.name for table in document.tables}
    return [table for table in page.tables if table.rows and table.name not in known]


def still(path: Path) -> bytes:
    """A figure as WebP without loss, which takes 40 % of a PNG's bytes."""
    from PIL import Image

    file = BytesIO()
    with Image.open(path) as picture:
        picture.convert("RGB").save(file, "WEBP", lossless=True, method=1)
    return file.getvalue()


def _without_switched(figures: Sequence[Figure]) -> list[Figure]:
    """Figures without those of the median, which a browser shows in the place of the mean."""
    live = [figure.name for figure in figures if figure.interactive is not None]
    switched = {name.replace("_mean", "_median") for name in live if "_mean" in name}
    return [figure for figure in figures if figure.name not in switched]


def _title(study: Study) -> str:
    data = dict.fromkeys(_data_name(run.cell.data) for run in study.runs)
    kinds = dict.fromkeys(run.kind.replace("_", " ") for run in study.runs)
    return f"Scaling of {_listing(list(kinds))} on {_listing(list(data))}"


def _question(study: Study) -> str:
    """What the cells vary, and so what was asked."""
    cells = [run.cell for run in study.runs]
    varied = [f"{name} ({low:,.12g} to {high:,.12g})" for name, low, high in _ranges(study)]
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
    return f"How does the {loss} change with {listed(varied)}?"


def _ranges(study: Study) -> Iterator[tuple[str, float, float]]:
    """Name, least and largest value of the axes that cells vary along, but for model size and compute.

    Models are named instead, and compute follows from them and from the images.
    """
    for key, axis in AXES.items():
        if key not in ("params", "flops") and study.along(key):
            values = [x for run in study.runs if (x := axis.value(run.observation)) > 0]  # NaN is not
            if min(values) < max(values):
                yield axis.name, min(values), max(values)


def _listing(texts: Sequence[str]) -> str:
    """All of a few values, else how many there are, with the first and the last."""
    if len(texts) <= 4:
        return listed(texts)
    return f"{len(texts)}: {texts[0]} to {texts[-1]}"


def _data_name(data: str) -> str:
    return data.rstrip("/").rpartition("/")[2]


def _differences(known: Sequence[Explorer]) -> Iterator[Section]:
    """Models against the best one, image by image."""
    table = differences_table(known)
    if table.rows:
        text = (
            "Each model minus the one of the lowest loss, on the same images and seeds, at the largest size "
            "that all were trained with: 95 % intervals one at a time, the verdict after Holm's correction."
        )
        yield Section(title="Differences between models", paragraphs=(text,), tables=(table,))


def _images(study: Study, explorer: Explorer, around: Surroundings) -> Section:
    from mlproject.report.interactive.gallery import image_gallery, shown_images

    curves = study.along("images")
    families = dict.fromkeys((curve.family, curve.image_ids) for curve in curves)
    here = [c for c in curves if (c.family, c.image_ids) == (explorer.family, explorer.image_ids)]
    ids = shown_images(explorer)
    pictures, why_not = around.pictures(explorer.data, str(here[0].fixed["data_digest"]), ids)
    n, caption = len(explorer.image_ids), f"{explorer.family}: {len(explorer.image_ids):,} images."
    if n > len(ids):
        caption += (
            f" {len(ids)} are shown: half of them those whose loss rises most clearly or is highest, the "
            "others spread evenly over the rest."
        )
    if (n_seeds := max(series.n_seeds for series in explorer.series)) > MOST_SEEDS:
        caption += f" Of the {n_seeds:,} runs of a size and model {MOST_SEEDS} are shown."
    if len(families) > 1:
        caption += f" The images of {len(families) - 1} other groups are in losses_by_size.csv."
    if explorer.labels is None:
        caption += " No labels are stored with these runs."
    if not pictures:
        caption += f" There are no pictures: {why_not or 'no image has this name any more'}."
    gallery = image_gallery(explorer, here, pictures, name="images", caption=caption)
    return Section(title="Images", paragraphs=tuple(image_sentences(explorer)), gallery=gallery)


def image_sentences(explorer: Explorer) -> Iterator[str]:
    """What the images show: which get worse with more data, who carries the loss, where models disagree."""
    n = len(explorer.image_ids)
    scaled = [series for series in explorer.series if series.has_exponents]
    if scaled:
        rates = ", ".join(f"{series.name} {int(series.rises.sum()):,}" for series in scaled)
        every = f", {explorer.n_rising_everywhere:,} under all" if len(scaled) > 1 else ""
        if explorer.n_rising:
            yield (
                f"By a power law of each image, {explorer.n_rising:,} of {n:,} get worse with more training "
                f"images under at least one model{every} (at a false-discovery rate of 5 %: {rates})."
            )
        else:
            yield (
                "By a power law of each image, none gets worse with more training images (at a "
                "false-discovery rate of 5 %)."
            )
        falls = [int(series.falls.sum()) for series in scaled]
        yield f"Better: {range_text(min(falls), max(falls))} images of a model."
    else:
        yield "Three sizes and losses above zero are needed to say which images get worse with more data."
    shares = sorted(s.worst_tenth for s in explorer.series if s.worst_tenth == s.worst_tenth)
    if shares and n >= 10:
        texts = dict.fromkeys(f"{100 * share:.0f}" for share in (shares[0], shares[-1]))
        yield (
            f"The worst tenth of the images carries {' to '.join(texts)} % of the loss, at the largest size "
            "of each model."
        )
    if explorer.disagreement is None:
        yield "One model: nothing is said about disagreement."


def _exponents_text(study: Study, by_title: Mapping[str, Section]) -> tuple[str, ...]:
    known = by_title["Exponents"].paragraphs if "Exponents" in by_title else ()
    if any(curve.fitted_laws("mean") for curve in study.curves):
        return known
    return (*known, "No law is fitted to these runs, so there is no exponent; the reasons stand below.")


def _left_out(study: Study) -> str:
    return f"{len(study.runs):,} runs are used, {study.n_left_out:,} that repeat a cell are left out."


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
