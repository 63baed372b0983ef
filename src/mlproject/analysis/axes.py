"""Axes: what a scaling curve is drawn against, and which fields of a cell vary along it.

A fit along an axis holds every other coordinate and every knob fixed. Compute is an axis along data
only, and only where it is not proportional to the images: where it is, its exponent is that of the
images, and a second row would count one finding twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mlproject.losses import Observation

MODEL_FIELDS = frozenset({"model", "model_digest", "weights", "weights_digest"})


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A coordinate of a law: its name, symbol and unit, the fields or knobs that move along it, its value.

    ``value`` gives NaN for an observation that does not know it; such a run stays off this axis. ``scale``
    names a scale in tables and figures (default: its value). A curve has at least ``least_scales``.
    ``more`` says in words what a larger value is.
    """

    name: str
    symbol: str
    unit: str
    more: str
    varies: frozenset[str]
    value: Callable[[Observation], float]
    scale: Callable[[Observation], str] | None = None
    least_scales: int = 2

    def scale_name(self, observation: Observation) -> str:
        """The scale of an observation as tables and figures name it; whole numbers without a point."""
        return f"{self.value(observation):.12g}" if self.scale is None else self.scale(observation)

    @property
    def label(self) -> str:
        """The axis as a figure writes it."""
        return f"{self.name}, ${self.symbol}$ [{self.unit}]"

    @property
    def slug(self) -> str:
        """The axis in a file name."""
        return self.name.replace(" ", "_")


def _metric(name: str) -> Callable[[Observation], float]:
    def value(observation: Observation) -> float:
        number = observation.metrics.get(name, math.nan)
        return number if number > 0 else math.nan

    return value


def _images(observation: Observation) -> float:
    return float(observation.cell.dataset_size)


def _size_name(observation: Observation) -> str:
    return str(observation.cell.dataset_size)


def _epochs(observation: Observation) -> float:
    """Epochs asked for; a cell that counts steps instead has none."""
    knobs = observation.cell.knobs
    number = knobs.get("epochs", 0) if not knobs.get("steps") else 0
    return float(number) if number else math.nan


AXES = {
    "images": Axis(
        name="training images",
        symbol="D",
        unit="images",
        more="more training images",
        varies=frozenset({"dataset_size"}),
        value=_images,
        scale=_size_name,
        least_scales=1,
    ),
    "params": Axis(
        name="model size",
        symbol="N",
        unit="parameters",
        more="larger models",
        varies=MODEL_FIELDS,
        value=_metric("params"),
        scale=lambda observation: observation.cell.model,
        least_scales=1,
    ),
    "flops": Axis(
        name="compute",
        symbol="C",
        unit="FLOP",
        more="more compute",
        varies=frozenset({"dataset_size"}),
        value=_metric("flops"),
        scale=_size_name,
        least_scales=1,
    ),
    "epochs": Axis(
        name="epochs",
        symbol="E",
        unit="epochs",
        more="more epochs",
        varies=frozenset({"epochs"}),
        value=_epochs,
    ),
}
"""All axes, by the metric, field or knob that they read."""

GRID_AXES = Axis(
    name="model size and training images",
    symbol="N, D",
    unit="parameters, images",
    more="larger models and more training images",
    varies=MODEL_FIELDS | {"dataset_size"},
    value=_metric("params"),
)
"""Both axes of a joint law at once; its value is the model size, and a cell states its images itself."""
