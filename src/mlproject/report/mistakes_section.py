"""The section of a report on mistakes by scale: images learned or lost, shared mistakes, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from mlproject.analysis import (
    LOST,
    NEVER,
    Calibration,
    ErrorConsistency,
    ImageForecast,
    Mistakes,
    Study,
    Trajectory,
)
from mlproject.report.document import Figure, Section, Table
from mlproject.report.formats import interval, signed_interval
from mlproject.report.mistakes_tables import (
    calibration_table,
    consistency_rows,
    consistency_table,
    forecasts_table,
    images_table,
    learned_table,
    scale_words,
)

METHOD = (
    "An image is right at a scale where most of its runs classify it rightly, and learned at the smallest "
    "scale from which it stays right; it is lost where it was right and is wrong at the largest scale. Its "
    "loss gets worse where the slope of ln loss over ln scale is above 0 beyond what seeds differ by, at a "
    "false-discovery rate of 5 %. Error consistency κ is 1 where two networks have the same images wrong, "
    "and 0 where they share as many as their accuracies alone give (Geirhos et al. 2020)."
)
TITLE = "Mistakes by scale"


def mistakes_section(study: Study) -> Section:
    """What images tell along scale in sentences, up to three figures, and the tables behind them."""
    known = study.mistakes
    if not known.trajectories:
        return Section(title=TITLE, bullets=tuple(_left_out(known)))
    learned, shared, calibrated = learned_table(study), consistency_table(known), calibration_table(study)
    tables = (learned, shared, calibrated, forecasts_table(study), images_table(study))
    return Section(
        title=TITLE,
        paragraphs=(METHOD,),
        bullets=tuple(sentences(study)),
        tables=tuple(table for table in tables if table.rows),
        figures=tuple(_figures(study, learned, shared, calibrated)),
    )


def sentences(study: Study) -> Iterator[str]:
    """What the images say: learned, worse, shared, calibrated, forecast; and what was left out."""
    known = study.mistakes
    for trajectory in known.trajectories:
        yield f"{study.name_of(trajectory.curve)}: {_learning(trajectory)}"
    for table in known.consistencies:
        yield from _sharing(table)
    yield from _confidence(study, known.calibrations)
    for forecast in known.forecasts:
        yield f"{study.name_of(forecast.trajectory.curve)}: {_forecast_words(forecast)}"
    yield from _left_out(known)


def _left_out(known: Mistakes) -> Iterator[str]:
    for reason in known.left_out:
        yield f"Left out: {reason}."


def _learning(trajectory: Trajectory) -> str:
    later = trajectory.share(*range(1, len(trajectory.wrong)))
    never, lost = (f"{100 * trajectory.share(outcome).value:.1f} %" for outcome in (NEVER, LOST))
    text = (
        f"of {len(trajectory.rows):,} images {100 * trajectory.share(0).value:.0f} % are right at every "
        f"scale, {100 * later.value:.0f} % are learned later, {lost} are lost, {never} are never right"
    )
    if trajectory.trends is None:
        return f"{text}."
    rises, falls = int(trajectory.trends.rises.sum()), int(trajectory.trends.falls.sum())
    return f"{text}; beyond what seeds differ by, {rises:,} get worse with scale and {falls:,} better."


def _sharing(table: ErrorConsistency) -> Iterator[str]:
    """Two trainings of one cell, the ends of a curve, and models at their largest scales."""
    for series, (first, last) in table.ends.items():
        smallest, largest = (scale_words(table.cells[i][1]) for i in (first, last))
        again = f"two seeds at {largest} share mistakes with κ = {interval(table.estimate(last, last))}; "
        if (last, last) not in table.pairs:
            again = "with one seed κ between trainings is not known; "
        if first != last:
            apart = interval(table.estimate(first, last))
            yield f"{series}: {again}{smallest} and {largest} with κ = {apart}."
    between = table.between_models
    if between:
        yield f"Between models at their largest scales κ is {_between(table, between)}."


def _between(table: ErrorConsistency, pairs: Sequence[tuple[int, int]]) -> str:
    """κ of the pair that shares least and of that which shares most, with intervals and names."""
    ends = [pairs[0], pairs[-1]] if len(pairs) > 1 else [pairs[0]]
    texts = [
        f"{interval(table.estimate(i, j))} ({table.cells[i][0]} and {table.cells[j][0]})" for i, j in ends
    ]
    return " to ".join(texts)


def _confidence(study: Study, known: Sequence[Calibration]) -> Iterator[str]:
    by_curve: dict[str, list[Calibration]] = {}
    for calibration in known:
        by_curve.setdefault(study.name_of(calibration.curve), []).append(calibration)
    for name, scales in by_curve.items():
        first, last = (signed_interval(scale.overconfidence) for scale in (scales[0], scales[-1]))
        at = [scale_words(scale.curve.points[scale.scale].name) for scale in (scales[0], scales[-1])]
        yield f"{name}: confidence minus accuracy is {first} at {at[0]} and {last} at {at[1]}."


def _forecast_words(forecast: ImageForecast) -> str:
    largest = scale_words(forecast.trajectory.curve.points[-1].name)
    gain = forecast.gain_over_last
    verb = (
        "is forecast better by their trajectories than"
        if gain.low > 0
        else "is forecast worse by their trajectories than"
        if gain.high < 0
        else "is forecast by their trajectories no better than"
    )
    return (
        f"which images are right at {largest} {verb} by whether they are right at the scale before (gain "
        f"{signed_interval(gain)} nats an image)."
    )


def _figures(study: Study, learned: Table, shared: Table, calibrated: Table) -> Iterator[Figure]:
    """When images are learned, the largest family's shared mistakes, calibration; beside their tables."""
    from mlproject.report.figures.mistakes import calibration_figure, consistency_figure, learned_figure

    known, names = study.mistakes, [study.name_of(t.curve) for t in study.mistakes.trajectories]
    yield Figure(
        name="learned",
        draw=partial(learned_figure, known.trajectories, names),
        caption="When images are learned: shares of the images of each curve by the smallest scale from "
        "which they stay right, those that are lost, and those that are never right. Right at a scale: in "
        "more than half of its runs.",
        data=_data(learned),
    )
    for table in sorted(known.consistencies, key=lambda each: -len(each.cells))[:1]:
        rows = list(consistency_rows(table))
        yield Figure(
            name="error_consistency",
            draw=partial(consistency_figure, table),
            caption=f"Error consistency κ between scales and models, {table.family}; on the diagonal between "
            "seeds. 1: the same images are wrong; 0: as many as by chance.",
            data=Table(name="error_consistency", rows=rows, columns=shared.columns),
        )
    if known.calibrations:
        yield Figure(
            name="calibration",
            draw=partial(calibration_figure, known.calibrations),
            caption="Calibration by scale with 95 % intervals: mean confidence minus accuracy, and the "
            "calibration error without the bias of few images.",
            data=_data(calibrated),
        )


def _data(table: Table) -> Table:
    """The rows of a table as the data of a figure."""
    return Table(name=table.name, rows=table.rows, columns=table.columns)
