"""NT-Xent: closed forms, bounds and invariances, and a loop in float64 as reference."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from sslcore_simclr.losses import NTXent, nt_xent

EPSILON = torch.finfo(torch.float64).eps
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
temperatures = st.sampled_from([0.05, 0.1, 0.5, 1.0, 3.0])
checked = settings(deadline=None, max_examples=30)


@st.composite
def pairs(draw: st.DrawFn) -> Tensor:
    """Projections (2, N, D) in float64, without rows close to zero."""
    shape = (2, draw(st.integers(2, 5)), draw(st.integers(1, 5)))
    values = st.floats(-4, 4, width=32, allow_subnormal=False)
    drawn = torch.from_numpy(draw(arrays(np.float64, shape, elements=values, fill=st.nothing())))
    short = drawn.norm(dim=-1, keepdim=True) < 0.1
    return torch.where(short, torch.ones_like(drawn), drawn)


def similarities(projections: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(projections.double().flatten(0, 1), dim=-1)
    return unit @ unit.T


def reference(projections: Tensor, temperature: float) -> Tensor:
    """Equation (1) of SimCLR, term by term."""
    rows = projections.double().flatten(0, 1)
    count = len(rows) // 2
    unit = [row / row.square().sum().sqrt() for row in rows]
    terms = []
    for i in range(2 * count):
        others = [unit[i] @ unit[k] / temperature for k in range(2 * count) if k != i]
        positive = unit[i] @ unit[(i + count) % (2 * count)] / temperature
        terms.append(torch.logsumexp(torch.stack(others), dim=0) - positive)
    return torch.stack(terms).mean()


def tolerance(dtype: torch.dtype, temperature: float, loss: float) -> float:
    return 8 * torch.finfo(dtype).eps * (1 + 2 / temperature + abs(loss))


def assert_equal_losses(found: Tensor, expected: Tensor | float, temperature: float) -> None:
    value = float(expected)
    assert abs(found.item() - value) <= tolerance(found.dtype, temperature, value)


def with_similarities(gram: Tensor) -> Tensor:
    """Return unit rows (2, N, 2N) whose products are `gram` (2N, 2N)."""
    values, vectors = torch.linalg.eigh(gram)
    return (vectors * values.clamp_min(0).sqrt()).unflatten(0, (2, -1))


def uniform_pairs(count: int, positive: float, negative: float) -> Tensor:
    """Return pairs at similarity `positive`, with all others at `negative`."""
    gram = torch.full((2 * count, 2 * count), negative, dtype=torch.float64)
    index = torch.arange(2 * count)
    gram[index, index.roll(count)] = positive
    gram[index, index] = 1.0
    return with_similarities(gram)


@pytest.mark.parametrize("dtype", DTYPES)
@given(drawn=pairs(), temperature=temperatures)
@checked
def test_value_and_gradient_are_those_of_the_loop(dtype, drawn, temperature):
    found = drawn.to(dtype).requires_grad_()
    exact = found.detach().double().requires_grad_()
    loss, expected = nt_xent(found, temperature), reference(exact, temperature)
    assert loss.dtype == dtype
    assert_equal_losses(loss, expected.detach(), temperature)
    loss.backward()
    expected.backward()
    largest = 1 / (temperature * exact.detach().norm(dim=-1).min())
    allowed = 8 * torch.finfo(dtype).eps * (1 + 2 / temperature) * largest
    assert (found.grad.double() - exact.grad).abs().max() <= allowed


@given(pairs(), temperatures, st.randoms(use_true_random=False))
@checked
def test_the_order_of_the_images_and_of_the_views_is_no_matter(drawn, temperature, random):
    order = list(range(drawn.shape[1]))
    random.shuffle(order)
    loss = nt_xent(drawn, temperature)
    assert_equal_losses(nt_xent(drawn[:, order], temperature), loss, temperature)
    assert_equal_losses(nt_xent(drawn.flip(0), temperature), loss, temperature)


@given(pairs(), temperatures, st.data())
@checked
def test_a_positive_scale_per_row_changes_nothing(drawn, temperature, data):
    scale = arrays(np.float64, (*drawn.shape[:2], 1), elements=st.floats(0.01, 100))
    scaled = drawn * torch.from_numpy(data.draw(scale))
    assert_equal_losses(nt_xent(scaled, temperature), nt_xent(drawn, temperature), temperature)


@given(pairs(), temperatures, st.integers(0, 100))
@checked
def test_a_joint_rotation_changes_nothing(drawn, temperature, seed):
    size = drawn.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(size, size, dtype=torch.float64, generator=generator)
    turned = drawn @ torch.linalg.qr(square).Q
    assert_equal_losses(nt_xent(turned, temperature), nt_xent(drawn, temperature), temperature)


@given(pairs(), temperatures, st.integers(1, 5))
@checked
def test_further_dimensions_of_zeros_change_nothing(drawn, temperature, more):
    padded = torch.nn.functional.pad(drawn, (0, more))
    assert_equal_losses(nt_xent(padded, temperature), nt_xent(drawn, temperature), temperature)


@given(pairs(), temperatures)
@checked
def test_the_gradient_is_orthogonal_to_each_projection(drawn, temperature):
    drawn.requires_grad_()
    nt_xent(drawn, temperature).backward()
    along = (drawn.grad * drawn.detach()).sum(-1).abs().max()
    assert along <= 64 * EPSILON * (1 + 1 / temperature)


@given(pairs(), temperatures)
@checked
def test_the_loss_lies_within_its_bounds(drawn, temperature):
    loss, count = nt_xent(drawn, temperature).item(), drawn.shape[1]
    negatives, slack = 2 * count - 2, tolerance(torch.float64, temperature, 2 / temperature)
    lowest = math.log1p(negatives * math.exp(-2 / temperature))
    highest = math.log1p(negatives * math.exp(2 / temperature))
    assert lowest - slack <= loss <= highest + slack
    assert abs(loss - math.log(negatives + 1)) <= 2 / temperature + slack
    table = similarities(drawn).fill_diagonal_(-math.inf)
    positive = table[torch.arange(2 * count), torch.arange(2 * count).roll(count)]
    hardest = (table.max(-1).values - positive).mean().item()
    scaled = temperature * loss
    assert hardest - slack <= scaled <= hardest + temperature * math.log(negatives + 1) + slack


@given(st.integers(2, 6), st.floats(-1, 1), st.floats(-1, 1), temperatures)
@checked
def test_pairs_at_one_similarity_and_all_others_at_another_have_a_closed_form(
    count, positive, negative, temperature
):
    assume(1 + positive >= 2 * negative)
    assume(1 + positive + 2 * (count - 1) * negative >= 0)
    drawn = uniform_pairs(count, positive, negative)
    expected = math.log1p((2 * count - 2) * math.exp((negative - positive) / temperature))
    # The rows come from an eigendecomposition, whose own error is a few ulps of a similarity.
    slack = 100 * EPSILON * (1 + 1 / temperature + expected)
    assert abs(nt_xent(drawn, temperature).item() - expected) <= slack


@pytest.mark.parametrize("count", [2, 3, 17])
def test_collapse_costs_the_logarithm_of_what_there_is_to_choose_from(count):
    collapsed = torch.ones(2, count, 4, dtype=torch.float64)
    assert_equal_losses(nt_xent(collapsed, 0.5), math.log(2 * count - 1), 0.5)


@given(pairs(), temperatures)
@checked
def test_over_all_ways_to_pair_the_views_the_mean_is_at_least_log_n(drawn, temperature):
    count = drawn.shape[1]
    losses = [
        nt_xent(torch.stack((drawn[0], drawn[1].roll(shift, 0))), temperature).item()
        for shift in range(count)
    ]
    slack = tolerance(torch.float64, temperature, max(losses))
    assert sum(losses) / count >= math.log(count) - slack


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_pairing_orthonormal_images_wrongly_raises_the_loss(temperature):
    basis = torch.eye(4, dtype=torch.float64)
    right = nt_xent(torch.stack((basis, basis)), temperature)
    wrong = nt_xent(torch.stack((basis, basis.roll(1, 0))), temperature)
    assert wrong > right + 0.1


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_loss_falls_with_a_pairs_similarity_and_rises_with_the_others(temperature):
    closer = [nt_xent(uniform_pairs(3, s, 0.1), temperature) for s in (0.0, 0.3, 0.6, 0.9)]
    assert all(before > after for before, after in pairwise(closer))
    nearer = [nt_xent(uniform_pairs(3, 0.5, r), temperature) for r in (-0.2, 0.0, 0.3, 0.6)]
    assert all(before < after for before, after in pairwise(nearer))


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_gradient_is_the_numerical_one(temperature):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda rows: nt_xent(rows, temperature), (drawn,))


def test_the_loss_is_a_scalar_with_a_gradient_for_both_views():
    drawn = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = NTXent(temperature=0.2)(drawn)
    assert loss.shape == ()
    loss.backward()
    assert (drawn.grad.abs().sum((1, 2)) > 0).all()
    assert torch.equal(loss, nt_xent(drawn, 0.2))


def test_the_loss_changes_neither_its_input_nor_the_random_state_and_keeps_nothing():
    module = NTXent()
    drawn = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    before, version, state = drawn.clone(), drawn._version, torch.get_rng_state()
    first = module(drawn)
    module(torch.ones(2, 9, 5))
    assert torch.equal(module(drawn), first)
    assert torch.equal(drawn, before)
    assert drawn._version == version
    assert torch.equal(torch.get_rng_state(), state)
    assert not module.state_dict()


@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_huge_and_tiny_projections_have_a_finite_loss(dtype):
    limits = torch.finfo(dtype)
    drawn = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    drawn[0, 0] = 0.0
    drawn[1, 1] = limits.max
    drawn[0, 2, 0], drawn[0, 2, 1:] = limits.tiny, 0.0
    drawn[1, 3] = -limits.max
    loss = nt_xent(drawn, 0.1)
    assert loss.isfinite()
    tame = drawn.double()
    tame[1, 1], tame[1, 3] = 1.0, -1.0
    tame[0, 2, 0] = 1.0
    tame[0, 0] = 0.0
    assert_equal_losses(loss, nt_xent(tame, 0.1), 0.1)


def test_rows_of_zeros_are_as_far_from_all_others_and_have_a_finite_gradient():
    zeros = torch.zeros(2, 3, 4, requires_grad=True)
    loss = nt_xent(zeros, 0.5)
    loss.backward()
    assert_equal_losses(loss.detach(), math.log(5), 0.5)
    assert zeros.grad.isfinite().all()
    drawn = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    drawn[0, 1] = 0.0
    drawn.requires_grad_()
    nt_xent(drawn, 0.5).backward()
    assert drawn.grad.isfinite().all()
    assert drawn.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_projections_are_scored_in_full_precision(dtype):
    drawn = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    for temperature in (0.05, 0.5, 5.0):
        exact = nt_xent(drawn.float(), temperature).to(dtype)
        assert torch.equal(nt_xent(drawn, temperature), exact)


def test_the_similarity_of_a_row_with_itself_is_left_out_at_any_temperature():
    drawn = uniform_pairs(2, -1 / 3, -1 / 3)
    assert nt_xent(drawn, 1e-6).item() == pytest.approx(math.log(3), abs=1e-6)


def test_autocast_does_not_lower_the_precision():
    drawn = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = nt_xent(drawn, 0.1)
    assert torch.equal(cast, nt_xent(drawn, 0.1))


@pytest.mark.parametrize(
    "shape", [(4, 8), (8,), (1, 4, 8), (3, 4, 8), (2, 4, 8, 1), (2, 0, 8), (2, 1, 8), (2, 4, 0)]
)
def test_anything_but_two_views_of_two_or_more_images_is_an_error(shape):
    with pytest.raises(ValueError, match="NT-Xent"):
        nt_xent(torch.ones(shape), 0.5)


def test_projections_of_integers_are_an_error():
    with pytest.raises(ValueError, match="float projections"):
        nt_xent(torch.ones(2, 3, 4, dtype=torch.int64), 0.5)


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.nan])
def test_a_temperature_that_is_not_positive_is_an_error(temperature):
    with pytest.raises(ValueError, match="temperature: expected a number > 0"):
        NTXent(temperature=temperature)
    with pytest.raises(ValueError, match="temperature: expected a number > 0"):
        nt_xent(torch.ones(2, 2, 2), temperature)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("cuts", [[0, 9], [0, 3, 6, 9], [0, 4, 9], [0, 1, 2, 9]])
def test_the_mean_over_shares_of_the_images_is_the_loss_of_all(chunk, cuts):
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 9, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    module = NTXent(temperature=0.2, chunk_size=chunk)
    shares = [
        module(drawn, rows=slice(start, stop)) * (stop - start) / 9
        for start, stop in pairwise(cuts)
    ]
    whole = module(drawn)
    torch.testing.assert_close(sum(shares), whole, rtol=1e-12, atol=1e-12)
    found = sum(torch.autograd.grad(share, drawn)[0] for share in shares)
    (expected,) = torch.autograd.grad(whole, drawn)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_share_is_the_mean_over_both_views_of_its_images():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    table = similarities(drawn) / 0.3
    table.fill_diagonal_(-math.inf)
    index = torch.arange(10)
    each = table.logsumexp(1) - table[index, index.roll(5)]
    found = nt_xent(drawn, 0.3, rows=slice(1, 3))
    torch.testing.assert_close(found, each[[1, 2, 6, 7]].mean())
