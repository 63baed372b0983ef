"""The section of a report on sealed predictions: what was predicted, what came, how often it was inside."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlproject.analysis import SPOILT, CoverageStep, PredictionRecord, ScoredLoss, SealedPrediction
from mlproject.report.document import Figure, Row, Section, Table
from mlproject.report.formats import as_count, as_fixed, as_interval, as_number, as_signed, as_text, as_times
from mlproject.scaling import interval_text

METHOD = (
    "A prediction that is not late was sealed before its cells ran: the mean loss over the named seeds, on "
    "the images that the curve evaluates, from the cells that were finished then. Each is scored against the "
    "first finished runs of its cells. The error is ln(observed / predicted); the log score is the log "
    "density of ln loss that the prediction gave to what came (larger is better), here and for the power law "
    "alone."
)
PROOF = (
    "A prediction is late where a run of its cells does not name it, altered where it differs from its seal "
    "or from what later runs name, missing where they name it and nothing is left, repeated where an earlier "
    "prediction of the same cells says the same. Someone who can rewrite the whole store can rewrite all of "
    "these: only a seal that was published elsewhere shows it."
)
MOST_DRAWN = 30
"""Scored and pending losses that are drawn, the newest ones."""
LOSS, NATS, SHARE = "loss", "nats", "share"
SEALED: dict[str, tuple[str, str]] = {
    "prediction": ("", "Number of the prediction within its experiment"),
    "group": ("", "The curve over training images"),
    "D": ("images", "Training images of the predicted cells"),
    "horizon": ("ratio", "Their training images over those of the largest finished size then"),
    "seeds": ("", "Seeds of the predicted cells"),
    "mean": (LOSS, "Predicted mean loss over these seeds, on the images that the curve evaluates"),
    "low": (LOSS, "Lower 95 % limit of that mean"),
    "high": (LOSS, "Upper 95 % limit of that mean"),
    "power_mean": (LOSS, "What the power law without a floor predicted alone"),
    "power_low": (LOSS, "Lower 95 % limit of that"),
    "power_high": (LOSS, "Upper 95 % limit of that"),
    "observed": (LOSS, "Mean loss over the seeds, once all of their cells are finished"),
    "error": ("ln ratio", "Logarithm of the observed over the predicted loss"),
    "verdict": (
        "",
        "Inside or outside the interval, or pending; late, altered, missing or repeated where not scored",
    ),
    "log_score": (NATS, "Log density of ln loss that the prediction gave to what came; larger is better"),
    "power_log_score": (NATS, "That of the power law alone"),
    "reason": ("", "Why the verdict is what it is"),
    "seal": ("", "SHA-256 of the prediction's file"),
}
COVERAGE: dict[str, tuple[str, str]] = {
    "n_scored": ("", "Predicted losses that were scored so far, in the order in which they were settled"),
    "n_inside": ("", "Those of them that came inside their intervals"),
    "coverage": (SHARE, "Share inside"),
    "coverage_low": (SHARE, "Lower limit of Wilson's 95 % interval"),
    "coverage_high": (SHARE, "Upper limit of Wilson's 95 % interval"),
}
SEALED_TABLES = {"sealed_predictions": SEALED, "sealed_coverage": COVERAGE}
"""Units and definitions of the columns by table."""


def predictions_section(record: PredictionRecord) -> Section:
    """The predictions of an experiment, their scores, their seals, and the coverage as it went."""
    from mlproject.report.figures.predictions import predictions_figure

    rows = [*(_row(each) for each in record.losses), *_lost_rows(record)]
    steps = [
        {"n_scored": step.n, "n_inside": step.n_inside, "coverage": step.share.value}
        | {"coverage_low": step.share.low, "coverage_high": step.share.high}
        for step in record.coverage
    ]
    tables = [_table(rows), Table(name="sealed_coverage", rows=steps, columns=tuple(COVERAGE))]
    drawn = [each for each in record.losses if each.verdict in ("inside", "outside", "pending")][-MOST_DRAWN:]
    figure = Figure(
        name="sealed_predictions",
        draw=partial(predictions_figure, drawn, record.coverage),
        caption="Sealed predictions: 95 % intervals around the predicted loss, and what came of them"
        " (open: outside; no mark: pending). Below, the share that was inside so far with its 95 % interval.",
        data=tables[0],
    )
    return Section(
        title="Sealed predictions",
        paragraphs=(record_answer(record), METHOD, PROOF),
        bullets=tuple(f"Prediction {each.number}: {each.seal}{_of(each)}" for each in record.predictions),
        tables=tuple(tables),
        figures=(figure,) if drawn else (),
    )


def _of(prediction: SealedPrediction) -> str:
    """What is to be known of a prediction beside its seal."""
    words = [*(["deleted since"] if prediction.deleted else []), *filter(None, [prediction.fault])]
    return f" ({'; '.join(words)})" if words else ""


def record_answer(record: PredictionRecord) -> str:
    """How many were inside, and all that cannot be counted."""
    counts = {name: record.count(name) for name in ("pending", "late", "altered", "missing", "repeated")}
    others = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    rest = f" Not scored: {others}." if others else ""
    if not record.coverage:
        return f"No prediction is scored yet.{rest}"
    last, least, scores = record.coverage[-1], record.least_coverage, record.mean_log_scores
    text = (
        f"{last.n_inside} of {last.n} predicted losses came inside their 95 % intervals: a share of "
        f"{_share(last)} if they were independent, which losses on the same images are not.{rest}"
    )
    if record.count(*SPOILT) and least is not None:
        text += f" With what is late, altered or missing as misses it is {_share(least)}."
    if scores is not None:
        text += f" Mean log score {scores[0]:.2f} nats, of the power law alone {scores[1]:.2f}."
    return text


def _share(step: CoverageStep) -> str:
    return interval_text(step.share.value, step.share.low, step.share.high)


def _row(each: ScoredLoss) -> dict[str, Any]:
    predicted, power = each.predicted, each.predicted.power
    return {
        "prediction": each.prediction.number,
        "group": predicted.curve,
        "D": predicted.cell.dataset_size,
        "horizon": predicted.horizon,
        "seeds": " ".join(map(str, predicted.seeds)),
        "mean": predicted.loss.value,
        "low": predicted.loss.low,
        "high": predicted.loss.high,
        "power_mean": None if power is None else power.value,
        "power_low": None if power is None else power.low,
        "power_high": None if power is None else power.high,
        "observed": each.observed,
        "error": each.error,
        "verdict": each.verdict,
        "log_score": each.log_score,
        "power_log_score": each.power_log_score,
        "reason": each.reason,
        "seal": each.prediction.seal,
    }


def _lost_rows(record: PredictionRecord) -> list[Row]:
    """Predictions without losses that could be read."""
    unread = [each for each in record.predictions if not each.losses]
    rows: list[Row] = [
        {"prediction": each.number, "verdict": "altered", "reason": each.fault, "seal": each.seal}
        for each in unread
    ]
    return rows + [
        {"prediction": gone.number, "verdict": "missing", "seal": gone.seal}
        | {"reason": f"named by the experiment or its runs, with {gone.n_losses} or more losses"}
        for gone in record.missing
    ]


def _table(rows: list[Row]) -> Table:
    formats = {
        "no.": as_count("prediction"),
        "curve": as_text("group"),
        "images": as_count("D"),
        "beyond": as_times("horizon"),
        "predicted": as_interval("mean", "low", "high"),
        "observed": as_number("observed"),
        "error": as_signed("error"),
        "verdict": as_text("verdict", wrap=False),
        "log score": as_fixed("log_score"),
        "power law": as_fixed("power_log_score"),
        "because": as_text("reason"),
    }
    caption = "Sealed predictions and what came of them."
    return Table(
        name="sealed_predictions", rows=rows, columns=tuple(SEALED), formats=formats, caption=caption
    )
