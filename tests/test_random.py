"""Random numbers depend on (seed, step, position in the global batch) only."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sslcore.random import BatchRandom, computed_order, epoch_order, generator_for

DRAWS = {
    "uniform": lambda random: random.uniform(3, low=-1.0, high=2.0),
    "normal": lambda random: random.normal(2, 2),
    "bernoulli": lambda random: random.bernoulli(0.3),
    "integers": lambda random: random.integers(5, 9, 4),
    "permutations": lambda random: random.permutations(6),
}


@given(
    seed=st.integers(0, 2**31),
    step=st.integers(0, 10**9),
    size=st.integers(1, 20),
    cut=st.integers(0, 20),
    name=st.sampled_from(sorted(DRAWS)),
)
@settings(deadline=None, max_examples=60)
def test_any_split_of_the_batch_gets_the_rows_of_the_whole(seed, step, size, cut, name):
    cut = min(cut, size)
    whole = DRAWS[name](BatchRandom(seed, step, size))
    first = DRAWS[name](BatchRandom(seed, step, size, rows=slice(0, cut)))
    second = DRAWS[name](BatchRandom(seed, step, size, rows=slice(cut, size)))
    assert torch.equal(torch.cat([first, second]), whole)


@given(seed=st.integers(0, 100), step=st.integers(0, 100))
@settings(deadline=None, max_examples=20)
def test_another_seed_step_or_fork_gives_other_numbers(seed, step):
    numbers = BatchRandom(seed, step, 4).uniform(8)
    for other in (
        BatchRandom(seed + 1, step, 4),
        BatchRandom(seed, step + 1, 4),
        BatchRandom(seed, step, 4).fork("part"),
    ):
        assert not torch.equal(other.uniform(8), numbers)


def test_a_fork_does_not_depend_on_what_was_drawn_before():
    drawn, fresh = BatchRandom(0, 0, 4), BatchRandom(0, 0, 4)
    drawn.uniform(100)
    assert torch.equal(drawn.fork("x").normal(3), fresh.fork("x").normal(3))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    for draw in DRAWS.values():
        draw(BatchRandom(0, 0, 4))
    epoch_order(0, 0, 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_lie_in_their_ranges():
    random = BatchRandom(0, 0, 2000)
    uniform = DRAWS["uniform"](random)
    assert -1 <= uniform.min() < -0.9
    assert 1.9 < uniform.max() < 2
    assert set(DRAWS["integers"](random).flatten().tolist()) == {5, 6, 7, 8}
    assert abs(DRAWS["bernoulli"](random).float().mean() - 0.3) < 0.05
    sorted_rows = DRAWS["permutations"](random).sort(-1).values
    assert torch.equal(sorted_rows, torch.arange(6).expand(2000, 6))


@given(size=st.integers(0, 5000), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
@settings(deadline=None, max_examples=100)
@example(size=1, seed=0, epoch=0)
@example(size=2, seed=0, epoch=0)
@example(size=2**12, seed=0, epoch=0)
@example(size=65**2, seed=0, epoch=0)
def test_an_epoch_visits_each_sample_once(size, seed, epoch):
    for order in (epoch_order(seed, epoch, size), computed_order(seed, epoch, size)):
        assert order.dtype == torch.int64
        assert torch.equal(order.sort().values, torch.arange(size))


@pytest.mark.parametrize("size", [1000, 2**20, 2**20 + 1])
def test_the_order_of_a_large_epoch_is_computed_and_that_of_a_small_one_drawn(size):
    rows = epoch_order(1, 2, size, 100, 200)
    drawn = torch.randperm(size, generator=generator_for(1, "order", 2))[100:200]
    assert torch.equal(rows, drawn) == (size <= 2**20)
    assert torch.equal(rows, computed_order(1, 2, size, 100, 200)) == (size > 2**20)


@given(
    size=st.one_of(st.integers(1, 200), st.integers(2**20, 2**45)),
    start=st.integers(0, 300),
    count=st.integers(0, 300),
    cut=st.integers(0, 300),
)
@settings(deadline=None, max_examples=60)
def test_positions_are_computed_alone_as_with_others(size, start, count, cut):
    start, stop = min(start, size), min(start + count, size)
    cut = min(max(start, cut), stop)
    whole = computed_order(3, 1, size, start, stop)
    parts = [computed_order(3, 1, size, start, cut), computed_order(3, 1, size, cut, stop)]
    assert torch.equal(torch.cat(parts), whole)
    assert len(set(whole.tolist())) == stop - start
    assert all(0 <= row < size for row in whole.tolist())


def test_the_last_positions_of_a_large_epoch_are_as_good_as_the_first():
    size = 10**9 + 7
    first, last = epoch_order(0, 0, size, 0, 4096), epoch_order(0, 0, size, size - 4096, size)
    for rows in (first, last):
        # The mean of 4,096 uniform numbers has a deviation of 0.0045.
        assert abs(float((rows / size).mean()) - 0.5) < 0.02
        assert abs(float((rows % 2).double().mean()) - 0.5) < 0.04


@pytest.mark.parametrize("order_of", [epoch_order, computed_order])
def test_orders_depend_on_the_seed_and_the_epoch(order_of):
    order = order_of(0, 0, 50)
    assert torch.equal(order_of(0, 0, 50), order)
    assert not torch.equal(order_of(0, 1, 50), order)
    assert not torch.equal(order_of(1, 0, 50), order)


def improbable(counts: torch.Tensor, *, freedom: int) -> float:
    """Return by how many deviations the chi-square of equally likely counts is too large."""
    expected = counts.sum() / counts.numel()
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5)


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7, 9, 10, 16, 31])
def test_orders_are_uniform_and_epochs_independent(size):
    orders = torch.stack([computed_order(5, epoch, size) for epoch in range(3000)])
    # Each sample is at each position equally often.
    positions = torch.zeros(size, size)
    places = torch.arange(size).expand_as(orders)
    positions.index_put_((places, orders), torch.tensor(1.0), accumulate=True)
    assert improbable(positions, freedom=(size - 1) ** 2) < 4
    # Any two samples may be neighbours.
    pairs = torch.zeros(size, size)
    pairs.index_put_((orders[:, :-1], orders[:, 1:]), torch.tensor(1.0), accumulate=True)
    gaps = (orders[:, 1:] - orders[:, :-1]) % size
    assert improbable(pairs[~torch.eye(size, dtype=torch.bool)], freedom=size * (size - 1) - 1) < 4
    assert improbable(torch.bincount(gaps.flatten(), minlength=size)[1:], freedom=size - 2) < 4
    # An epoch says nothing about the next one.
    moves = torch.zeros(size, size)
    moves.index_put_((orders[:-1, 0], orders[1:, 0]), torch.tensor(1.0), accumulate=True)
    assert improbable(moves, freedom=size**2 - 1) < 4
