"""Notes on a study: what its curves lack, are a control for, or were left without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlproject.analysis.axes import AXES
from mlproject.analysis.comparable import UNTRAINED, kept_apart, weights_kind
from mlproject.analysis.curves import Curve
from mlproject.analysis.runs import EvaluatedRun

DECADE = 10.0


def notes(curves: Sequence[Curve], *, n_left_out: int, others: Sequence[str]) -> tuple[str, ...]:
    """Notes on curves, on images that runs do not share, and on runs left out.

    What a study shows and what it cannot show is its report's answer, not a note.
    """
    sentences = [*_identity(curves), *_in_sample(curves), *_random(curves), *_design(curves)]
    sentences += [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(others) if note]
    if n_left_out:
        sentences.append(f"Left out: {n_left_out} runs that repeat a cell with the same losses.")
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


def mixture(runs: Sequence[EvaluatedRun]) -> list[str]:
    """Which models share no curve since their weights were trained differently, or that they share one."""
    if not any(run.weights_mixed for run in runs):
        return kept_apart(run.cell for run in runs)
    kinds = sorted({weights_kind(run.cell) for run in runs} - set(UNTRAINED))
    if len(kinds) < 2:
        return []
    return [f"weights of different training ({', '.join(kinds)}) are mixed along models, as asked for"]


def _design(curves: Sequence[Curve]) -> Iterator[str]:
    """What the curves over sizes lack of the usual minimum: 5 sizes, a decade, 3 seeds."""
    sizes = [curve for curve in curves if curve.axis is AXES["images"] and curve.n_scales > 1]
    lacks = {
        "have fewer than 5 sizes": sum(curve.n_scales < 5 for curve in sizes),
        "span less than a decade of sizes": sum(curve.x[-1] / curve.x[0] < DECADE for curve in sizes),
        "have fewer than 3 seeds at some size": sum(curve.n_seeds[0] < 3 for curve in sizes),
        "have a size with one seed, so that the noise of training is estimated from how far the sizes lie "
        "from the law, with Student's t": sum(curve.n_seeds[0] == 1 for curve in sizes),
    }
    for what, n in lacks.items():
        if n:
            yield f"{n} of {len(sizes)} curves over dataset size {what}."
