"""The page in a real browser, driven as a person would: sort, filter, hover, switch, link, download."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest

from mlproject.losses import Observation
from mlproject.report import Surroundings, render_html, study_document, study_page
from tests.studies import cell, planted, with_two_laws

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CLASSES = ("boot", "coat")
MODELS = ("lite0", "lite1")
SIZES = (100, 200, 400, 800)
FRAME = '<!doctype html><iframe id="html" sandbox="allow-scripts" style="width:1200px;height:900px"></iframe>'
"""The frame in which MLflow 3.17 shows an artifact."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def labelled(observation: Observation) -> Observation:
    """The same run with labels; every third image is predicted wrongly."""
    logged = observation.load_losses()
    ids, wrong = logged.image_ids, np.arange(len(logged.image_ids)) % 3 == 0
    losses = replace(logged, values={**logged.values, "error": wrong.astype(float)})
    labels = [CLASSES[i % 2] for i in range(len(ids))]
    table = {
        "image_name": list(ids),
        "label": labels,
        "predicted": [CLASSES[(i + (i % 3 == 0)) % 2] for i in range(len(ids))],
    }
    return replace(
        observation,
        load_losses=lambda: losses,
        losses_digest=losses.digest,
        load_table=lambda name: table if name == "predictions" else {},
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    cells = [cell(model, size, seed) for model in MODELS for size in SIZES for seed in (0, 1)]
    study = with_two_laws([labelled(planted(this, n=40)) for this in cells], n_draws=20)
    page = study_page(
        study, study_document(study), Surroundings(run_page=lambda run: f"https://ui.example/#/runs/{run}")
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(page), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def page(browser, html):
    """The page at the width of a desktop; whatever it logs or fetches is kept in ``page.faults``."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.faults = []
    opened.on("console", lambda m: opened.faults.append(m.text) if m.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.on(
        "request",
        lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else opened.faults.append(r.url),
    )
    opened.goto(html.as_uri())
    opened.wait_for_selector(".plot[data-drawn]")
    yield opened
    assert opened.faults == []


def names(page):
    return page.locator(".cards strong").all_inner_texts()


def choose(page, control, label):
    page.locator(f"[data-control={control}]").select_option(label=label)


def model(name, expression):
    """JavaScript that evaluates an expression of the root model of a drawn figure."""
    return f"""() => {{
      const place = document.querySelector('.plot[data-figure="{name}"]');
      const view = Object.values(Bokeh.index.roots ? Bokeh.index.roots : Bokeh.index)
        .find(v => place.contains(v.el));
      const plot = view.model;
      return {expression};
    }}"""


def test_images_are_sorted_and_the_order_turned(page):
    choose(page, "sort", "loss at the largest size")
    first = names(page)
    losses = page.evaluate("""() => {
      const data = JSON.parse(document.getElementById('gallery-images-data').textContent);
      return Object.fromEntries(data.ids.map((id, i) => [id, data.series[0].last[i]]));
    }""")
    assert [losses[n] for n in first] == sorted(losses.values(), reverse=True)[: len(first)]
    page.locator("[data-control=reverse]").press("Enter")  # a click may miss a button that is still moving
    page.wait_for_selector("[data-control=reverse][aria-pressed=true]")
    assert losses[names(page)[0]] == min(losses.values())
    page.locator("[data-control=reverse]").press("Enter")
    choose(page, "sort", "name")
    assert names(page)[0] == "img_0000.png"
    choose(page, "sort", "disagreement of models")
    assert names(page) != first


def test_images_are_filtered_by_class_and_by_wrong_prediction(page):
    choose(page, "class", "coat")
    assert page.locator("[data-part=count]").inner_text().startswith("20 of 20 images")
    choose(page, "show", "predicted wrongly")
    wrong = names(page)
    assert {int(name[4:8]) % 2 for name in wrong} == {1}
    assert {int(name[4:8]) % 3 for name in wrong} == {0}
    assert "✗" in page.evaluate(
        "getComputedStyle(document.querySelector('.cards .wrong'), '::before').content"
    )
    choose(page, "class", "all classes")
    choose(page, "show", "all images")


def test_images_are_filtered_by_when_they_are_learned_and_by_their_chance_at_the_next_size(page):
    choose(page, "learned", "never right")
    never = names(page)
    assert {int(name[4:8]) % 3 for name in never} == {0}
    choose(page, "chance", "90 to 100 %")
    assert page.locator("[data-part=count]").inner_text() == "No image is like this."
    choose(page, "learned", "right at every scale")
    assert not set(names(page)) & set(never)
    assert "right at every scale · chance at the next size" in page.locator(".cards li").first.inner_text()
    choose(page, "chance", "any")
    choose(page, "learned", "any size")
    choose(page, "sort", "learned last, or never")
    assert int(names(page)[0][4:8]) % 3 == 0
    choose(page, "show", "worse beyond what seeds differ by")
    choose(page, "show", "all images")


def test_a_chosen_image_is_marked_in_the_scatter_and_drawn_against_size(page):
    page.locator("#images .plot").first.scroll_into_view_if_needed()
    page.wait_for_selector('.plot[data-figure="images-trend"][data-drawn]')
    choose(page, "sort", "name")
    page.locator(".cards button").nth(3).click()
    assert page.locator("[data-part=picked]").inner_text() == "img_0003.png"
    source = "plot.document.get_model_by_name('scatter')"
    chosen = model("images-scatter", f"{source}.selected.indices.map(i => {source}.data.id[i])")
    assert page.evaluate(chosen) == ["img_0003.png"]
    points = page.evaluate(model("images-trend", "plot.document.get_model_by_name('points').data"))
    assert len(points["x"]) == len(MODELS) * len(SIZES) * 2
    assert set(points["predicted"]) == {"boot"}


def test_images_marked_in_the_scatter_are_those_of_the_list(page):
    page.evaluate(
        model("images-scatter", "plot.document.get_model_by_name('scatter').selected.indices = [5, 6]")
    )
    choose(page, "show", "selected images")
    assert len(names(page)) == 2
    page.locator("[data-control=clear]").click()
    assert page.locator("[data-part=count]").inner_text() == "No image is like this."
    choose(page, "show", "all images")


def test_numbers_are_shown_under_the_pointer(page):
    plot = page.locator('.plot[data-figure="scaling_training_images_mean"]')
    plot.scroll_into_view_if_needed()
    at = page.evaluate(
        model(
            "scaling_training_images_mean",
            """(() => {
              const points = plot.renderers.filter(r => r.name === 'points' && r.visible)[0];
              const {x, loss} = points.data_source.data;
              const box = view.canvas_view.el.getBoundingClientRect();
              return [box.x + view.frame.x_scale.compute(x[1]), box.y + view.frame.y_scale.compute(loss[1])];
            })()""",
        )
    )
    page.mouse.move(at[0], at[1] - 1)
    page.mouse.move(*at)
    page.wait_for_timeout(300)
    shown = page.evaluate("""() => {
      const texts = [];
      const walk = node => { for (const child of node.querySelectorAll('*')) {
        if (!child.shadowRoot) continue;
        if (child.matches('.bk-Tooltip')) texts.push(child.shadowRoot.textContent);
        walk(child.shadowRoot);
      } };
      walk(document);
      return texts.join(' ');
    }""")
    assert "200 images" in shown
    assert "by seed" in shown


def test_switches_show_one_statistic_and_one_law(page):
    name = "scaling_training_images_mean"
    visible = model(name, "plot.renderers.filter(r => r.visible).map(r => JSON.stringify(r.tags))")
    before = set(page.evaluate(visible))
    page.locator(f"#{name} label", has_text="median").click()
    page.locator(f"#{name} label", has_text="none").click()
    page.wait_for_timeout(100)
    after = set(page.evaluate(visible))
    assert all("mean" in tags for tags in before)
    assert all("median" in tags and "law" not in tags for tags in after)
    page.locator(f"#{name} label", has_text="mean").click()


def test_a_table_is_downloaded(page):
    with page.expect_download() as download:
        page.locator("#downloads button", has_text="exponents_by_law.csv").click()
    rows = list(csv.DictReader(download.value.path().read_text("utf-8").splitlines()))
    assert {row["statistic"] for row in rows} == {"mean", "median"}
    with page.expect_download() as download:
        page.locator("[data-control=csv]").click()
    images = list(csv.DictReader(download.value.path().read_text("utf-8").splitlines()))
    assert len(images) == 40
    assert {row["class"] for row in images} == set(CLASSES)


def test_in_the_frame_of_the_artifact_viewer_everything_works_and_files_are_shown_to_copy(browser, html):
    page, faults = browser.new_page(), []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_content(FRAME)
    show = """text => {
      const file = new Blob([text], {type: 'text/html'});
      document.getElementById('html').src = URL.createObjectURL(file);
    }"""
    page.evaluate(show, html.read_text("utf-8"))
    frame = page.frame_locator("#html")
    frame.locator(".plot").first.scroll_into_view_if_needed()  # figures are drawn when they come into sight
    frame.locator(".plot[data-drawn]").first.wait_for()
    assert frame.locator(".cards button").count() == 24
    frame.locator("#downloads button", has_text="held_out.csv").click()
    area = frame.locator("#downloads textarea")
    assert area.input_value().startswith("group,axis,x,observed")
    assert faults == []
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_scrolls_sideways(browser, html, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(html.as_uri())
    for place in page.locator(".plot").all():
        place.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()
