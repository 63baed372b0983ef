"""Notes: sentences that a reader of a study's numbers needs, the ones that change how to read them first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlproject.analysis.axes import AXES
from mlproject.analysis.curves import Curve
from mlproject.analysis.exponent_differences import RegionContrast
from mlproject.analysis.grids import Grid
from mlproject.scaling import UNIDENTIFIABLE, Estimate

DECADE = 10.0


def notes(
    curves: Sequence[Curve],
    grids: Sequence[Grid],
    contrasts: Sequence[RegionContrast] = (),
    *,
    n_left_out: int,
    pool_notes: Sequence[str],
) -> tuple[str, ...]:
    """Notes on curves, grids and contrasts, on images that runs do not share, and on runs left out."""
    sentences = [*_identity(curves), *_models(curves), *_in_sample(curves), *_random(curves)]
    sentences += [*_design(curves), *_regions(contrasts), *_grids(grids)]
    sentences += [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(pool_notes)]
    if n_left_out:
        sentences.append(f"Left out: {n_left_out} runs that repeat a cell with the same losses.")
    if not any(curve.assessments for curve in curves):
        sentences.append(
            "No law is fitted: no group has two sizes or two models; add a size or a model to get a curve."
        )
    return tuple(sentences)


def _identity(curves: Sequence[Curve]) -> Iterator[str]:
    """Curves whose target is the input features themselves."""
    identity = [curve for curve in curves if curve.target == "features" and not _closed_form(curve)]
    fixed_length = [curve for curve in identity if not _length_tuned(curve)]
    for equal_steps in sorted({bool(curve.fixed["knobs"].get("steps", 0)) for curve in fixed_length}):
        yield _identity_sentence(equal_steps=equal_steps)
    if len(fixed_length) < len(identity):
        yield (
            "Target `features` with the length of training tuned: the best loss is 0 at every dataset size, "
            "so the exponent measures the optimiser steps that the range allows, not learning from data."
        )


def _length_tuned(curve: Curve) -> bool:
    knobs = str(curve.fixed.get("tuning", {}).get("knobs", ""))
    return bool({"steps", "epochs"} & set(knobs.split(",")))


def _closed_form(curve: Curve) -> bool:
    """Whether the head was solved in closed form, where no steps are taken."""
    return bool(curve.fixed["knobs"].get("solver") == "ridge")


def _identity_sentence(*, equal_steps: bool) -> str:
    why = (
        "Target `features`: the best loss is 0 at every dataset size, so the exponent measures "
        "optimiser steps, not learning from data. "
    )
    if equal_steps:
        return why + "Steps are equal here: only the number of images that share them varies."
    return why + "Epochs are equal here, so the steps grow with the size; compare with a run at equal steps."


def _models(curves: Sequence[Curve]) -> Iterator[str]:
    along = [curve for curve in curves if curve.axis is AXES["params"] and curve.n_scales > 1]
    laws = [(curve, curve.reported_laws("mean")[0]) for curve in along]
    refused = [(curve, law) for curve, law in laws if law.verdict == UNIDENTIFIABLE]
    if not refused:
        return
    counts = sorted({curve.n_scales for curve, _ in refused})
    models = " or ".join(str(n) for n in counts)
    verb = "fitted" if all(curve.refusal for curve, _ in refused) else "identified"
    yield (
        f"No model-size law is {verb} from {models} models ({len(refused)} of {len(along)} groups): "
        f"{refused[0][1].reason}. Their losses are compared image by image instead."
    )


def _in_sample(curves: Sequence[Curve]) -> Iterator[str]:
    n = sum(curve.split == "in-sample" for curve in curves)
    if n:
        yield (
            f"In-sample: {n} of {len(curves)} groups are evaluated on their training images, and sizes share "
            "only the images of the smaller; their losses do not estimate the loss on new images."
        )


def _random(curves: Sequence[Curve]) -> Iterator[str]:
    if any(curve.random for curve in curves):
        yield "Groups marked random have random backbones: a control, never pooled with pretrained ones."


def _grids(grids: Sequence[Grid]) -> Iterator[str]:
    refused = [grid for grid in grids if not grid.has_laws and min(grid.shape) > 1]
    if refused:
        reasons = "; ".join(dict.fromkeys(grid.assessment.reason for grid in refused))
        yield f"No joint law of model size and images for {len(refused)} of {len(grids)} grids: {reasons}."


def _regions(contrasts: Sequence[RegionContrast]) -> Iterator[str]:
    """Exponents of the mean loss between regions, under the law that has no floor."""
    for contrast in contrasts:
        if (contrast.statistic, contrast.law) != ("mean", "power"):
            continue
        first, second = contrast.regions
        doubt = "" if contrast.identified else " (an exponent is not identifiable)"
        yield (
            f"Region, {contrast.first.series}: on {first} the loss is {_interval(contrast.loss_ratio)} times "
            f"that on {second} at {contrast.scale:,.6g} {contrast.first.axis.unit}; α differs by "
            f"{_interval(contrast.difference.difference)} (k x^-α): {contrast.difference.verdict}{doubt}."
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
