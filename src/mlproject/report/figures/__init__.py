"""The style that all figures share: sizes, colour-blind safe colours, logarithmic axes, encoding.

Colours: Okabe and Ito 2008. Random features are grey and hollow everywhere. Sizes in inches. Fonts have 6
points or more at the printed width, and what differs in colour differs in its marker or line too.
"""

from __future__ import annotations

import logging
import math
import re
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Ruler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from mlproject.report.formats import family_words
from mlproject.report.renderers import plain

if TYPE_CHECKING:
    from mlproject.analysis import Curve

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
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


def _installed(names: Sequence[str]) -> list[str]:
    """The fonts of these names that matplotlib knows of."""
    known = set(fontManager.get_font_names())
    return [name for name in names if name in known]


ROOM = 0.12
"""Share of a log axis that a label takes."""
GLYPH = re.compile(r"Glyph (?P<code>\d+) .*missing from font")
"""What matplotlib warns of where no font has a character."""
_REPORTED: set[str] = set()
"""Characters without a font that this process has reported."""
FONT = "Figure Sans"
"""DejaVu Sans with fewer characters, which halves the time of a PDF (``scripts/figure_fonts.py``)."""
FURTHER_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Devanagari", "Noto Sans Thai",
)  # fmt: skip
"""Fonts of other scripts, of which those that are installed draw what the first two lack."""
RC: dict[Any, Any] = {
    "font.family": [FONT, "DejaVu Sans", *_installed(FURTHER_FONTS)],
    "mathtext.fontset": "custom",
    "mathtext.it": f"{FONT}:italic",
    **{f"mathtext.{style}": FONT for style in ("rm", "sf", "tt", "cal", "bf", "bfit")},
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


for _file in Path(__file__).parent.glob("*.ttf"):
    fontManager.addfont(_file)


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


def looks(curves: Sequence[Curve]) -> list[Look]:
    """One look for each curve of a figure: models by hue, dataset sizes from light to dark."""
    ordered = all("dataset_size" in curve.fixed for curve in curves)
    hues = ramp(len(curves)) if ordered else PALETTE
    chosen: list[Look] = []
    for curve in curves:
        n = sum(look.hollow == curve.random for look in chosen)
        if curve.random:
            grey = GREY if n % 2 == 0 else "#9a9a9a"
            chosen.append(Look(color=grey, marker=MARKERS[-1 - n % 6], hollow=True))
        else:
            chosen.append(Look(color=hues[n % len(hues)], marker=MARKERS[n % 6], hollow=False))
    return chosen


def ramp(n: int) -> tuple[str, ...]:
    """Ordered colours, light to dark, with lightness that falls evenly."""
    ramp = matplotlib.colormaps["viridis_r"]
    steps = [0.3 + 0.67 * i / max(1, n - 1) for i in range(n)]
    return tuple(matplotlib.colors.to_hex(ramp(step)) for step in steps)


def log_axis(ruler: Ruler, low: float, high: float) -> None:
    """Ticks with plain numbers on a log axis, also where it spans less than a decade."""
    span = math.log10(high / low)
    digits = next(digits for widest, digits in DIGITS if span < widest)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
    n_digits = 3
    if len(ticks) < 2:
        n_digits = 2 + math.ceil(max(1.0, -math.log10(max(high / low - 1.0, 1e-9))))
        ticks = [float(f"{low * (high / low) ** share:.{n_digits}g}") for share in (0.1, 0.5, 0.9)]
    _set_ticks(ruler, ticks, n_digits)


def point_axis(ruler: Ruler, values: Sequence[float], further: Sequence[float] = ()) -> None:
    """Ticks at the scales themselves, ascending; all that leave room are labelled, the ends before others.

    ``further`` scales, such as the end of an extrapolation, are labelled where the measured ones leave room.
    """
    span = math.log(max([*values, *further]) / min([*values, *further])) or 1.0
    labelled: list[float] = []
    for value in (values[0], values[-1], *reversed(values[1:-1]), *further):
        if all(abs(math.log(value / tick)) > ROOM * span for tick in labelled):
            labelled.append(value)
    _set_ticks(ruler, sorted(labelled))
    ruler.set_minor_locator(FixedLocator([value for value in values if value not in labelled]))


def _set_ticks(ruler: Ruler, ticks: Sequence[float], n_digits: int = 3) -> None:
    ruler.set_major_locator(FixedLocator(list(ticks)))
    ruler.set_major_formatter(FuncFormatter(lambda value, _: short(value, n_digits)))
    ruler.set_minor_locator(NullLocator())
    ruler.set_minor_formatter(NullFormatter())


def short(value: float, n_digits: int = 3) -> str:
    """1200 as ``1,200``, 4653000 as ``4.65M``."""
    for factor, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            scaled = value / factor
            return (f"{scaled:.{n_digits}g}" if scaled < 999.5 else f"{scaled:,.0f}") + unit
    if value >= 1000 or value == int(value) or float(f"{value:.{n_digits}g}") >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{n_digits}g}" if value >= 1e-3 else f"{value:.{n_digits - 3}e}"


def figure_text(text: str, longest: int = 48) -> str:
    """Text for a figure: a dollar sign starts no formula there, and a long name is shortened."""
    words = plain(text)
    short_words = words if len(words) <= longest else words[: longest - 1] + "…"
    return short_words.replace("$", r"\$")


def title(figure: Figure, text: str) -> None:
    """A title above a figure, such as the family of its curves in words, wrapped to its width."""
    width = int(18 * figure.get_figwidth())
    lines = textwrap.wrap(figure_text(family_words(text), 3 * width), width=width)
    figure.suptitle("\n".join(lines), fontsize=7, x=0.02, ha="left")


def error_bars(values: Floats, low: Floats, high: Floats) -> Floats:
    """Lengths [2, n] of asymmetric error bars, never negative."""
    return np.maximum([values - low, high - values], 0.0)


def faint_grid(ax: Axes) -> None:
    """A grid that stays behind the data."""
    ax.grid(True, which="major", color="#e6e6e6", linewidth=0.5)
    ax.set_axisbelow(True)


def encode(figure: Figure, kind: str, about: Mapping[str, str] | None = None) -> bytes:
    """A figure as ``png`` or ``pdf``; the same figure gives the same bytes.

    ``about`` are entries of the file's metadata: ``Title``, and ``Subject``, which names the figure's data.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        content = _encoded(figure, kind, about or {})
    for warning in caught:
        missing = GLYPH.match(str(warning.message))
        if missing is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif missing["code"] not in _REPORTED:
            _REPORTED.add(missing["code"])
            log.warning(
                "figures show %r as a box: no font that draws it is known to matplotlib; install one "
                "(in Debian fonts-noto-cjk for Chinese, Japanese and Korean) and remove the folder %s",
                chr(int(missing["code"])),
                matplotlib.get_cachedir(),
            )
    return content


def _encoded(figure: Figure, kind: str, about: Mapping[str, str]) -> bytes:
    FigureCanvasAgg(figure)
    if (layout := figure.get_layout_engine()) is not None:
        # Laid out once for all formats; savefig would draw everything once more for it.
        figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
        layout.execute(figure)
        figure.set_layout_engine(None)
    buffer = BytesIO()
    stamp = {**about, **({"CreationDate": None} if kind == "pdf" else {"Software": None})}
    figure.savefig(buffer, format=kind, metadata=stamp)
    return buffer.getvalue()
