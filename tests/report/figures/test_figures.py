"""The style of figures: ticks with plain numbers, colours that stay apart, text, the same bytes twice."""

import itertools
import math
import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from mlproject.report import RC, figures
from mlproject.report.figures import (
    FONT,
    ROOM,
    encode,
    error_bars,
    figure_text,
    log_axis,
    looks,
    point_axis,
    ramp,
    short,
    title,
)

POSITIVE = st.floats(min_value=1e-6, max_value=1e17)
UNITS = {"M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


def read(text):
    plain = text.replace(",", "")
    return float(plain[:-1]) * UNITS[plain[-1]] if plain[-1] in UNITS else float(plain)


def curve(*, random=False, size=None):
    fixed = {} if size is None else {"dataset_size": size}
    return SimpleNamespace(random=random, fixed=fixed)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (1200, "1,200"), (4653000, "4.65M"), (0.25, "0.25"), (100, "100"), (3.5e9, "3.5G"), (2e13, "20T"),
        (1e18, "1,000P"), (999_600, "999,600"), (999_600_000, "1,000M"), (1e-4, "1e-04"),
        (999.5, "1,000"),
    ],
)  # fmt: skip
def test_a_tick_is_written_short(value, want):
    assert short(value) == want


@given(POSITIVE)
def test_a_tick_is_read_back_within_half_a_percent_of_its_value(value):
    assert "e+" not in short(value)
    assert read(short(value)) == pytest.approx(value, rel=0.005 if value >= 1e-3 else 0.5)


@settings(max_examples=30, deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e12), st.floats(min_value=1.001, max_value=1e9))
def test_a_logarithmic_axis_has_two_ticks_or_more_inside_its_range(low, factor):
    axis = Figure().subplots().xaxis
    log_axis(axis, low, low * factor)
    ticks = axis.get_major_locator()()
    assert 2 <= len(ticks) <= 16
    assert all(low <= tick <= low * factor for tick in ticks)
    assert len(set(ticks)) == len(ticks)
    assert len(axis.get_minor_locator()()) == 0


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.05), (0.301, 0.305), (2.0, 2.002)])
def test_ticks_of_a_narrow_axis_have_the_digits_that_tell_them_apart(low, high):
    axis = Figure().subplots().yaxis
    log_axis(axis, low, high)
    labels = [axis.get_major_formatter()(tick, 0) for tick in axis.get_major_locator()()]
    assert len(set(labels)) == len(labels) >= 2
    assert all(low <= float(label) <= high for label in labels)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(min_value=1, max_value=1e9), min_size=1, max_size=12, unique=True).map(sorted))
def test_ticks_at_the_scales_name_the_smallest_and_do_not_touch(values):
    axis = Figure().subplots().xaxis
    point_axis(axis, values)
    ticks = sorted(axis.get_major_locator()())
    assert ticks[0] == values[0]
    assert set(ticks) <= set(values)
    gap = ROOM * (math.log(values[-1] / values[0]) or 1.0)
    assert len(values) == 1 or values[-1] in ticks or math.log(values[-1] / values[0]) <= gap
    assert all(math.log(b / a) > gap for a, b in itertools.pairwise(ticks))
    assert set(axis.get_minor_locator()()) == set(values) - set(ticks)


def test_measured_scales_are_labelled_before_the_end_of_an_extrapolation():
    axis = Figure().subplots().xaxis
    point_axis(axis, [100.0, 180.0, 330.0, 600.0, 1100.0, 2000.0], [2200.0, 4000.0])
    assert {100.0, 2000.0, 4000.0} <= set(axis.get_major_locator()())
    assert 2200.0 not in axis.get_major_locator()()


@given(st.integers(min_value=1, max_value=12))
def test_shades_of_sizes_are_distinct_and_fall_in_lightness(n):
    colours = ramp(n)
    lightness = [matplotlib.colors.to_rgb(colour) @ np.array([0.299, 0.587, 0.114]) for colour in colours]
    assert len(set(colours)) == n
    assert lightness == sorted(lightness, reverse=True)


def test_random_features_are_hollow_and_grey_beside_coloured_pretrained_ones():
    pretrained, random = looks([curve(), curve(random=True)])
    assert pretrained.face == pretrained.color
    assert random.face == "white"
    red, green, blue = matplotlib.colors.to_rgb(random.color)
    assert red == green == blue


def test_models_have_six_looks_before_one_repeats_and_sizes_are_shades():
    models = looks([curve() for _ in range(6)])
    assert len({(look.color, look.marker) for look in models}) == 6
    sizes = looks([curve(size=100 * i) for i in range(4)])
    assert [look.color for look in sizes] == list(ramp(4))


@given(st.text(max_size=80), st.integers(min_value=4, max_value=60))
def test_text_of_a_figure_starts_no_formula_and_fits(text, longest):
    shown = figure_text(text, longest)
    assert len(shown.replace(r"\$", "$")) <= longest
    assert shown.count("$") == shown.count(r"\$")
    assert shown.isprintable() or not text.isprintable()


@settings(max_examples=20, deadline=None)
@given(st.text(min_size=1, max_size=200))
def test_a_title_of_any_text_can_be_drawn(text):
    figure = Figure(figsize=(3.4, 1.5))
    title(figure, text)
    figure.canvas.get_supported_filetypes()
    assert figure.get_suptitle().count("\n") <= 4


def test_error_bars_are_never_negative():
    bars = error_bars(np.array([1.0, 2.0]), np.array([0.5, 2.5]), np.array([1.5, 1.5]))
    assert bars.tolist() == [[0.5, 0.0], [0.5, 0.0]]


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_same_figure_gives_the_same_bytes(kind, magic):
    def drawn():
        figure = Figure(figsize=(2, 1.5), layout="constrained")
        figure.subplots().plot([1, 2], [3, 4])
        return encode(figure, kind)

    with matplotlib.rc_context(RC):
        first, second = drawn(), drawn()
    assert first.startswith(magic)
    assert first == second


@pytest.mark.parametrize("style", ["normal", "italic"])
def test_text_is_that_of_dejavu_sans_also_beyond_the_characters_of_the_font_of_figures(style):
    def drawn(family):
        figure = Figure(figsize=(4, 0.6))
        figure.text(0.02, 0.5, "AV. To 1,200 – “é ł ß” α ≤ ∞ × 10⁻² Ωx Жλ ☂", family=family, style=style)
        return encode(figure, "png")

    assert drawn([FONT, "DejaVu Sans"]) == drawn("DejaVu Sans")
    assert drawn(FONT) != drawn("DejaVu Sans"), "the font of figures is in use"


def test_a_pdf_holds_the_characters_of_the_small_font():
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(2, 1.5))
        figure.text(0.1, 0.5, r"text and $E + k\,x^{-\alpha}$")
        content = encode(figure, "pdf")
    assert b"FigureSans" in content
    assert b"FigureSans-Oblique" in content
    assert b"DejaVu" not in content


def test_a_character_that_no_font_has_is_reported_once_with_what_to_install(caplog, monkeypatch):
    monkeypatch.setattr(figures, "_REPORTED", set())
    drawn = Figure((2, 1))
    drawn.suptitle("\U00013000 cats")  # an Egyptian hieroglyph
    with matplotlib.rc_context({**RC, "font.family": RC["font.family"][:2]}):
        assert encode(drawn, "png") == encode(drawn, "png")
    (message,) = caplog.messages
    assert "figures show '\U00013000' as a box" in message
    assert "fonts-noto-cjk" in message


def test_fonts_of_other_scripts_are_asked_for_only_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(figures.fontManager, "get_font_names", lambda: ["Arial", "Yu Gothic"])
    assert figures._installed(figures.FURTHER_FONTS) == ["Yu Gothic"]


def test_the_picture_of_a_cell_imports_no_library_that_takes_longer_than_the_cell() -> None:
    slow = "{'scipy.stats', 'seaborn', 'bokeh', 'pandas', 'torch'}"
    code = f"import sys, mlproject.report.figures.runs; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
