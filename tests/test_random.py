"""Random numbers depend on (seed, step, position in the global batch) only."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.random import BatchRandom, epoch_order

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


def test_every_epoch_visits_each_sample_once_in_another_order():
    orders = [epoch_order(0, epoch, 50) for epoch in range(3)]
    assert all(torch.equal(order.sort().values, torch.arange(50)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(epoch_order(0, 1, 50), orders[1])
