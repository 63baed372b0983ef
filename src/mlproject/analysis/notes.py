"""Notes: what has to be said with a study's numbers, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlproject.analysis.axes import AXES
from mlproject.analysis.contrasts import Contrast
from mlproject.analysis.fits import DECADE, shortcomings
from mlproject.analysis.joining import grids_note
from mlproject.analysis.joint import Joint
from mlproject.analysis.study import Curve
from mlproject.scaling import Estimate


def notes(
    curves: Sequence[Curve],
    joints: Sequence[Joint],
    contrasts: Sequence[Contrast] = (),
    *,
    n_left_out: int,
    pool_notes: Sequence[str],
) -> tuple[str, ...]:
    """Sentences for a study, the ones that change how its numbers are read first."""
    said = [*_identity(curves), *_models(curves), *_in_sample(curves), *_random(curves), *_design(curves)]
    said += [*_regions(contrasts), *([note] if (note := grids_note(joints)) else [])]
    said += [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(pool_notes)]
    if n_left_out:
        said.append(f"Left out: {n_left_out} runs that repeat a cell with the same losses.")
    if not any(curve.verdicts for curve in curves):
        said.append("No law is fitted: no group has two sizes or two models; add some to get a curve.")
    return tuple(said)


def _identity(curves: Sequence[Curve]) -> Iterator[str]:
    mine = [curve for curve in curves if curve.target == "features" and not _closed(curve)]
    given = [curve for curve in mine if not _length_tuned(curve)]
    for equal_steps in sorted({bool(curve.fixed["knobs"].get("steps", 0)) for curve in given}):
        yield _identity_sentence(equal_steps)
    if len(given) < len(mine):
        yield (
            "Target `features` with the length of training tuned: the best loss is 0 at every dataset size, "
            "so the exponent measures the optimiser steps that the range allows, not learning from data."
        )


def _length_tuned(curve: Curve) -> bool:
    knobs = str(curve.fixed.get("tuning", {}).get("knobs", ""))
    return bool({"steps", "epochs"} & set(knobs.split(",")))


def _closed(curve: Curve) -> bool:
    """Whether the head was solved in closed form, where no steps are taken."""
    return bool(curve.fixed["knobs"].get("solver") == "ridge")


def _identity_sentence(equal_steps: bool) -> str:
    why = (
        "Target `features`: the best loss is 0 at every dataset size, so the exponent measures "
        "optimiser steps, not learning from data. "
    )
    if equal_steps:
        return why + "Steps are equal here: what is left is how many images the same steps are spread over."
    return why + "Epochs are equal here, so the steps grow with the size; compare with a run at equal steps."


def _models(curves: Sequence[Curve]) -> Iterator[str]:
    along = [curve for curve in curves if curve.axis is AXES["params"] and curve.n_scales > 1]
    refused = [curve for curve in along if shortcomings(curve, 2) is not None]
    if not refused:
        return
    counts = sorted({curve.n_scales for curve in refused})
    models = " or ".join(str(n) for n in counts)
    why = shortcomings(refused[0], 2)
    assert why is not None
    verb = "fitted" if all(_never_fitted(curve) for curve in refused) else "identified"
    yield (
        f"No model-size law is {verb} from {models} models ({len(refused)} of {len(along)} groups): "
        f"{why.text}. Their losses are compared image by image instead."
    )


def _never_fitted(curve: Curve) -> bool:
    return all(verdict.fit is None for verdict in curve.verdicts)


def _in_sample(curves: Sequence[Curve]) -> Iterator[str]:
    n = sum(curve.split == "in-sample" for curve in curves)
    if n:
        yield (
            f"In-sample: {n} of {len(curves)} groups judge the training images themselves, and sizes share "
            "only the images of the smaller; they say nothing about new images."
        )


def _random(curves: Sequence[Curve]) -> Iterator[str]:
    if any(curve.random for curve in curves):
        yield "Groups marked random have random backbones: a control, never pooled with pretrained ones."


def _regions(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Exponents of the mean loss between regions, under the law that has no floor."""
    for one in contrasts:
        if (one.statistic, one.law) != ("mean", "power"):
            continue
        first, second = one.regions
        doubt = "" if one.identified else " (an exponent is not identifiable)"
        yield (
            f"Region, {one.first.series}: on {first} the loss is {_interval(one.loss_ratio)} times that on "
            f"{second} at {one.scale:,.6g} {one.first.axis.unit}; α differs by "
            f"{_interval(one.difference.difference)} (k x^-α): {one.difference.verdict}{doubt}."
        )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


def _design(curves: Sequence[Curve]) -> Iterator[str]:
    """What the curves over sizes lack of the usual minimum: 5 sizes, a decade, 3 seeds."""
    sizes = [curve for curve in curves if curve.axis is AXES["images"] and curve.n_scales > 1]
    lacks = {
        "have fewer than 5 sizes": sum(curve.n_scales < 5 for curve in sizes),
        "span less than a decade of sizes": sum(curve.x[-1] / curve.x[0] < DECADE for curve in sizes),
        "have fewer than 3 seeds at some size": sum(curve.n_seeds[0] < 3 for curve in sizes),
        "have a size with one seed, whose interval covers images only": sum(c.n_seeds[0] == 1 for c in sizes),
    }
    for what, n in lacks.items():
        if n:
            yield f"{n} of {len(sizes)} curves over dataset size {what}."
