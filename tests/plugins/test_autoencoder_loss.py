"""Mean squared error: zero iff equal, its closed forms, and no silent broadcast."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from sslcore_autoencoder.loss import MSE, mean_squared_error

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
checked = settings(deadline=None, max_examples=20)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Reconstructions and targets (V, B, C, h, w) in float64."""
    shape = (2, *(draw(st.integers(1, size)) for size in (2, 3, 2, 3, 3)))
    values = st.floats(-4, 4, width=32, allow_subnormal=False)
    drawn = torch.from_numpy(draw(arrays(np.float64, shape, elements=values, fill=st.nothing())))
    return drawn[0], drawn[1]


@pytest.mark.parametrize("dtype", DTYPES)
@checked
@given(pair=pairs())
def test_value_is_that_of_a_float64_loop_to_rounding(dtype, pair):
    found, targets = (item.to(dtype) for item in pair)
    entries = zip(found.double().flatten(), targets.double().flatten(), strict=True)
    squares = [(float(x) - float(y)) ** 2 for x, y in entries]
    expected = sum(squares) / len(squares)
    loss = mean_squared_error(found, targets)
    assert loss.dtype == dtype
    assert loss.shape == ()
    limits = torch.finfo(dtype)
    assert loss.item() == pytest.approx(expected, rel=8 * limits.eps, abs=limits.tiny)


@checked
@given(pair=pairs())
def test_loss_is_zero_where_equal_and_positive_elsewhere(pair):
    found, targets = pair
    assert mean_squared_error(found, found.clone()).item() == 0.0
    differs = not torch.equal(found, targets)
    assert (mean_squared_error(found, targets).item() > 0) == differs


@checked
@given(pair=pairs())
def test_gradient_is_twice_the_difference_over_the_number_of_entries(pair):
    found, targets = pair[0].clone().requires_grad_(), pair[1]
    (gradient,) = torch.autograd.grad(mean_squared_error(found, targets), found)
    torch.testing.assert_close(gradient, 2 * (pair[0] - targets) / found.numel())


@checked
@given(pair=pairs(), scale=st.floats(-3, 3), shift=st.floats(-3, 3), part=st.floats(0, 1))
def test_loss_is_quadratic_in_the_difference_alone(pair, scale, shift, part):
    found, targets = pair
    loss = mean_squared_error(found, targets)
    scaled = mean_squared_error(scale * found, scale * targets)
    torch.testing.assert_close(scaled, scale**2 * loss, rtol=1e-9, atol=1e-9)
    moved = mean_squared_error(found + shift, targets + shift)
    torch.testing.assert_close(moved, loss, rtol=1e-9, atol=1e-9)
    nearer = mean_squared_error(part * found + (1 - part) * targets, targets)
    torch.testing.assert_close(nearer, part**2 * loss, rtol=1e-9, atol=1e-9)


@checked
@given(pair=pairs())
def test_rotation_of_both_and_a_doubled_batch_do_not_matter(pair):
    found, targets = pair
    loss = mean_squared_error(found, targets)
    generator = torch.Generator().manual_seed(0)
    size = found.shape[-1]
    turn = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=found.dtype))[0]
    turned = mean_squared_error(found @ turn, targets @ turn)
    torch.testing.assert_close(turned, loss, rtol=1e-9, atol=1e-9)
    doubled = mean_squared_error(torch.cat([found, found], 1), torch.cat([targets, targets], 1))
    torch.testing.assert_close(doubled, loss)


def test_differences_whose_square_overflows_half_precision_are_summed_in_single():
    found = torch.zeros(1, 1, 1, 1, 64, dtype=torch.float16)
    targets = found.clone()
    targets[..., 0] = 1024
    assert mean_squared_error(found, targets).item() == 1024**2 / 64


def test_module_compares_with_targets_and_with_views_where_there_are_none():
    found, views, targets = torch.rand(3, 1, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    loss = MSE()
    assert torch.equal(loss(found, views), mean_squared_error(found, views))
    assert torch.equal(loss(found, views, targets), mean_squared_error(found, targets))


def test_inputs_and_global_randomness_are_left_alone():
    found, targets = torch.rand(2, 1, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    before, version, state = found.clone(), found._version, torch.get_rng_state()
    first = MSE()(found, targets)
    assert torch.equal(MSE()(found, targets), first)
    assert torch.equal(found, before)
    assert found._version == version
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("found", "targets"),
    [
        ((1, 4, 3, 5, 5), (1, 1, 3, 5, 5)),
        ((1, 4, 3, 5, 5), (1, 4, 1, 5, 5)),
        ((1, 4, 3, 5, 5), (4, 3, 5, 5)),
        ((1, 4, 3, 5, 5), (1, 4, 3, 5, 6)),
    ],
)
def test_unequal_shapes_are_refused_even_where_they_would_broadcast(found, targets):
    with pytest.raises(ValueError, match="must be equal"):
        mean_squared_error(torch.ones(found), torch.ones(targets))


def test_empty_batch_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        mean_squared_error(torch.ones(1, 0, 3, 5, 5), torch.ones(1, 0, 3, 5, 5))
