"""The one style of all figures: column width, colours that the colour-blind can tell apart, log axes.

Colours: Okabe and Ito 2008. Random features are grey, dashed and hollow everywhere. Sizes in inches.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from mlproject.analysis.axes import AXES
from mlproject.analysis.study import Curve
from mlproject.report.escape import figure_text

COLUMN = 3.4
PAGE = 7.0
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#5f5f5f"
DIGITS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.35, (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)),
    (0.8, (1, 1.5, 2, 3, 4, 5, 7)),
    (1.1, (1, 2, 3, 5)),
    (2.0, (1, 2, 5)),
    (math.inf, (1,)),
)
"""Leading digits of the ticks of a log axis, by how many decades it spans at most."""
RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "savefig.dpi": 220,
    "axes.titley": 1.0,  # else every draw measures all labels to find room for the title
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one curve is drawn."""

    color: str
    marker: str
    hollow: bool

    @property
    def face(self) -> str:
        """The fill of its markers."""
        return "white" if self.hollow else self.color

    @property
    def dash(self) -> Literal["--", "-"]:
        """The line of its law: dashed for random features."""
        return "--" if self.hollow else "-"


def looks(curves: Sequence[Curve]) -> list[Look]:
    """One look for each curve of a figure: models by hue, dataset sizes from light to dark."""
    ordered = all("dataset_size" in curve.fixed for curve in curves)
    hues = ramp(len(curves)) if ordered else PALETTE
    found, n_random, n_plain = [], 0, 0
    for curve in curves:
        if curve.random:
            grey = GREY if n_random % 2 == 0 else "#9a9a9a"
            found.append(Look(color=grey, marker=MARKERS[-1 - n_random % 6], hollow=True))
            n_random += 1
        else:
            found.append(Look(color=hues[n_plain % len(hues)], marker=MARKERS[n_plain % 6], hollow=False))
            n_plain += 1
    return found


def ramp(n: int) -> tuple[str, ...]:
    """Ordered colours, light to dark, with lightness that falls evenly."""
    ramp = matplotlib.colormaps["viridis_r"]
    steps = [0.12 + 0.83 * i / max(1, n - 1) for i in range(n)]
    return tuple(matplotlib.colors.to_hex(ramp(step)) for step in steps)


def log_axis(ruler: Ruler, low: float, high: float) -> None:
    """Ticks with plain numbers on a log axis, also where it spans less than a decade."""
    span = math.log10(high / low)
    digits = next(digits for widest, digits in DIGITS if span < widest)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
    if len(ticks) < 2:
        ticks = [float(f"{low * (high / low) ** share:.2g}") for share in (0.1, 0.5, 0.9)]
    _set_ticks(ruler, ticks)


def point_axis(ruler: Ruler, values: Sequence[float]) -> None:
    """Ticks at the scales themselves, leaving out those that would touch."""
    span = math.log(max(values) / min(values)) or 1.0
    ticks = [values[-1]]
    for value in reversed(values[:-1]):
        if math.log(ticks[-1] / value) > 0.16 * span:
            ticks.append(value)
    _set_ticks(ruler, ticks)


def _set_ticks(ruler: Ruler, ticks: Sequence[float]) -> None:
    ruler.set_major_locator(FixedLocator(list(ticks)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ruler.set_minor_locator(NullLocator())
    ruler.set_minor_formatter(NullFormatter())


def short(value: float) -> str:
    """1200 as ``1,200``, 4653000 as ``4.65M``."""
    for factor, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1e-3 else f"{value:.0e}"


def point_labels(curve: Curve) -> list[str]:
    """The names of a curve's scales: models as they are called, sizes with thousands apart."""
    if curve.axis is AXES["params"]:
        return [figure_text(point.name, 18) for point in curve.points]
    return [f"{int(point.name):,}" for point in curve.points]


def family_title(figure: Figure, curve: Curve) -> None:
    """The family above a figure; the protocol is always among its words."""
    title(figure, curve.family)


def title(figure: Figure, family: str) -> None:
    """Words above a figure, wrapped to its width."""
    width = int(19 * figure.get_figwidth())
    lines = textwrap.wrap(figure_text(family, 3 * width), width=width)
    figure.suptitle("\n".join(lines), fontsize=7, x=0.02, ha="left")


def scale_label(curve: Curve) -> str:
    """What the scales of a curve are, with their unit."""
    return curve.axis.label if curve.axis is not AXES["params"] else "model, by parameters"


def faint_grid(ax: Axes) -> None:
    """A grid that stays behind the data."""
    ax.grid(True, which="major", color="#e6e6e6", linewidth=0.5)
    ax.set_axisbelow(True)


def encode(figure: Figure, kind: str) -> bytes:
    """A figure as ``png`` or ``pdf``; the same figure gives the same bytes."""
    FigureCanvasAgg(figure)
    if (layout := figure.get_layout_engine()) is not None:
        # Laid out once for all formats; savefig would draw everything once more for it.
        figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
        layout.execute(figure)
        figure.set_layout_engine(None)
    buffer = BytesIO()
    stamp = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(buffer, format=kind, metadata=stamp)
    return buffer.getvalue()
