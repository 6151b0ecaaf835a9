"""The cross-entropy over keys in chunks: the dense form's value and gradient, in little memory."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sslcore.contrastive import contrast
from sslcore.functional import unit_rows


def rows_of(count: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator, dtype=torch.float64).to(dtype)


def by_hand(queries, keys, own, temperature, left_out=None):
    """Query by query."""
    losses = []
    for i, query in enumerate(queries):
        logits = torch.stack([query @ key / temperature for key in keys])
        others = [k for k in range(len(keys)) if left_out is None or k != left_out[i]]
        losses.append(logits[others].logsumexp(0) - logits[own[i]])
    return torch.stack(losses).mean()


def with_gradients(loss, *inputs):
    return (loss, *torch.autograd.grad(loss, inputs))


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(1, 9),
    others=st.integers(0, 6),
    dim=st.integers(1, 5),
    chunk=st.integers(1, 10),
    temperature=st.sampled_from([0.01, 0.1, 1.0, 10.0]),
    seed=st.integers(0, 50),
)
def test_it_is_what_it_says_in_any_chunks(count, others, dim, chunk, temperature, seed):
    queries = rows_of(count, dim, seed).requires_grad_()
    keys = rows_of(count + others, dim, seed + 1).requires_grad_()
    own = torch.randperm(count + others, generator=torch.Generator().manual_seed(seed))[:count]
    found = with_gradients(
        contrast(queries, keys, own, temperature, chunk_size=chunk), queries, keys
    )
    expected = with_gradients(by_hand(queries, keys, own, temperature), queries, keys)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 / temperature)


@pytest.mark.parametrize("chunk", [1, 3, 8, 11, 12, None])
@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_a_key_may_be_left_out_and_queries_be_their_own_keys(chunk, temperature):
    rows = rows_of(12, 4).requires_grad_()
    itself = torch.arange(12)
    unit = unit_rows(rows)
    found = contrast(unit, unit, itself.roll(6), temperature, left_out=itself, chunk_size=chunk)
    expected = by_hand(unit, unit, itself.roll(6), temperature, itself)
    torch.testing.assert_close(found, expected)
    (one,) = torch.autograd.grad(found, rows, retain_graph=True)
    (other,) = torch.autograd.grad(expected, rows)
    torch.testing.assert_close(one, other)


def test_the_gradient_in_chunks_is_that_of_finite_differences():
    queries, keys = rows_of(5, 3).requires_grad_(), rows_of(7, 3, 1).requires_grad_()
    own = torch.tensor([3, 0, 6, 2, 2])
    assert torch.autograd.gradcheck(
        lambda q, k: contrast(q, k, own, 0.3, left_out=torch.arange(5) % 2 + 4, chunk_size=2),
        (queries, keys),
    )


def test_what_follows_the_loss_scales_its_gradient():
    rows = rows_of(6, 3).requires_grad_()
    own = torch.arange(6).roll(1)
    (once,) = torch.autograd.grad(contrast(rows, rows, own, 0.5, chunk_size=2), rows)
    loss = contrast(rows, rows, own, 0.5, chunk_size=2)
    (thrice,) = torch.autograd.grad(3 * loss + 1, rows)
    torch.testing.assert_close(thrice, 3 * once)


def test_only_what_asks_for_a_gradient_gets_one():
    queries, keys = rows_of(6, 3), rows_of(6, 3, 1).requires_grad_()
    own = torch.arange(6)
    contrast(queries, keys, own, 0.5, chunk_size=2).backward()
    assert queries.grad is None
    assert keys.grad is not None
    with torch.no_grad():
        assert not contrast(queries, keys, own, 0.5, chunk_size=2).requires_grad


def test_autocast_costs_no_digits():
    rows = rows_of(40, 8, dtype=torch.float32)
    own = torch.arange(40).roll(20)
    expected = contrast(rows, rows, own, 0.05, chunk_size=7)
    with torch.autocast("cpu", torch.bfloat16):
        found = contrast(rows, rows, own, 0.05, chunk_size=7)
    assert torch.equal(found, expected)


def test_the_same_in_every_run_to_the_bit():
    rows = rows_of(300, 16, dtype=torch.float32).requires_grad_()
    own = torch.arange(300).roll(150)
    runs = [with_gradients(contrast(rows, rows, own, 0.1, chunk_size=64), rows) for _ in range(3)]
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


@pytest.mark.parametrize("similarity", [1e4, -1e4])
def test_large_products_neither_overflow_nor_vanish(similarity):
    keys = torch.eye(4) * similarity
    own = torch.arange(4)
    for chunk in (1, 4):
        loss = contrast(torch.eye(4), keys, own, 0.5, chunk_size=chunk)
        expected = F.cross_entropy(torch.eye(4) @ keys / 0.5, own)
        torch.testing.assert_close(loss, expected)


def test_no_tensor_of_all_similarities_is_made():
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.extend(
                x.numel() for x in torch.utils._pytree.tree_leaves(out) if isinstance(x, Tensor)
            )
            return out

    rows = rows_of(4096, 8, dtype=torch.float32).requires_grad_()
    with Watch():
        contrast(rows, rows, torch.arange(4096).roll(1), 0.5).backward()
    # The default number of similarities in memory on a CPU: 4 MiB.
    assert max(made) <= 2**20
