"""Documents as one HTML file: everything is there, escaped, and nothing is fetched."""

import base64
import hashlib
import html.parser
import json
import re
from dataclasses import replace

import matplotlib.figure
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlproject.report import Answer, Document, Figure, Section, Table, render_html
from mlproject.report.document import Gallery, Interactive
from mlproject.report.formats import as_interval, as_text
from mlproject.report.renderers import plain

EVIL = "</script><script>alert(1)</script>\"'<img src=x onerror=alert(1)>&"


class Page(html.parser.HTMLParser):
    """Elements with their attributes, the text that is shown, and the data of scripts by id."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.shown, self.scripts, self.data, self._in = [], "", [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = (tag, dict(attrs))
        if tag in ("script", "style"):
            self.current = ""

    def handle_endtag(self, tag):
        if tag == "script":
            _, attributes = self._in
            if attributes.get("type") == "application/json":
                self.data[attributes["id"]] = json.loads(self.current)
            else:
                self.scripts.append(self.current)
        self._in = None

    def handle_data(self, data):
        if self._in and self._in[0] in ("script", "style"):
            self.current += data
        else:
            self.shown += data

    def attributes(self, name):
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def document(text=EVIL, **fields):
    formats = {text: as_text("name"), "α": as_interval("a")}
    rows = [{"name": text, "a": 0.5, "a_low": 0.2, "a_high": float("inf")}, {"name": "=cmd()", "a": None}]
    table = Table(name="laws", rows=rows, formats=formats, caption=text)
    figure = Figure(name="curve", draw=matplotlib.figure.Figure, caption=text)
    section = Section(
        title=text, paragraphs=(text,), bullets=(text,), tables=(table,), figures=(figure,),
        terms=((text, text),),
    )  # fmt: skip
    answer = Answer(result=(text,), not_concluded=(text,), next_scale=(text,))
    return Document(title=text, answer=answer, sections=(section,), question=text, **fields)


def test_every_part_of_a_document_is_on_the_page_and_escaped():
    page = Page(render_html(document(), pictures={"curve": b"webp"}))
    assert page.shown.count("<script>alert(1)</script>") == 16
    assert "img" in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    heads = ("Answer", "What may not be concluded", "The next scale")
    assert all(f"{head}" in page.shown for head in heads)
    assert page.data["files-data"]["laws.csv"].count("\n") == 3


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=30).filter(lambda text: plain(text).strip()))
@example("\n0")
@example("a\n0")
def test_no_text_makes_an_element(text):
    usual, strange = Page(render_html(document("usual"))), Page(render_html(document(text)))
    assert [tag for tag, _ in usual.elements] == [tag for tag, _ in strange.elements]


def test_only_scripts_whose_digests_the_page_lists_can_run():
    page = Page(render_html(document()))
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    listed = set(re.findall(r"'sha256-([^']+)'", policy))
    digests = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts}
    assert digests == listed
    assert "default-src 'none'" in policy
    assert "eval" not in policy


def test_a_page_fetches_nothing():
    page = Page(render_html(document(), pictures={"curve": b"webp"}))
    assert all(source.startswith("data:") for source in page.attributes("src"))
    assert all(target.startswith("#") for target in page.attributes("href"))
    style = render_html(document()).partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize(("link", "kept"), [("https://a.example/x", 1), ("javascript:alert(1)", 0), ("", 0)])
def test_links_lead_to_pages_only(link, kept):
    formats = {"run": replace(as_text("run"), link=lambda row: link)}
    table = Table(name="t", rows=({"run": "abc"},), formats=formats)
    page = Page(
        render_html(Document(title="t", answer=Answer(), sections=(Section(title="s", tables=(table,)),)))
    )
    assert page.attributes("href").count(link) == kept
    assert "abc" in page.shown


def test_bars_of_a_column_share_one_scale_with_zero_and_open_ends():
    rows = [
        {"a": 0.5, "a_low": 0.25, "a_high": 1.0}, {"a": None, "a_low": 0.0, "a_high": float("inf")},
        {"a": None, "a_low": None, "a_high": None}, {"a": float("nan"), "a_low": float("nan"), "a_high": 1.0},
    ]  # fmt: skip
    table = Table(name="t", rows=rows, formats={"a": replace(as_interval("a"), bar="a")})
    text = render_html(Document(title="t", answer=Answer(), sections=(Section(title="s", tables=(table,)),)))
    spans = re.findall(r'class="span" x1="([\d.]+)" x2="([\d.]+)"', text)
    assert len(spans) == 2
    assert float(spans[0][1]) == pytest.approx(4 * float(spans[0][0]), abs=0.1)
    assert spans[1][1] == "100.0"
    assert len(re.findall(r'class="value"', text)) == 1


def test_a_section_without_content_is_left_out_and_large_tables_are_closed_and_named():
    rows = [{"name": f"row {i} {'x' * 4000}"} for i in range(100)]
    table = Table(name="long", rows=rows, formats={"name": as_text("name")})
    sections = (Section(title="Nothing"), Section(title="Much", tables=(table,)))
    page = Page(render_html(Document(title="t", answer=Answer(), sections=sections)))
    assert "Nothing" not in page.shown
    assert "long.csv" not in page.data["files-data"]
    assert "in the folder beside this page" in page.shown
    assert ("details", {"class": "long"}) in page.elements


def test_pages_without_figures_for_browsers_carry_no_library():
    assert len(render_html(document())) < 60_000


def test_galleries_lie_in_the_page_with_their_pictures():
    from mlproject.report.interactive.gallery import scatter_view, trend_view

    content = {"ids": ["a", EVIL], "series": [], "classes": [EVIL], "labels": [0, 0], "disagreement": None}
    gallery = Gallery(
        name="images", caption=EVIL, content=content, pictures={"a": b"webp"},
        scatter=lambda: scatter_view("loss"), trend=lambda: trend_view("loss", [100.0, 200.0]),
    )  # fmt: skip
    text = render_html(
        Document(title="t", answer=Answer(), sections=(Section(title="Images", gallery=gallery),))
    )
    page = Page(text)
    assert page.data["gallery-images-data"]["pictures"] == [base64.b64encode(b"webp").decode(), None]
    assert {"figure-images-scatter-data", "figure-images-trend-data"} <= set(page.data)
    assert "alert(1)" not in "".join(page.scripts[-1:])


def test_switches_of_a_figure_are_buttons_with_the_first_chosen():
    from mlproject.report.interactive import blank

    live = Interactive(model=blank(200), caption="seen", switches={"loss": ("mean", "median")})
    figure = Figure(name="f", draw=matplotlib.figure.Figure, caption="printed", interactive=lambda: live)
    sections = (Section(title="s", figures=(figure,)),)
    page = Page(render_html(Document(title="t", answer=Answer(), sections=sections), pictures={"f": b"webp"}))
    inputs = [attributes for tag, attributes in page.elements if tag == "input"]
    assert [(i["value"], "checked" in i) for i in inputs] == [("mean", True), ("median", False)]
    assert "seen" in page.shown
    assert "printed" in page.shown
