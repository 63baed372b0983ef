"""Seeds, schedules and optimisers."""

from __future__ import annotations

import pytest
import torch

from mlproject.errors import WrongUse
from mlproject.training import OPTIMIZERS, Schedule, build_optimizer, generator


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
