"""The page of a study: every section, in words where there is nothing, for degenerate studies too."""

import numpy as np
import pytest

from mlproject.analysis import analyse, explorers
from mlproject.report import Surroundings, render_html, study_document, study_page
from mlproject.report.page import glossary, image_sentences
from tests.report.test_html import EVIL, Page
from tests.studies import cell, observe, planted, usual_study

SIZES = (100, 200, 400, 800, 1600)


def page_of(runs, around=None, n_draws=30):
    study = analyse(runs, n_draws=n_draws)
    return study_page(study, study_document(study), around or Surroundings())


@pytest.fixture(scope="module")
def page():
    study = usual_study()
    return study_page(study, study_document(study), Surroundings())


def table(page, name):
    return next(table for table in page.tables if table.name == name)


def test_the_sections_of_a_reader_are_there_in_order(page):
    titles = [section.title for section in page.sections]
    wanted = [
        "Losses against scale", "Exponents", "Differences between models", "Images",
        "Predictions beyond the data", "Distributions and correlations",
        "The largest scale, predicted from the others", "What was run",
        "Read with this in mind", "All laws and statistics", "Runs", "Glossary",
    ]  # fmt: skip
    assert [title for title in titles if title in wanted] == wanted
    assert page.question == (
        "How does the held-out loss change with training images (100 to 2,000) and the model "
        "(lite0, lite1, lite2 and resnet18)?"
    )


def test_one_figure_switches_between_mean_and_median_and_laws(page):
    names = [figure.name for figure in page.figures]
    assert "scaling_training_images_mean" in names
    assert not [name for name in names if "_median" in name]
    live = page.figures[0].interactive()
    assert live.switches == {
        "loss": ("mean", "median"),
        "law": ("k D^-α", "E + k D^-α", "all laws, beyond the data", "none"),
    }
    tags = [tag for part in live.model.renderers for tag in part.tags if isinstance(tag, dict)]
    assert {tag["loss"] for tag in tags} == {"mean", "median"}
    assert {tag.get("law") for tag in tags} == {None, *live.switches["law"][:3]}


def test_exponents_stand_under_one_law_a_column(page):
    laws = table(page, "exponents_by_law")
    assert list(laws.formats)[:3] == ["group", "α under k x^-α", "α under E + k x^-α"]
    assert [row["name"] for row in laws.shown] == ["lite0", "lite1", "lite2", "resnet18 (random)"]
    assert all(row["power_alpha"] is not None for row in laws.shown)


def test_runs_are_named_with_their_digests_and_linked_where_the_store_is_a_server(page):
    runs = table(page, "runs")
    assert len(runs.rows) == 4 * 6 * 3
    assert runs.formats["run"].link is None
    linked = page_of(
        [planted(cell(), n=5)], Surroundings(run_page=lambda run: f"https://ui.example/#/runs/{run}")
    )
    column = table(linked, "runs").formats["run"]
    assert column.link(table(linked, "runs").rows[0]).startswith("https://ui.example/#/runs/run-")


def test_the_setup_names_every_knob_and_that_nothing_was_tuned(page):
    rows = {row["setting"]: row["values"] for row in table(page, "setup").rows}
    assert rows["dataset_size"] == "100; 200; 400; 700; 1,200; 2,000"
    assert rows["knob lr"] == "0.001"
    assert rows["tuning"] == "no knob was tuned"


def test_terms_of_the_glossary_are_plain_text():
    terms = dict(glossary())
    assert terms["probe"] == "A linear head trained on frozen features."
    assert "identifiable" in terms
    assert not [text for text in terms.values() if "`" in text or "](" in text or not text]


def test_pictures_are_asked_for_by_data_set_and_image():
    asked = []

    def pictures(data, digest, ids):
        asked.append((data, digest, len(ids)))
        return {ids[0]: b"webp"}, ""

    made = page_of([planted(cell(), n=5)], Surroundings(pictures=pictures))
    assert asked == [("fashion-mnist", "d0", 5)]
    assert made.galleries[0].pictures == {"img_0000.png": b"webp"}
    assert "no pictures" not in made.galleries[0].caption


def test_of_many_images_and_seeds_some_are_shown_and_the_page_says_so():
    cells = [cell(size=100), *(cell(size=200, seed=seed) for seed in range(21))]
    (gallery,) = page_of([observe(each, [1.0 + i for i in range(600)]) for each in cells]).galleries
    assert len(gallery.content["ids"]) == 500
    assert gallery.content["series"][0]["seeds"] == [0, *range(20)]
    assert "600 images. 500 are shown" in gallery.caption
    assert "Of the 21 runs of a size and model 20 are shown." in gallery.caption


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([planted(cell(), n=20)], ["No law is fitted to these runs", "Three sizes and losses above zero"]),
        ([observe(cell(), [0.7])], ["No law is fitted to these runs", "no pictures: this report was made"]),
        ([observe(cell(size=s), [0.0, 0.0]) for s in SIZES], ["No law is fitted", "Three sizes and losses"]),
        ([planted(cell(size=s), n=20) for s in SIZES], ["No labels are stored", "nothing is said about dis"]),
        (
            [observe(cell(size=s), [2.0 + 0.1 * (i % 3) for i in range(12)]) for i, s in enumerate(SIZES)],
            ["By a power law of each image, none gets worse"],
        ),
    ],
    ids=["one cell", "one image", "losses of zero", "one seed, one model", "nothing identified"],
)  # fmt: skip
def test_degenerate_studies_say_so_in_words(runs, words):
    shown = Page(render_html(page_of(runs))).shown
    assert [text for text in words if text not in shown] == []


def test_names_of_models_images_and_data_cannot_write_to_the_page():
    runs = [
        observe(cell(EVIL, size, data=f"/x/{EVIL}"), [1.0, 2.0], ids=(EVIL, "b.png"), params=1e6)
        for size in (100, 200)
    ]
    text = render_html(page_of(runs))
    parsed = Page(text)
    assert "<script>alert" not in text
    assert [tag for tag, _ in parsed.elements].count("script") == len(parsed.data) + len(parsed.scripts)


def rising(size, seed):
    """Losses that fall as D^-0.5, but for two images, whose losses rise, with a noise of 2 %."""
    noise = np.random.default_rng([size, seed]).normal(size=20)
    return (size / 100) ** np.where(np.arange(20) < 2, 0.5, -0.5) * np.exp(0.02 * noise)


def test_images_that_rise_and_who_carries_the_loss_are_said_in_a_sentence():
    runs = [
        observe(cell(model, size, seed), rising(size, seed))
        for model in ("lite0", "lite1")
        for size in SIZES
        for seed in range(2)
    ]
    first, _, third = list(image_sentences(explorers(analyse(runs, n_draws=20))[0]))[:3]
    assert first.startswith(
        "By a power law of each image, 2 of 20 get worse with more training images under at"
    )
    assert "2 under all" in first
    assert (
        third == "The worst tenth of the images carries 64 % of the loss, at the largest size of each model."
    )
