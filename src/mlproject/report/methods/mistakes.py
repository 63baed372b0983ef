"""What methods say of mistakes by scale: images along scale, classes, error consistency, calibration."""

from __future__ import annotations

from collections.abc import Iterator

from mlproject.analysis import Study
from mlproject.report.methods.references import cite


def mistakes(study: Study) -> Iterator[str]:
    """The methods of what single images tell, where anything was classified."""
    known = study.mistakes
    if any(scaling.exponents for scaling in study.classes):
        yield (
            "Exponents of classes are weighted slopes of ln loss over ln D; their differences from that of "
            f"all images are shrunk towards the mean over classes {cite('gelman2006')}, and discovered at a "
            f"false-discovery rate of 5 % {cite('benjamini1995')}."
        )
    if any(trajectory.trends is not None for trajectory in known.trajectories):
        yield (
            "An image gets worse where the slope of its ln loss over ln scale is above zero beyond what "
            f"seeds differ by, with moderated variances {cite('smyth2004')}, at the same rate."
        )
    if known.consistencies:
        yield f"Networks share mistakes by error consistency {cite('geirhos2020')}."
    if known.calibrations:
        yield (
            f"Calibration is measured over bins of equally many images {cite('guo2017')}, without the bias "
            f"of few images {cite('kumar2019')}."
        )
    if known.forecasts:
        yield (
            "Which images the largest scale has right is forecast by logistic regression on their margins, "
            f"and scored by proper rules {cite('gneiting2007')} and the area under the ROC curve "
            f"{cite('delong1988')}."
        )
