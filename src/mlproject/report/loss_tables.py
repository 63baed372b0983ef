"""Tables of per-image losses: by size and model, kinds of loss, correlations, distributions, exponents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mlproject.analysis import AXES, Curve, LossKind, RegionContrast, Study
from mlproject.report.document import Row, Table
from mlproject.report.formats import as_interval, as_number, as_text, ends, slugs
from mlproject.report.study_tables import head_of

CURVE = ("group", "model", "data", "recipe", "axis")
CORRELATION = (*CURVE, "first", "second", "n_images", "pearson", "spearman")
ESTIMATES = ("exponent", "standard_error", "shrunk", "q_value", "scales", "rises")
IMAGES = ("image_name", "group", "model", "data", "recipe", *ESTIMATES)
KINDS = (
    *CURVE, "loss", "trained", "n_scales", "mean_first", "mean_last", "spread_first", "spread_last",
    "agreement", "alpha", "alpha_low", "alpha_high", "verdict",
)  # fmt: skip
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
