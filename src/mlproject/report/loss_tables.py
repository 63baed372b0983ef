"""Tables of per-image losses: by size, model and class; kinds, correlations, distributions, exponents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from mlproject.analysis import (
    AXES,
    ClassExponent,
    ClassScaling,
    Curve,
    LossKind,
    RegionContrast,
    Study,
)
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import (
    as_count,
    as_interval,
    as_number,
    as_signed,
    as_text,
    ends,
    signed_interval,
    slugs,
)
from mlproject.report.study_tables import head_of
from mlproject.scaling import scale_text

CURVE = ("group", "model", "data", "recipe", "axis")
CORRELATION = (*CURVE, "first", "second", "n_images", "pearson", "spearman")
ESTIMATES = ("exponent", "standard_error", "shrunk", "q_value", "scales", "rises")
IMAGES = ("image_name", "group", "model", "data", "recipe", *ESTIMATES)
KINDS = (
    *CURVE, "loss", "trained", "n_scales", "mean_first", "mean_last", "spread_first", "spread_last",
    "agreement", "alpha", "alpha_low", "alpha_high", "verdict",
)  # fmt: skip
CLASSES = (
    *CURVE, "label", "n_images", "loss_first", "loss_last", "alpha", "alpha_low", "alpha_high", "difference",
    "difference_low", "difference_high", "shrunk", "shrunk_low", "shrunk_high", "p_value", "q_value",
)  # fmt: skip
CONFUSION = (*CURVE, "scale", "label", "predicted", "count")
DISCOVERED = 0.05
"""The false-discovery rate at which a class is said to differ."""
MOST_CLASSES = 12
"""Classes of a curve on a page; of more, those of the least q-values."""
MOST_NAMED = 5
REGIONS = (
    *CURVE, "statistic", "law", "first", "second", "difference", "low", "high", "paired",
    "identified", "verdict", "scale", "loss_ratio", "loss_ratio_low", "loss_ratio_high",
)  # fmt: skip


def loss_tables(study: Study) -> tuple[Table, ...]:
    """The tables of losses that are files only."""
    sizes, models = study.along("images"), study.along("params")
    tables = {
        "correlations_by_size": ([row for curve in sizes for row in correlation_rows(curve)], CORRELATION),
        "correlations_by_model": ([row for curve in models for row in correlation_rows(curve)], CORRELATION),
        "distributions": ([row for curve in study.curves for row in distribution_rows(curve)], ()),
        "image_exponents": ([row for curve in sizes for row in _image_rows(curve)], IMAGES),
    }
    losses = [_losses_table("losses_by_size", sizes), _losses_table("losses_by_model", models)]
    losses += [*_group_losses("losses_by_size", sizes), *_group_losses("losses_by_model", models)]
    files = [Table(name=name, rows=rows, columns=columns) for name, (rows, columns) in tables.items()]
    return (*losses, *files)


def loss_kinds_table(study: Study) -> Table:
    """Kinds of loss of the same outputs: a row for each curve over sizes or models and kind."""
    rows = [
        _kind_row(curve, kind, study.name_of(curve))
        for curve in (*study.along("images"), *study.along("params"))
        if len(curve.points) > 1
        for kind in curve.loss_kinds
    ]
    formats = {"group": as_text("name"), "axis": as_text("axis"), "loss": as_text("words")}
    formats |= {"mean, first": as_number("mean_first"), "mean, last": as_number("mean_last")}
    formats |= {"sd / mean, first": as_number("spread_first"), "sd / mean, last": as_number("spread_last")}
    formats |= {"rank correlation with the trained": as_number("agreement"), "α [95 %]": as_interval("alpha")}
    formats |= {"verdict": as_text("verdict")}
    caption = (
        "Losses of the same outputs: spread over images, agreement, and dependence on scale. First and last "
        "are the smallest and largest scale; the correlation is Spearman's at the largest; α is that of "
        "k x^-α fitted to the means, with Student's t of the residuals."
    )
    return Table(name="loss_kinds", rows=rows, columns=KINDS, formats=formats, caption=caption)


def _kind_row(curve: Curve, kind: LossKind, name: str) -> Row:
    trained, law = curve.loss_kinds[0].kind, kind.law
    row: dict[str, Any] = {**head_of(curve), "loss": kind.kind}
    row |= {"trained": kind.trained, "n_scales": curve.n_scales, "name": name}
    row["words"] = f"{kind.kind.replace('_', ' ')}{' (trained)' if kind.trained else ''}"
    row |= {"mean_first": float(kind.mean[0]), "mean_last": float(kind.mean[-1])}
    row |= {"spread_first": float(kind.spread[0]), "spread_last": float(kind.spread[-1])}
    alpha = None if law is None else law.parameters["alpha"]
    row |= ends("alpha", alpha, identified=law is not None and "alpha" in law.identified)
    verdict = "not identifiable" if law is None else law.verdict
    return row | {"agreement": kind.agreement[trained], "verdict": verdict}


def classes_section(study: Study) -> Section:
    """Exponents by class and the confusion at the largest scale; empty where no run logged labels."""
    rows, shown = [], []
    for scaling in study.classes:
        here = [_class_row(scaling.curve, row, study.name_of(scaling.curve)) for row in scaling.exponents]
        least = sorted(here, key=lambda row: row["q_value"])[:MOST_CLASSES]
        rows += here
        shown += [row for row in here if row in least]
    confusion = [
        head_of(s.curve)
        | {"scale": s.curve.points[-1].name, "label": c.label, "predicted": c.predicted, "count": c.count}
        for s in study.classes
        for c in s.confusion
    ]
    formats = {"group": as_text("name"), "class": as_text("label"), "images": as_count("n_images")}
    formats |= {"loss, first": as_number("loss_first"), "loss, last": as_number("loss_last")}
    formats |= {"α [95 %]": as_interval("alpha"), "α minus that of all images": as_signed("difference")}
    formats |= {"shrunk": as_signed("shrunk"), "q": as_number("q_value", 2)}
    cut = f" Of each group the {MOST_CLASSES} classes of the least q." if len(shown) < len(rows) else ""
    caption = (
        "Exponents of the mean loss of each class under k x^-α, first and last at the smallest and largest "
        "scale. Shrunk: the difference, shrunk towards the mean over classes. q is the false-discovery rate "
        "(Benjamini and Hochberg) over the classes of a group at which the class differs from all images."
        f"{cut}"
    )
    classes = Table(name="classes", rows=rows, columns=CLASSES, formats=formats, caption=caption, shown=shown)
    tables = (classes, Table(name="confusion", rows=confusion, columns=CONFUSION))
    return Section(
        title="Classes",
        bullets=tuple(f"{study.name_of(s.curve)}: {' '.join(_class_sentences(s))}" for s in study.classes),
        tables=tuple(table for table in tables if table.rows),
        figures=tuple(_class_figures(study, rows)),
    )


def _class_figures(study: Study, rows: Sequence[Row]) -> Iterator[Figure]:
    """The forest plot of the classes of the first family that has shrunk differences."""
    from mlproject.report.figures.classes import MOST_CURVES, MOST_DRAWN, classes_figure, drawn_scalings

    drawn = drawn_scalings(study.classes)
    if not drawn:
        return
    names = {scaling.curve.label for scaling in drawn}
    n_curves = sum(scaling.curve.family == drawn[0].curve.family for scaling in study.classes)
    few = f" The first {MOST_CURVES} of {n_curves} curves." if n_curves > MOST_CURVES else ""
    many = max(len(scaling.exponents) for scaling in drawn) > MOST_DRAWN
    cut = f" The {MOST_DRAWN} classes that differ most." if many else ""
    yield Figure(
        name="class_exponents",
        draw=partial(classes_figure, drawn),
        caption="Exponents of classes minus that of all images, shrunk towards the mean over classes, with "
        f"95 % intervals; filled where the class differs at a false-discovery rate of 5 %.{few}{cut}",
        data=Table(name="classes", rows=[row for row in rows if row["group"] in names], columns=CLASSES),
    )


def _class_row(curve: Curve, row: ClassExponent, name: str) -> dict[str, Any]:
    values = head_of(curve) | {"label": row.label, "n_images": row.n_images, "name": name}
    values |= {"loss_first": row.first, "loss_last": row.last, "p_value": row.p, "q_value": row.q}
    return values | ends("alpha", row.alpha) | ends("difference", row.difference) | ends("shrunk", row.shrunk)


def _class_sentences(scaling: ClassScaling) -> Iterator[str]:
    """Which classes differ from the curve, which have no exponent, and the most common error."""
    rows = [row for row in scaling.exponents if row.q <= DISCOVERED]
    if scaling.exponents:
        ways = {"faster": [row for row in rows if row.difference.value > 0]}
        ways["slower"] = [row for row in rows if row.difference.value <= 0]
        named = "; ".join(f"{way} {_named(differing)}" for way, differing in ways.items() if differing)
        verb = "is seen to fall" if not rows else "falls" if len(rows) == 1 else "fall"
        count = f"of {len(scaling.exponents)} classes {len(rows) or 'none'} {verb}"
        rate = f"false-discovery rate {100 * DISCOVERED:.0f} %"
        yield f"{count} at another rate than all images ({rate}){f': {named}' if named else ''}."
    if scaling.left_out:
        yield f"No exponent (no image or a loss of 0 at some scale): {_listed(scaling.left_out)}."
    yield _most_common_error(scaling)


def _most_common_error(scaling: ClassScaling) -> str:
    point, unit = scaling.curve.points[-1], scaling.curve.axis.unit
    errors = [row for row in scaling.confusion if row.label != row.predicted]
    at = f"At {scale_text(point.x)} {unit}"
    if not errors:
        return f"{at} no image is assigned to a wrong class."
    worst = max(errors, key=lambda row: row.count)
    total = sum(row.count for row in scaling.confusion if row.label == worst.label)
    runs = "1 run" if scaling.n_runs == 1 else f"{scaling.n_runs} runs"
    share = f"{100 * worst.count / total:.0f} % ({worst.count} of {total} in {runs})"
    return f"{at} the most common error is {worst.label} taken for {worst.predicted}: {share}."


def _named(rows: Sequence[ClassExponent]) -> str:
    """Classes with their differences, the greatest first."""
    ordered = sorted(rows, key=lambda row: -abs(row.difference.value))
    return _listed([f"{row.label} ({signed_interval(row.difference)})" for row in ordered])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"


def _losses_table(name: str, curves: Sequence[Curve]) -> Table:
    """One row for each group and image; one column ``loss_<size or model>`` for each scale, ascending."""
    scales = {point.name: point.x for curve in curves for point in curve.points}
    columns = tuple(f"loss_{scale}" for scale in sorted(scales, key=lambda n: (scales[n], n)))
    rows = [row for curve in curves for row in _loss_rows(curve)]
    return Table(name=name, rows=rows, columns=("image_name", "group", *columns))


def _group_losses(folder: str, curves: Sequence[Curve]) -> Iterator[Table]:
    """A file for each group: ``image_name`` and ``loss_<size or model>``, nothing else."""
    for curve, file in zip(curves, slugs([curve.label for curve in curves], 120), strict=True):
        columns = ("image_name", *(f"loss_{point.name}" for point in curve.points))
        yield Table(name=f"{folder}/{file}", rows=list(_loss_rows(curve)), columns=columns)


def _loss_rows(curve: Curve) -> Iterable[Row]:
    columns = [f"loss_{point.name}" for point in curve.points]
    for image, losses in zip(curve.image_ids, curve.losses.tolist(), strict=True):
        if not all(math.isnan(loss) for loss in losses):
            yield {"image_name": image, "group": curve.label, **dict(zip(columns, losses, strict=True))}


def correlation_rows(curve: Curve) -> Iterator[Row]:
    """A row for each pair of scales."""
    for pair in curve.correlations:
        yield {**head_of(curve), **{name: getattr(pair, name) for name in CORRELATION[len(CURVE) :]}}


def distribution_rows(curve: Curve) -> Iterator[Row]:
    """A row for each scale: moments and quantiles of the per-image losses."""
    if curve.axis is not AXES["flops"]:
        for point in curve.points:
            row: dict[str, Any] = {**head_of(curve), "scale": point.name}
            counts = {"n_images": point.n_images, "n_seeds": point.n_seeds}
            yield row | {"x": point.x} | counts | dict(point.distribution)


def _image_rows(curve: Curve) -> Iterator[Row]:
    """Images that every size evaluated with a positive loss; the others have no exponent."""
    exponents = curve.image_exponents
    if exponents is not None:
        columns = {name: getattr(exponents, name).tolist() for name in ESTIMATES}
        for i in exponents.valid.nonzero()[0].tolist():
            row: dict[str, Any] = {"image_name": curve.image_ids[i], **head_of(curve)}
            yield row | {name: values[i] for name, values in columns.items()}


def regions_table(contrasts: Sequence[RegionContrast]) -> Table:
    """One row for each pair of regions, statistic and law: the difference of their exponents."""
    rows = []
    for item in contrasts:
        row: dict[str, Any] = {**head_of(item.first), "group": item.first.series}
        row |= {"statistic": item.statistic, "law": item.law, "paired": item.difference.paired}
        row |= dict(zip(("first", "second"), item.regions, strict=True))
        difference = item.difference.difference
        row |= {"difference": difference.value, "low": difference.low, "high": difference.high}
        row |= {"identified": item.identified, "verdict": item.difference.verdict, "scale": item.scale}
        rows.append(row | ends("loss_ratio", item.loss_ratio))
    return Table(name="exponents_by_region", rows=rows, columns=REGIONS)
