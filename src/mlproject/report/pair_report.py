"""The comparison of two sets of runs as a document and as JSON: losses, errors, exponents, a verdict each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mlproject.analysis import PairComparison, PairedDifference, PairedExponent, PairedSetting
from mlproject.report.document import Answer, Document, Format, Row, Section, Table
from mlproject.report.formats import (
    ABSENT,
    as_count,
    as_interval,
    as_number,
    as_signed,
    as_text,
    ends,
    interval,
    kind_label,
    signed_interval,
)
from mlproject.scaling import UNIDENTIFIABLE, interval_text

LOWER = {"better": "lower", "worse": "higher"}
LESS = {"better": "fewer", "worse": "more"}
"""Verdicts of first minus second in words: its loss is lower, it has fewer errors."""
DIFFERENCES = ("", "_low", "_high", "_p", "_p_holm", "_verdict")
PAIRS = (
    "setting", "n_seeds", "n_images", "seeds_shared", "interval_over", "loss_first", "loss_first_low",
    "loss_first_high", "loss_second", "loss_second_low", "loss_second_high",
    *(f"{what}_difference{end}" for what in ("loss", "error") for end in DIFFERENCES),
    "first_lower", "only_first_wrong", "only_second_wrong", "mcnemar_p",
)  # fmt: skip
ALL = "all else is equal"


def pair_document(comparison: PairComparison) -> Document:
    """Two sets of runs side by side, a row for each setting that they share."""
    first, second = comparison.names
    settings = _settings_table(comparison)
    tables = [settings, _errors_table(settings)]
    if comparison.exponents:
        tables.append(_exponents_table(comparison))
    text = (
        "Differences on the same images, with 95 % intervals over images and seeds; verdicts after Holm's "
        "correction for all settings. The interval of one seed is over images alone: it concerns the "
        "networks that were trained, and nothing is concluded about training them again."
    )
    return Document(
        title=f"{first} against {second}",
        answer=Answer(result=tuple(_result(comparison)), not_concluded=tuple(_doubts(comparison))),
        sections=(
            Section(
                title="Differences", paragraphs=(text,), tables=tuple(table for table in tables if table.rows)
            ),
        ),
    )


def pair_json(comparison: PairComparison) -> dict[str, Any]:
    """The same for programs."""
    rows = _settings_table(comparison)
    exponents = [_exponent_row(item) for item in comparison.exponents]
    return {
        "first": comparison.names[0],
        "second": comparison.names[1],
        "loss": comparison.kind,
        "differing": {name: list(values) for name, values in comparison.differing.items()},
        "settings": [
            dict(s.shared) | {name: row[name] for name in PAIRS[1:]}
            for s, row in zip(comparison.settings, rows.rows, strict=True)
        ],
        "exponents": [{k: v for k, v in row.items() if k != "setting"} for row in exponents],
        "cells_alone": list(comparison.n_alone),
        "answer": list(pair_document(comparison).answer.sentences),
    }


def _settings_table(comparison: PairComparison) -> Table:
    rows = [_setting_row(setting) for setting in comparison.settings]
    formats = {"setting": as_text("setting"), "A": as_number("loss_first"), "B": as_number("loss_second")}
    formats |= {"A - B [95 %]": _wrapped(as_signed("loss_difference"))}
    formats |= {"A is": _verdict("loss_difference_verdict"), "A lower on": _percent("first_lower")}
    formats |= {"seeds": as_count("n_seeds"), "images": as_count("n_images")}
    first, second = comparison.names
    caption = f"A: {first}\nB: {second}\n{kind_label(comparison.kind)}"
    return Table(name="pairs", rows=rows, columns=PAIRS, formats=formats, caption=caption)


def _errors_table(settings: Table) -> Table:
    """The errors of the same rows, where all images of a setting have classes."""
    rows = [row for row in settings.rows if row["error_difference"] is not None]
    formats = {"setting": as_text("setting"), "A - B [95 %]": _wrapped(as_signed("error_points", 1))}
    formats |= {
        "A has": _verdict("error_difference_verdict", LESS),
        "only A wrong": as_count("only_first_wrong"),
    }
    formats |= {"only B wrong": as_count("only_second_wrong"), "McNemar p": as_number("mcnemar_p", 2)}
    caption = (
        "errors [percentage points]; McNemar's test concerns the networks that were trained, not new seeds"
    )
    return Table(name="pair_errors", rows=rows, formats=formats, caption=caption)


def _wrapped(column: Format) -> Format:
    """A column that may be wrapped, so that narrow terminals keep all columns."""
    return replace(column, wrap=True)


def _setting_row(setting: PairedSetting) -> dict[str, Any]:
    effect = setting.loss.effect
    row: dict[str, Any] = {"setting": setting_text(setting.shared), "n_seeds": effect.n_seeds}
    row |= {"n_images": effect.n_images, "seeds_shared": setting.seeds_shared, "interval_over": effect.over}
    row |= ends("loss_first", setting.first) | ends("loss_second", setting.second)
    row |= _difference("loss_difference", setting.loss) | _difference("error_difference", setting.error)
    row["first_lower"] = setting.first_lower
    counts = setting.mcnemar
    row |= {"only_first_wrong": counts.first_only if counts else None}
    row |= {"only_second_wrong": counts.second_only if counts else None}
    row["mcnemar_p"] = counts.p if counts else None
    for end in ("", "_low", "_high"):
        share = row[f"error_difference{end}"]
        row[f"error_points{end}"] = None if share is None else 100 * share
    return row


def _difference(name: str, difference: PairedDifference | None) -> dict[str, Any]:
    if difference is None:
        return dict.fromkeys(f"{name}{end}" for end in DIFFERENCES)
    tests = {f"{name}_p": difference.p, f"{name}_p_holm": difference.holm}
    return ends(name, difference.effect) | tests | {f"{name}_verdict": difference.verdict}


def _exponents_table(comparison: PairComparison) -> Table:
    rows = [_exponent_row(item) for item in comparison.exponents]
    formats = {"setting": as_text("setting"), "α of A [95 %]": as_interval("alpha_first")}
    formats |= {"α of B [95 %]": as_interval("alpha_second")}
    formats |= {"A - B [95 %]": _wrapped(as_signed("difference"))}
    formats |= {"verdict": Format(write=lambda row: _named(row["verdict"], ("A", "B")))}
    formats |= {"sizes": as_count("n_sizes")}
    caption = "Exponents under k D^-α over the sizes that both have; the larger, the faster the loss falls"
    return Table(name="pair_exponents", rows=rows, formats=formats, caption=caption)


def _exponent_row(item: PairedExponent) -> dict[str, Any]:
    row: dict[str, Any] = {"setting": setting_text(item.shared), "n_sizes": item.first.n_scales}
    known = item.identified
    row |= ends("alpha_first", item.first.parameters["alpha"], identified=known)
    row |= ends("alpha_second", item.second.parameters["alpha"], identified=known)
    difference = item.difference
    verdict = difference.verdict if known else UNIDENTIFIABLE
    return row | ends("difference", difference.difference, identified=known) | {"verdict": verdict}


def _result(comparison: PairComparison) -> Iterator[str]:
    """Who has the lower loss, in how many settings; both ends of the settings; exponents."""
    first, second = comparison.names
    for verdict, better in (("better", first), ("worse", second)):
        n = sum(setting.loss.verdict == verdict for setting in comparison.settings)
        if n:
            other = second if better == first else first
            n_all = len(comparison.settings)
            where = f" in {n} of {n_all} settings" if n_all > 1 else ""
            yield f"{better} has a lower loss than {other}{where} (after Holm's correction)."
    shown = comparison.settings[:1] + comparison.settings[1:][-1:]
    texts = [f"{signed_interval(s.loss.effect)}{_at(s.shared)}" for s in shown]
    yield f"Loss of {first} minus that of {second}: {', '.join(texts)}."
    for item in comparison.exponents:
        alphas = [fit.parameters["alpha"] for fit in (item.first, item.second)]
        if not item.identified:
            limits = [interval_text(None, alpha.low, alpha.high) for alpha in alphas]
            yield (
                f"Exponents under k D^-α{_at(item.shared)} are not identifiable from these sizes and seeds: "
                f"{first} {limits[0]}, {second} {limits[1]}."
            )
            continue
        values = map(interval, alphas)
        yield (
            f"Exponents under k D^-α{_at(item.shared)}: {first} {next(values)}, {second} {next(values)}, "
            f"difference {signed_interval(item.difference.difference)}: "
            f"{_named(item.difference.verdict, comparison.names)}."
        )
    differing = [f"{name} ({a}; {b})" for name, (a, b) in comparison.differing.items()]
    yield f"They differ in {', '.join(differing)}; {ALL}." if differing else f"{ALL.capitalize()}."


def _doubts(comparison: PairComparison) -> Iterator[str]:
    undecided = [setting for setting in comparison.settings if setting.loss.verdict not in LOWER]
    if undecided:
        n_all = len(comparison.settings)
        where = f" in {len(undecided)} of {n_all} settings" if n_all > 1 else ""
        reasons = sorted({setting.loss.verdict for setting in undecided})
        yield f"Neither loss is concluded to be lower{where}: {'; '.join(reasons)}."
    if not all(setting.seeds_shared for setting in comparison.settings):
        yield "Their seeds differ and pair in order: the noise of training does not cancel."
    alone = [f"{n} of {name}" for n, name in zip(comparison.n_alone, comparison.names, strict=True) if n]
    if alone:
        yield f"Cells without a partner are left out: {' and '.join(alone)}."


def _verdict(name: str, words: Mapping[str, str] = LOWER) -> Format:
    def write(row: Row) -> str:
        return ABSENT if row[name] is None else words.get(row[name], row[name])

    return Format(write=write)


def _percent(name: str) -> Format:
    return Format(write=lambda row: f"{100 * row[name]:.0f} %", right=True, wrap=False)


def _named(verdict: str, names: tuple[str, str]) -> str:
    return verdict.replace("first", names[0]).replace("second", names[1])


def _at(shared: Mapping[str, Any]) -> str:
    return f" at {setting_text(shared)}" if shared else ""


def setting_text(shared: Mapping[str, Any]) -> str:
    """What tells settings apart: ``100 images``, ``efficientnet_lite0 · lr=0.001``."""
    parts = []
    for name, value in sorted(shared.items(), key=lambda item: (item[0] != "dataset_size", item[0])):
        if name == "dataset_size":
            parts.append(f"{value:,} images")
        else:
            plain = name.removeprefix("knobs.")
            parts.append(str(value) if name in ("model", "weights") else f"{plain}={value}")
    return " · ".join(parts) or "all"
