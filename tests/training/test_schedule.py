"""Seeds, schedules and optimisers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlproject.errors import WrongUse
from mlproject.training import OPTIMIZERS, Schedule, build_optimizer, generator, seeded


def test_streams_of_a_seed_repeat_and_differ_from_each_other():
    first, again, other = (torch.rand(4, generator=generator(3, s)) for s in ("init", "init", "order"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("n", "expected"), [(10, 6), (12, 6), (13, 8)])
def test_epochs_give_whole_passes(n: int, expected: int):
    schedule = Schedule(n_images=n, batch_size=4, epochs=2)
    batches = schedule.batches(generator(0, "order"))
    assert schedule.n_steps == expected == sum(map(len, batches))
    for epoch in batches:
        assert torch.cat(epoch).sort().values.tolist() == list(range(n))


@pytest.mark.parametrize("n", [5, 10, 100, 300])
def test_equal_steps_are_equal_whatever_the_size(n: int):
    schedule = Schedule(n_images=n, batch_size=32, epochs=0, steps=17)
    batches = schedule.batches(generator(0, "order"))
    assert sum(map(len, batches)) == schedule.n_steps == 17
    assert len(batches) == schedule.n_epochs


def test_no_order_means_as_they_stand():
    epochs = Schedule(n_images=5, batch_size=2, epochs=1).batches(None)
    assert [b.tolist() for b in epochs[0]] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_a_loss(name: str):
    value = torch.nn.Parameter(torch.ones(3))
    optimizer = build_optimizer(name, [value], lr=0.01, weight_decay=0.0)
    value.square().sum().backward()
    optimizer.step()
    assert (value < 1).all()


def test_an_unknown_optimizer_names_its_neighbours():
    with pytest.raises(WrongUse, match="did you mean adam or adamw"):
        build_optimizer("adamv", [torch.nn.Parameter(torch.ones(1))], lr=1.0, weight_decay=0.0)


SIZES = {"n": st.integers(1, 60), "batch": st.integers(1, 70), "epochs": st.integers(1, 4)}


@given(**SIZES, seed=st.integers(0, 99))
def test_every_epoch_shows_every_image_once(n: int, batch: int, epochs: int, seed: int):
    schedule = Schedule(n_images=n, batch_size=batch, epochs=epochs)
    shown = schedule.batches(generator(seed, "order"))
    assert len(shown) == epochs
    for number, batches in enumerate(shown):
        assert sorted(torch.cat(batches).tolist()) == list(range(n))
        assert sorted(torch.cat(schedule.epoch(number, seed)).tolist()) == list(range(n))
        assert all(len(rows) == batch for rows in batches[:-1])


@given(n=st.integers(1, 40), batch=st.integers(1, 50), steps=st.integers(1, 90), seed=st.integers(0, 9))
def test_steps_are_exact_and_no_image_is_shown_twice_in_an_epoch(n: int, batch: int, steps: int, seed: int):
    schedule = Schedule(n_images=n, batch_size=batch, epochs=0, steps=steps)
    epochs = [schedule.epoch(number, seed) for number in range(schedule.n_epochs)]
    assert sum(map(len, epochs)) == steps
    assert all(epochs)
    for batches in epochs:
        rows = torch.cat(batches).tolist()
        assert len(set(rows)) == len(rows)


def test_an_epoch_depends_on_seed_and_number_alone():
    short, long = (Schedule(n_images=9, batch_size=4, epochs=e) for e in (2, 5))
    assert all(torch.equal(a, b) for a, b in zip(short.epoch(1, 3), long.epoch(1, 3), strict=True))
    assert not torch.equal(torch.cat(long.epoch(1, 3)), torch.cat(long.epoch(2, 3)))
    assert not torch.equal(torch.cat(long.epoch(1, 3)), torch.cat(long.epoch(1, 4)))


def test_seeding_leaves_the_random_numbers_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(0, "init"):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0, "init"):
        assert torch.equal(torch.rand(2), inside)


@given(n=st.integers(2, 60), batch=st.integers(2, 33), steps=st.sampled_from([0, 7]), seed=st.integers(0, 9))
def test_a_last_image_by_itself_joins_the_batch_before_it_where_two_are_needed(n, batch, steps, seed):
    schedule = Schedule(n_images=n, batch_size=batch, epochs=2, steps=steps, fewest=2)
    usual = Schedule(n_images=n, batch_size=batch, epochs=2, steps=steps)
    epochs = [schedule.epoch(number, seed) for number in range(schedule.n_epochs)]
    assert sum(map(len, epochs)) == schedule.n_steps
    assert all(len(rows) >= 2 for batches in epochs for rows in batches)
    assert sorted(torch.cat(epochs[0]).tolist()) == list(range(n)) or steps
    if n % batch != 1:  # nothing else changes
        for batches, others in zip(epochs, map(usual.epoch, range(usual.n_epochs), [seed] * 9), strict=False):
            assert all(torch.equal(a, b) for a, b in zip(batches, others, strict=True))
