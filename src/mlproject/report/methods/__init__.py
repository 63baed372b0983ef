"""Methods: what was run and how it was analysed, in sentences generated from the runs of a study.

Text is plain; citations stand in brackets as ``references`` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlproject.analysis import Study
from mlproject.report.document import Section
from mlproject.report.formats import kind_label
from mlproject.report.methods.mistakes import mistakes
from mlproject.report.methods.references import cite
from mlproject.report.methods.runs import images, networks, software, training, tuning
from mlproject.report.methods.words import LAW_SOURCES, counts, joined


def methods_section(study: Study) -> Section:
    """The methods of a study: data, networks, training, tuning, losses, laws, intervals, software."""
    parts = (images, networks, training, tuning, _losses, _laws, _intervals, _comparisons, mistakes, software)
    paragraphs = [" ".join(part(study)) for part in parts]
    return Section(title="Methods", paragraphs=tuple(text for text in paragraphs if text))


def _losses(study: Study) -> Iterator[str]:
    kinds = joined(kind_label(kind) for kind in sorted({run.kind for run in study.runs}))
    images = counts(len(run.image_ids) for run in study.runs)
    yield (
        f"The loss of an image is its {kinds}. The loss of a run is the mean (and, reported apart, the "
        f"median) over its {images} evaluated images; the loss of a scale is the mean of its runs, one for "
        "each seed. Losses are not smoothed, interpolated or otherwise changed before they are fitted."
    )


def law_keys(study: Study) -> tuple[str, ...]:
    """What the laws of a study cite: those that were fitted or averaged."""
    assessed = [a for curve in study.curves for a in curve.assessments.values()]
    assessed += [grid.assessment for grid in study.grids]
    names = {law.law for assessment in assessed for law in assessment.laws}
    return tuple(key for name, keys in LAW_SOURCES.items() if name in names for key in keys)


def _laws(study: Study) -> Iterator[str]:
    fitted = [curve for curve in study.curves if any(a.fits for a in curve.assessments.values())]
    if not fitted and not any(grid.has_laws for grid in study.grids):
        yield "No law was fitted: no group has enough scales over a wide enough range."
        return
    if fitted:
        axes = dict.fromkeys(f"{curve.axis.name} {curve.axis.symbol}" for curve in fitted)
        yield (
            f"Scaling laws: the mean and the median loss L were fitted against x ({joined(axes)}) with "
            f"L = k x^-α {cite('hestness2017')} and L = E + k x^-α {cite('rosenfeld2020')}, E the "
            "irreducible loss."
        )
    yield (
        "Parameters minimise the sum of squared residuals of ln L, weighted by the noise of the points, by "
        f"variable projection over a grid of exponents {cite('golub2003')}, without random starting values; "
        "a second fit with Huber's loss shows whether single points carry the answer. A run that lies off "
        f"all laws fitted to the others is left out and named {cite('cook1982')}."
    )
    keys = [key for key in law_keys(study) if key not in ("hestness2017", "rosenfeld2020")]
    if keys:
        yield (
            f"Predictions are averaged over laws {cite(*dict.fromkeys(keys))} by how well each predicted the "
            f"next larger scale {cite('yao2018')}, with a smooth departure from each law "
            f"{cite('kennedy2001')}."
        )
    if any(a.held_out for curve in study.curves for a in curve.assessments.values()):
        yield "The largest scale is also predicted from the smaller ones, as a check."
    use = study.prior_use
    if use is not None and any(rate.assessment.library for rate in use.rates):
        yield (
            "Exponents and floors of error rates have a robust prior that is pooled from published studies "
            f"{cite('neuenschwander2010', 'schmidli2014')}, and are given without it too."
        )


def _intervals(study: Study) -> Iterator[str]:
    yield (
        f"Intervals are 95 %, from {study.n_draws:,} draws of a Bayesian bootstrap over images "
        f"{cite('rubin1981')}, in which an image has one weight in all runs, so that comparisons are paired."
    )
    fewest = min((curve.n_seeds[0] for curve in study.curves), default=1)
    most = max((curve.n_seeds[1] for curve in study.curves), default=1)
    if most > 1:
        yield f"Seeds are resampled, n - 1 of n {cite('rao1988')}."
    yield f"Intervals are bias-corrected and accelerated {cite('efron1987')}."
    if fewest == 1:
        yield (
            "Where a scale has one seed, its interval is over images only, and the noise of training is "
            "estimated from how far the scales lie from the law, with Student's t by profile likelihood "
            f"{cite('bates1988')}."
        )


def _comparisons(study: Study) -> Iterator[str]:
    if study.ablation.tables:
        yield (
            "Arms are compared with their baseline on the same images and seeds; p-values are corrected for "
            f"all arms of a group {cite('holm1979')}, and images that only one of two arms has wrong are "
            f"compared by McNemar's test {cite('mcnemar1947')}."
        )
    if any(curve.image_exponents is not None for curve in study.curves):
        yield (
            "Exponents of single images are slopes of ln loss over ln D; an image scales where its exponent "
            f"is above zero at a false-discovery rate of 5 % {cite('benjamini1995')}."
        )
    if study.n_left_out:
        yield f"{study.n_left_out:,} runs that repeat a cell with the same losses were left out."
