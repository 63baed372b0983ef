"""Methods and checklist: sentences that follow from the runs, works that are cited and well formed."""

import re

import pytest

from mlproject.analysis import analyse
from mlproject.data import DATASETS
from mlproject.recipes import RECIPES
from mlproject.report import checklist_section, methods_section
from mlproject.report.checklist import MISSING
from mlproject.report.methods.bibtex import REQUIRED
from mlproject.report.methods.references import BY_SHORT, cite, cited_keys, keys_in
from mlproject.report.methods.words import DATA, KNOBS, RECIPE_WORDS, joined
from mlproject.report.methods.works import REFERENCES
from tests.studies import cell, planted

TUNING = {
    "knobs": "lr", "space": "lr: 1e-05 to 0.1 (log)", "trials": 64, "sampler": "tpe", "pruner": "none",
    "seed": 0, "validation": "100 images of the training part",
}  # fmt: skip


def methods(*cells):
    study = analyse([planted(this, n=20) for this in cells], n_draws=20)
    return " ".join(methods_section(study).paragraphs)


def checklist(*cells):
    study = analyse([planted(this, n=20) for this in cells], n_draws=20)
    (table,) = checklist_section(study).tables
    return {row["question"]: row["answer"] for row in table.rows}


def test_images_seeds_and_protocol_are_those_of_the_runs():
    text = methods(*(cell(size=size, seed=seed) for size in (100, 1200) for seed in (0, 3)))
    assert "Fashion-MNIST (Xiao et al. 2017)" in text
    assert "100 and 1,200 training images, drawn at random by the seed, alike from every class" in text
    assert "200 held-out images" in text
    assert "the seeds 0 and 3, which set" in text
    assert "In-sample" not in text


def test_in_sample_losses_validation_regions_and_image_scales_are_stated():
    text = methods(cell(eval_size=0, draw="prefix"))
    assert "In-sample losses are those of the training images themselves." in text
    assert "held-out images" not in text
    assert "natural order" in text
    text = methods(cell(validation_size=50, region="blobs", region_digest="r", image_scales=(1.0, 2.0)))
    assert "50 further images of the training part" in text
    assert "the object alone, found by thresholds" in text
    assert "multiples 1, 2 of their input side (Shi et al. 2024)" in text


def test_networks_are_named_with_weights_digests_and_their_works():
    text = methods(cell("efficientnet_lite0"), cell("resnet18", weights="random"))
    assert "Networks: efficientnet_lite0 (Tan and Le 2019; EfficientNet-Lite0 weights 2020)" in text
    assert "weights imagenet, digest efficientnet_lite0-imagenet" in text
    assert "resnet18 (He et al. 2015) with 11,200,000 parameters, weights random" in text
    assert "a control" in text


def test_knobs_stand_in_words_and_those_that_differ_are_all_named():
    knobs = {"target": "labels", "optimizer": "adam", "lr": 1e-3, "steps": 400, "epochs": 0, "batch_size": 64}
    text = methods(cell(knobs=knobs), cell(size=200, knobs=knobs | {"steps": 800, "shuffle": False}))
    assert "Adam (Kingma and Ba 2014); learning rate 0.001; batches of 64 images; 400 or 800 steps" in text
    assert "shuffle = false" in text
    assert "epochs" not in text.partition("Training (probe)")[2].partition(".")[0]


def test_tuning_says_what_was_searched_where_and_which_values_were_chosen():
    cells = [
        cell(size=s, knobs={"target": "labels", "lr": lr}, tuning=TUNING)
        for s, lr in ((100, 0.1), (200, 0.01))
    ]
    text = methods(*cells)
    assert (
        "a search of 64 trials by Optuna (Akiba et al. 2019), sampler tpe, over lr: 1e-05 to 0.1 (log)"
        in text
    )
    assert "Chosen lr: 0.01 or 0.1." in text
    answers = checklist(*cells)
    assert "2 of 2 runs are tuned" in answers["How were the knobs chosen, and do they change with scale?"]


def test_a_recipe_of_another_version_is_named_and_nothing_breaks():
    assert "cells of the recipe later are run" in methods(cell(recipe="later"))


def test_no_law_is_cited_that_was_not_fitted():
    text = methods(cell())
    assert "No law was fitted" in text
    assert "Hestness" not in text


def test_the_checklist_says_plainly_what_the_runs_do_not_hold():
    answers = checklist(cell(), cell(size=200))
    assert answers["On which hardware?"].startswith(MISSING)
    assert answers["Is a scale held out and predicted?"].startswith(MISSING)
    assert answers["Is the held-out set used for any choice?"].startswith("No")
    how = answers["How were the knobs chosen, and do they change with scale?"]
    assert f"{MISSING}where their knobs were chosen." in how
    assert checklist(cell(eval_size=0))["Is the held-out set used for any choice?"] == "There is none."


def test_every_data_set_and_recipe_has_words():
    assert set(DATA) == set(DATASETS)
    assert set(RECIPE_WORDS) == set(RECIPES)
    assert all(words.count("{}") == 1 for words in KNOBS.values())


@pytest.mark.parametrize("key", REFERENCES)
def test_every_entry_is_well_formed(key):
    work = REFERENCES[key]
    assert re.fullmatch(r"[a-z]+\d*[a-z]*", key)
    assert REQUIRED[work.kind] <= set(work.fields)
    assert re.fullmatch(r"\d{4}", work.fields["year"])
    entry = work.bibtex(key)
    assert entry.startswith(f"@{work.kind}{{{key},\n")
    assert entry.count("{") == entry.count("}")
    assert entry.isascii()
    assert not re.search(
        r"(?<!\\)[&%#_]", "".join(v for n, v in work.fields.items() if n not in ("url", "doi"))
    )
    assert cited_keys(work.short) == (key,)


def test_citations_in_a_text_are_read_back_and_other_brackets_are_not():
    assert len(BY_SHORT) == len(REFERENCES)
    text = f"Laws {cite('hestness2017', 'rosenfeld2020')} (with a floor), draws {cite('rubin1981')}."
    assert list(keys_in(text)) == ["hestness2017", "rosenfeld2020", "rubin1981"]


def test_lists_read_as_sentences():
    assert joined(["a"]) == "a"
    assert joined("abc", "or") == "a, b or c"
    assert joined(range(100)).endswith("7, … and 99 (100 in all)")
