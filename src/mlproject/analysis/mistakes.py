"""Mistakes by scale: what errors and confidences of single images tell along the scales of a study.

runs -> trajectories -> learned, lost, worse · error consistency · calibration · forecasts
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlproject.analysis.calibration import Calibration, calibrations
from mlproject.analysis.curves import Curve
from mlproject.analysis.error_consistency import ErrorConsistency, error_consistencies
from mlproject.analysis.image_forecasts import ImageForecast, image_forecasts
from mlproject.analysis.runs import EvaluatedRun
from mlproject.analysis.trajectories import Trajectory, trajectories


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """The mistakes of a study's curves. ``left_out`` says what could not be computed, and why."""

    trajectories: tuple[Trajectory, ...]
    consistencies: tuple[ErrorConsistency, ...]
    calibrations: tuple[Calibration, ...]
    forecasts: tuple[ImageForecast, ...]
    left_out: tuple[str, ...]

    def forecast(self, curve: Curve) -> ImageForecast | None:
        """The forecast of a curve, where it has one."""
        return next((f for f in self.forecasts if f.trajectory.curve.label == curve.label), None)


def mistakes(curves: Sequence[Curve], runs: Iterable[EvaluatedRun]) -> Mistakes:
    """The mistakes along the first axis that has curves of several scales; ``runs`` in their pools.

    Reads the predictions of every run of these curves.
    """
    by_id = {run.run_id: run for run in runs}
    known, without = trajectories(curves, by_id)
    calibrated, uncalibrated = calibrations(known, by_id)
    forecasts, few = image_forecasts(known)
    lone = [t.curve.series for t in known if t.trends is None]
    one_seed = (
        f"which images get worse cannot be told from noise with one seed at a scale ({', '.join(lone)})",
    )
    return Mistakes(
        trajectories=known,
        consistencies=error_consistencies(known),
        calibrations=calibrated,
        forecasts=forecasts,
        left_out=(*without, *(one_seed if lone else ()), *uncalibrated, *few),
    )
