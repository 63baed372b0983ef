"""Tables of mistakes by scale: learned and lost images, error consistency, calibration, forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlproject.analysis import (
    AHEAD,
    Calibration,
    ErrorConsistency,
    ImageForecast,
    Mistakes,
    Score,
    Study,
    Trajectory,
)
from mlproject.report.document import Row, Table
from mlproject.report.formats import ENDS, as_count, as_interval, as_number, as_signed, as_text, ends
from mlproject.report.loss_tables import CURVE
from mlproject.report.study_tables import head_of
from mlproject.scaling import scale_text


def _ended(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ENDS)


LEARNED = (*CURVE, "outcome", "n_images", *_ended("share_of_images"))
IMAGES = (
    "image_name", *CURVE, "outcome", "share_right_first", "share_right_last", "trend", "trend_error",
    "trend_q_value", "worse", "chance", "chance_scale",
)  # fmt: skip
CONSISTENCY = (
    "family", "first", "first_scale", "second", "second_scale", "n_images", "observed", "expected",
    *_ended("kappa"), "interval_over",
)  # fmt: skip
CALIBRATION = (
    *CURVE, "scale", "x", "n_seeds", "confidence", "accuracy",
    *_ended("overconfidence", "calibration_error", "ece"), "ece_calibrated",
)  # fmt: skip
SCORES = ("brier", "log_score", "auc", "brier_gain", "log_gain", "auc_gain")
FORECASTS = (*CURVE, "scale", "method", *_ended(*SCORES))
MOST_ROWS = 30
"""Rows of a table on a page; files have all."""


def learned_table(study: Study) -> Table:
    """How many images of each curve are learned at which scale."""
    rows: list[Row] = [
        head_of(t.curve)
        | {"name": study.name_of(t.curve), "outcome": words, "n_images": t.count(outcome)}
        | ends("share_of_images", t.share(outcome))
        for t in study.mistakes.trajectories
        for outcome, words in t.outcomes
    ]
    formats = {"group": as_text("name"), "outcome": as_text("outcome"), "images": as_count("n_images")}
    formats["share [95 %]"] = as_interval("share_of_images")
    caption = "When images are learned: shares of images with Wilson's intervals, over images."
    return Table(name="learned", rows=rows, columns=LEARNED, formats=formats, caption=caption)


def images_table(study: Study) -> Table:
    """A row for each curve and image, as a file."""
    rows = [row for t in study.mistakes.trajectories for row in _image_rows(study.mistakes, t)]
    return Table(name="image_mistakes", rows=rows, columns=IMAGES)


def _image_rows(known: Mistakes, trajectory: Trajectory) -> Iterator[Row]:
    words, head = dict(trajectory.outcomes), head_of(trajectory.curve)
    trends, forecast = trajectory.trends, known.forecast(trajectory.curve)
    learned = trajectory.learned.tolist()
    for i, place in enumerate(trajectory.rows.tolist()):
        row = {"image_name": trajectory.curve.image_ids[place], **head, "outcome": words[learned[i]]}
        row |= {"share_right_first": float(trajectory.share_right[i, 0])}
        row |= {"share_right_last": float(trajectory.share_right[i, -1])}
        if trends is not None:
            row |= {"trend": float(trends.slope[i]), "trend_error": float(trends.standard_error[i])}
            row |= {"trend_q_value": float(trends.q_value[i]), "worse": bool(trends.rises[i])}
        if forecast is not None:
            row |= {"chance": float(forecast.chance[i]), "chance_scale": forecast.next_scale}
        yield row


def consistency_table(known: Mistakes) -> Table:
    """Every pair of cells; a page shows seeds, neighbouring scales, and models at their largest scales."""
    rows = [row for table in known.consistencies for row in consistency_rows(table)]
    formats = {"first": as_text("words"), "second": as_text("second_words")}
    formats |= {"both right or both wrong": as_number("observed"), "by chance": as_number("expected")}
    formats |= {"κ [95 %]": as_interval("kappa")}
    caption = (
        "Error consistency: two trainings at a scale, neighbouring scales, and models at their largest "
        f"scales, the first {MOST_ROWS} of these. All pairs are in the file."
    )
    shown = [row for row in rows if row["shown"]][:MOST_ROWS]
    return Table(
        name="error_consistency",
        rows=rows,
        columns=CONSISTENCY,
        formats=formats,
        caption=caption,
        shown=shown,
    )


def consistency_rows(table: ErrorConsistency) -> Iterator[Row]:
    """A row for each pair of cells that have two runs to compare."""
    cells = table.cells
    last = {series: i for i, (series, _) in enumerate(cells)}
    for i, j in table.pairs:
        (first, first_scale), (second, second_scale) = cells[i], cells[j]
        row: dict[str, Any] = {"family": table.family, "first": first, "first_scale": first_scale}
        row |= {"second": second}
        row |= {"second_scale": second_scale, "n_images": table.n_images}
        row |= {"observed": float(table.observed[i, j]), "expected": float(table.expected[i, j])}
        row |= ends("kappa", table.estimate(i, j))
        row["interval_over"] = "images" if table.one_seed[i, j] else "images and seeds"
        row |= {"words": f"{first} at {scale_words(first_scale)}"}
        row |= {"second_words": f"{second} at {scale_words(second_scale)}"}
        largest = i == last[first] and j == last[second]
        yield row | {"shown": largest or (first == second and j in (i, i + 1))}


def scale_words(name: str) -> str:
    """The name of a scale; numbers with thousands separated."""
    return scale_text(float(name)) if name.isdecimal() else name


def calibration_table(study: Study) -> Table:
    """A row for each curve and scale."""
    rows = [_calibration_row(study, calibration) for calibration in study.mistakes.calibrations]
    formats = {"group": as_text("name"), "scale": as_text("scale")}
    formats |= {"confidence − accuracy": as_signed("overconfidence", 3)}
    formats |= {
        "calibration error [95 %]": as_interval("calibration_error"),
        "ECE [95 %]": as_interval("ece"),
    }
    formats |= {"ECE if calibrated": as_number("ece_calibrated", 2), "seeds": as_count("n_seeds")}
    caption = (
        "Calibration by scale. The calibration error is the root of the mean squared difference of "
        "confidence and accuracy over bins of equally many images, without the bias of few images; the ECE "
        "has that bias, and stands beside what it would be for calibrated networks."
    )
    return Table(name="calibration", rows=rows, columns=CALIBRATION, formats=formats, caption=caption)


def _calibration_row(study: Study, calibration: Calibration) -> Row:
    curve, point = calibration.curve, calibration.curve.points[calibration.scale]
    row = head_of(curve) | {"name": study.name_of(curve), "scale": point.name, "x": point.x}
    row |= {"n_seeds": point.n_seeds, "confidence": calibration.confidence, "accuracy": calibration.accuracy}
    row |= ends("overconfidence", calibration.overconfidence) | ends("calibration_error", calibration.error)
    return row | ends("ece", calibration.ece) | {"ece_calibrated": calibration.ece_calibrated}


def forecasts_table(study: Study) -> Table:
    """A row for each curve and method: scores of which images the largest scale has right."""
    rows = [
        _forecast_row(study, forecast, score)
        for forecast in study.mistakes.forecasts
        for score in forecast.scores
    ]
    formats = {"group": as_text("name"), "forecast by": as_text("method"), "Brier": as_interval("brier")}
    formats |= {"log score": as_interval("log_score"), "AUC": as_interval("auc")}
    formats |= {"Brier, gain": as_signed("brier_gain", 4), "log score, gain": as_signed("log_gain", 3)}
    caption = (
        "Which images are right at the largest scale, forecast from the others. Brier and log score: less "
        "is better; gains are those of the trajectory over the method of the row, above 0 where the "
        f"trajectory is better. The chance of each image at {AHEAD:g} times the largest scale is in "
        "image_mistakes.csv."
    )
    return Table(name="image_forecasts", rows=rows, columns=FORECASTS, formats=formats, caption=caption)


def _forecast_row(study: Study, forecast: ImageForecast, score: Score) -> Row:
    curve = forecast.trajectory.curve
    row = head_of(curve) | {"name": study.name_of(curve), "scale": curve.points[-1].name}
    row["method"] = score.method
    for name in SCORES:
        row |= ends(name, getattr(score, name))
    return row
