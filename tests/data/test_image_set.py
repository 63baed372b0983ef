import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlproject.data import ImageSet
from mlproject.data.layout import natural, printable
from mlproject.errors import BadInput, WrongUse
from mlproject.files import sha256


def image_set(labels, held_out=None, names=None):
    n = len(labels)
    return ImageSet(
        name="some",
        ids=tuple(names or (f"{i}.png" for i in range(n))),
        digests=tuple(sha256(str(i).encode()) for i in range(n)),
        labels=np.array(labels, np.int64),
        classes=tuple(f"class-{i}" for i in range(max(labels) + 1)),
        held_out=np.array(held_out if held_out is not None else [False] * n, np.bool_),
        read=lambda index: np.full((1, 1, 3), index, np.uint8),
    )


labels = st.lists(st.integers(0, 4), min_size=1, max_size=40)
seeds = st.integers(0, 2**32)


@given(labels, seeds, st.sampled_from(["balanced", "prefix"]), st.data())
def test_a_larger_draw_begins_with_the_smaller(labels, seed, how, data):
    images = image_set(labels)
    larger = data.draw(st.integers(1, len(labels)))
    smaller = data.draw(st.integers(1, larger))
    draws = [images.draw(size, seed=seed, how=how) for size in (larger, smaller)]
    np.testing.assert_array_equal(draws[0][:smaller], draws[1])
    assert len(set(draws[0].tolist())) == larger


@given(st.integers(1, 5), st.integers(1, 8), seeds, st.data())
def test_a_balanced_draw_has_as_many_of_each_class_or_one_more(n_classes, n_each, seed, data):
    images = image_set(list(range(n_classes)) * n_each)
    size = data.draw(st.integers(1, n_classes * n_each))
    counts = np.bincount(images.labels[images.draw(size, seed=seed, how="balanced")], minlength=n_classes)
    assert set(counts) <= {size // n_classes, size // n_classes + 1}


@given(labels, seeds)
def test_a_draw_of_everything_is_everything_even_where_classes_differ_in_size(labels, seed):
    drawn = image_set(labels).draw(len(labels), seed=seed, how="balanced")
    assert sorted(drawn) == list(range(len(labels)))


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=2, max_size=30), seeds)
def test_training_and_evaluation_never_share_an_image(rows, seed):
    images = image_set([label for label, _ in rows], [held for _, held in rows])
    if images.n_held_out in (0, len(images)):
        return
    drawn = images.draw(images.n_pool(), seed=seed, how="balanced")
    assert set(drawn) | set(images.evaluation(images.n_held_out)) == set(range(len(images)))
    assert not set(drawn) & set(images.evaluation(images.n_held_out))


def test_seeds_draw_different_images():
    images = image_set([0] * 100)
    draws = {tuple(images.draw(10, seed=seed, how="balanced")) for seed in range(5)}
    assert len(draws) == 5


def test_a_draw_is_the_same_on_every_machine():
    drawn = image_set([0, 1, 2] * 20).draw(9, seed=7, how="balanced")
    assert drawn.tolist() == [36, 16, 23, 24, 52, 50, 33, 58, 35]


def test_a_prefix_is_the_natural_order_without_what_is_held_out():
    images = image_set([0, 0, 0, 0], [False, True, False, False])
    assert images.draw(2, seed=5, how="prefix").tolist() == [0, 2]


def test_in_sample_draws_may_take_what_is_held_out():
    images = image_set([0, 0, 0, 0], [False, True, False, False])
    assert images.draw(4, seed=0, how="prefix", in_sample=True).tolist() == [0, 1, 2, 3]


def test_evaluation_is_nested_and_balanced():
    images = image_set([0, 1] * 20, [True] * 40)
    np.testing.assert_array_equal(images.evaluation(10), images.evaluation(20)[:10])
    assert np.bincount(images.labels[images.evaluation(10)]).tolist() == [5, 5]


@pytest.mark.parametrize("size", [0, -1, 4])
def test_more_images_than_there_are_is_refused_naming_how_many_there_are(size):
    images = image_set([0] * 5, [False, True, False, False, True])
    with pytest.raises(BadInput, match=f"some has 3 images to train on, not {size}"):
        images.draw(size, seed=0, how="prefix")


def test_a_larger_evaluation_than_is_held_out_is_refused():
    with pytest.raises(BadInput, match="some has 1 images held out for evaluation, not 2"):
        image_set([0, 0], [True, False]).evaluation(2)


def test_one_class_becomes_a_set_of_its_own():
    sneakers = image_set([0, 1, 0, 1], [False, False, False, True]).only("class-1")
    assert (sneakers.name, sneakers.classes) == ("some:class-1", ("class-1",))
    assert (sneakers.ids, sneakers.n_held_out) == (("1.png", "3.png"), 1)
    assert sneakers.labels.tolist() == [0, 0]
    assert sneakers.read(1)[0, 0, 0] == 3


def test_a_class_may_be_given_by_number():
    images = image_set([0, 1, 0, 1])
    assert images.only("1").digest == images.only("class-1").digest


def test_an_unknown_class_is_refused_with_near_names():
    with pytest.raises(WrongUse, match=r"unknown class of some 'class-x'; did you mean class-"):
        image_set([0, 1]).only("class-x")


def test_the_digest_tells_ids_labels_and_split_apart():
    sets = [
        image_set([0, 1]),
        image_set([1, 1]),
        image_set([0, 1], [False, True]),
        image_set([0, 1], names=["a", "b"]),
    ]
    assert len({images.digest for images in sets}) == 4
    assert image_set([0, 1]).digest == sets[0].digest


def test_labels_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="read-only"):
        image_set([0, 1]).labels[0] = 1


@pytest.mark.parametrize("names", [["a"], ["a", "a"]])
def test_a_set_with_missing_or_repeated_ids_cannot_be_built(names):
    with pytest.raises(ValueError, match=r"length|twice"):
        image_set([0, 1], names=names)


def test_numbers_in_names_are_compared_as_numbers():
    names = ["10.png", "2.png", "b/1.png", "a/10.png", "a/9.png", "1.png"]
    assert sorted(names, key=natural) == ["1.png", "2.png", "10.png", "a/9.png", "a/10.png", "b/1.png"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_are_printable_and_give_the_name_back(name):
    from unicodedata import normalize
    from urllib.parse import unquote

    escaped = printable(name)
    assert escaped.isprintable()
    assert unquote(escaped, errors="surrogateescape") == normalize("NFC", name)


def test_bytes_that_are_not_text_survive_in_an_id():
    assert printable("a\udcff\n.png") == "a%FF%0A.png"
