"""MoCo's losses: closed forms, the queue against a deque, and the queue in checkpoints."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sslcore_moco.batch import MomentumContrast
from sslcore_moco.queue import QueueContrast, first_queue


def batches(*sizes: int, dim: int = 4, seed: int = 0):
    """Yield projections and the teacher's, (2, B, dim) each."""
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        yield torch.randn(2, 2, size, dim, generator=generator)


@settings(deadline=None, max_examples=30)
@given(
    size=st.integers(1, 9),
    sizes=st.lists(st.integers(1, 11), min_size=1, max_size=6),
    symmetric=st.booleans(),
)
def test_the_queue_is_a_deque_of_the_last_keys(size, sizes, symmetric):
    loss = QueueContrast(4, queue_size=size, symmetric=symmetric)
    kept = deque(first_queue(size, 4), maxlen=size)
    for queries, keys in batches(*sizes):
        loss(queries, keys)
        unit = F.normalize(keys, dim=-1)
        kept.extend(unit.flatten(0, 1) if symmetric else unit[1])
        # From the oldest on, the rows are in order of arrival.
        rows = loss.queue.roll(-int(loss.oldest), 0)
        torch.testing.assert_close(rows, torch.stack(list(kept)))


def test_the_first_queue_is_unit_rows_that_its_shape_decides():
    state = torch.get_rng_state()
    queue = first_queue(500, 16)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(123)
    assert torch.equal(first_queue(500, 16), queue)
    torch.testing.assert_close(queue.norm(dim=1), torch.ones(500))
    # Random directions: none is preferred, and no two are alike.
    assert queue.mean(0).norm() < 0.1
    assert (queue @ queue.T).fill_diagonal_(0).max() < 0.95


def test_a_batch_is_scored_before_its_keys_are_queued():
    (projections, keys), *_ = batches(3)
    loss = QueueContrast(4, queue_size=3)
    first = loss(projections, keys)
    query, key = F.normalize(projections[0], dim=-1), F.normalize(keys[1], dim=-1)
    own = (query * key).sum(1, keepdim=True)
    scores = torch.cat([own, query @ first_queue(3, 4).T], 1) / 0.2
    torch.testing.assert_close(first, F.cross_entropy(scores, torch.zeros(3, dtype=torch.int64)))
    # Now the batch's own keys are the negatives, including the positive key.
    again = loss(projections, keys)
    scores = torch.cat([own, query @ key.T], 1) / 0.2
    torch.testing.assert_close(again, F.cross_entropy(scores, torch.zeros(3, dtype=torch.int64)))


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("temperature", [0.07, 0.2])
def test_with_all_cosines_alike_the_queue_loss_is_the_log_of_the_keys(size, temperature):
    loss = QueueContrast(2, queue_size=size, temperature=temperature)
    loss.queue.copy_(torch.tensor([1.0, 0.0]).expand(size, -1))
    queries, keys = torch.ones(2, 3, 2), torch.tensor([2.0, 0.0]).expand(2, 3, 2)
    assert float(loss(queries, keys)) == pytest.approx(math.log(size + 1), rel=1e-5)


def test_symmetric_is_the_mean_of_both_directions():
    (projections, keys), *_ = batches(5)
    both = QueueContrast(4, queue_size=8, symmetric=True)(projections, keys)
    forth = QueueContrast(4, queue_size=8)(projections, keys)
    back = QueueContrast(4, queue_size=8)(projections.flip(0), keys.flip(0))
    torch.testing.assert_close(both, (forth + back) / 2)


def test_no_gradient_reaches_a_key_or_the_queue():
    loss = QueueContrast(4, queue_size=4)
    for queries, keys in batches(3, 3, 3):
        queries, keys = queries.requires_grad_(), keys.requires_grad_()
        loss(queries, keys).backward()
        assert keys.grad is None
        assert queries.grad[0].abs().min() > 0
        assert not queries.grad[1].any()
        assert not loss.queue.requires_grad


def test_the_backward_pass_may_come_after_later_batches():
    loss = QueueContrast(4, queue_size=4)
    first, second = batches(3, 4)
    leaf = first[0].requires_grad_()
    score = loss(leaf, first[1])
    loss(*second)
    score.backward()
    alone = first[0].detach().clone().requires_grad_()
    QueueContrast(4, queue_size=4)(alone, first[1]).backward()
    assert torch.equal(leaf.grad, alone.grad)


def test_a_queue_goes_on_from_its_state_as_if_it_had_never_stopped():
    loss, resumed = QueueContrast(4, queue_size=5), QueueContrast(4, queue_size=5)
    *before, last = batches(3, 4, 2, 6)
    for batch in before:
        loss(*batch)
    assert set(loss.state_dict()) == {"queue", "oldest"}
    resumed.load_state_dict(loss.state_dict())
    assert torch.equal(loss(*last), resumed(*last))
    assert torch.equal(loss.queue, resumed.queue)


def test_in_eval_mode_the_queue_stands_still():
    loss = QueueContrast(4, queue_size=5)
    (batch,) = batches(3)
    loss.eval()(*batch)
    assert torch.equal(loss.queue, first_queue(5, 4))
    assert loss.oldest == 0


@pytest.mark.parametrize("make", [lambda: QueueContrast(4, queue_size=9), MomentumContrast])
def test_autocast_changes_nothing(make):
    (batch,) = batches(6)
    expected = make()(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(make()(*batch), expected)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_of_the_batch_is_the_sum_of_both_directions_times_twice_the_temperature(
    temperature,
):
    (predictions, keys), *_ = batches(5)
    expected = 0.0
    for query, key in ((predictions[0], keys[1]), (predictions[1], keys[0])):
        scores = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
        expected += 2 * temperature * F.cross_entropy(scores, torch.arange(5))
    found = MomentumContrast(temperature=temperature)(predictions, keys)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("count", [2, 9])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_collapsed_predictions_cost_the_log_of_the_batch(count, temperature):
    alike = torch.ones(2, count, 3)
    found = float(MomentumContrast(temperature=temperature)(alike, alike))
    assert found == pytest.approx(4 * temperature * math.log(count), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: QueueContrast(4, 3), "takes 1 or 2 views .* makes 3"),
        (lambda: MomentumContrast(1), "takes 2 views .* makes 1"),
        (lambda: MomentumContrast()(torch.ones(2, 1, 3), torch.ones(2, 1, 3)), "give at least 2"),
        (
            lambda: QueueContrast(4, queue_size=2)(torch.ones(2, 3, 5), torch.ones(2, 3, 5)),
            "keys of length 4, and projections are of length 5",
        ),
        (
            lambda: QueueContrast(4, queue_size=2)(torch.ones(2, 3, 4), torch.ones(2, 1, 4)),
            r"of one shape \(2, B, D\)",
        ),
        (
            lambda: MomentumContrast()(torch.ones(2, 3, 4), torch.ones(2, 3, 4).long()),
            "must be float",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_why(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


MAKES = [
    lambda: QueueContrast(4, queue_size=9),
    lambda: QueueContrast(4, queue_size=9, symmetric=True),
    MomentumContrast,
]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("cuts", [[0, 6], [0, 3, 6], [0, 2, 4, 6], [0, 1, 6], [0, 1, 3, 6]])
def test_the_mean_over_shares_of_the_images_is_the_loss_of_all(make, cuts):
    queries, keys = (item.double() for item in next(batches(6)))
    queries.requires_grad_()
    whole = make()(queries, keys)
    shares = [
        make()(queries, keys, rows=slice(start, stop)) * (stop - start) / 6
        for start, stop in pairwise(cuts)
    ]
    torch.testing.assert_close(sum(shares), whole, rtol=1e-12, atol=1e-12)
    found = sum(torch.autograd.grad(share, queries)[0] for share in shares)
    (expected,) = torch.autograd.grad(whole, queries)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_every_share_queues_the_keys_of_the_whole_batch(symmetric):
    made = [QueueContrast(4, queue_size=7, symmetric=symmetric) for _ in range(3)]
    for batch in batches(5, 3, 6):
        for loss, rows in zip(made, (None, slice(0, 1), slice(2, 3)), strict=True):
            loss(*batch, rows=rows)
    for loss in made[1:]:
        assert torch.equal(loss.queue, made[0].queue)
        assert torch.equal(loss.oldest, made[0].oldest)


@pytest.mark.parametrize("rows", [None, slice(1, 4)])
def test_a_query_of_the_student_and_a_key_of_the_teacher_alone_score_as_of_two_views(rows):
    generator = torch.Generator().manual_seed(4)
    student, teacher = torch.randn(2, 2, 5, 4, generator=generator).unbind()
    of_two, of_one = QueueContrast(4, 2, queue_size=8), QueueContrast(4, 1, queue_size=8)
    # Twice, so that the queue of the first batch counts.
    for _ in range(2):
        expected = of_two(student, teacher, rows)
        assert torch.equal(of_one(student[:1], teacher[1:], rows), expected)
    assert torch.equal(of_one.queue, of_two.queue)


def test_a_symmetric_loss_of_one_view_is_refused():
    with pytest.raises(ValueError, match="teacher_apart = false"):
        QueueContrast(4, 1, symmetric=True)
