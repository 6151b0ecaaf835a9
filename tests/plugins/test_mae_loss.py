"""Masked mean squared error: zero if exact, independent of visible patches, normalised if set."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.patches import cut, joined
from sslcore_mae.loss import MaskedMSE, masked_mean_squared_error, normalized

checked = settings(deadline=None, max_examples=15)
seeds = st.integers(0, 999)


def _drawn(seed, channels=2, grid=4, side=2, hidden=12):
    """Return reconstructions, targets (2, 3, C, h, h) and a mask (2, 3, L), in float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, channels, grid * side, grid * side)
    found, targets = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    ranks = torch.rand(2, 3, grid**2, generator=generator).argsort(-1)
    return found, targets, ranks < hidden


@checked
@given(seed=seeds, channels=st.integers(1, 3), grid=st.integers(1, 4), side=st.integers(1, 3))
def test_value_is_the_mean_of_a_loop_over_hidden_patches(seed, channels, grid, side):
    hidden = max(1, grid**2 // 2)
    found, targets, mask = _drawn(seed, channels, grid, side, hidden)
    squares = []
    for view, image, place in mask.nonzero().tolist():
        rows = slice(place // grid * side, (place // grid + 1) * side)
        columns = slice(place % grid * side, (place % grid + 1) * side)
        difference = found[view, image, :, rows, columns] - targets[view, image, :, rows, columns]
        squares += difference.square().flatten().tolist()
    loss = MaskedMSE()(found, targets, mask)
    assert loss.item() == pytest.approx(sum(squares) / len(squares), rel=1e-12)


@checked
@given(seed=seeds)
def test_an_exact_reconstruction_of_what_is_hidden_costs_nothing(seed):
    found, targets, mask = _drawn(seed)
    exact = joined(cut(targets, 2).where(mask[..., None], cut(found, 2)), 2, 2)
    assert MaskedMSE()(exact, targets, mask) == 0
    standard = joined(normalized(cut(targets, 2)), 2, 2)
    assert MaskedMSE(normalize_targets=True)(standard, targets, mask) == 0


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("other", [7.0, 1e300, torch.nan])
def test_what_is_visible_has_no_part_in_loss_or_gradient(normalize, other):
    found, targets, mask = _drawn(0)
    loss = MaskedMSE(normalize_targets=normalize)
    expected = loss(found, targets, mask)
    visible = ~mask[..., None]
    found, targets = (
        joined(cut(item, 2).masked_fill(visible, other), 2, 2) for item in (found, targets)
    )
    found.requires_grad_()
    value = loss(found, targets, mask)
    assert value == expected
    value.backward()
    gradient = cut(found.grad, 2)
    assert not gradient.masked_select(visible).any()
    assert gradient.masked_select(~visible).all()


@checked
@given(seed=seeds, scale=st.floats(0.5, 100), shift=st.floats(-100, 100))
def test_normalised_patches_have_mean_0_and_variance_1(seed, scale, shift):
    patches = cut(_drawn(seed)[0], 2) * scale + shift
    found = normalized(patches)
    zeros = torch.zeros(found.shape[:-1], dtype=found.dtype)
    torch.testing.assert_close(found.mean(-1), zeros, atol=1e-9, rtol=0)
    # Less than 1 by no more than 1e-6 in the variance of the least varied patch.
    torch.testing.assert_close(found.var(-1), zeros + 1, atol=1e-3, rtol=0)


@checked
@given(seed=seeds, scale=st.floats(0.5, 10), shift=st.floats(-10, 10))
def test_with_normalised_targets_brightness_and_contrast_of_a_target_do_not_count(
    seed, scale, shift
):
    found, targets, mask = _drawn(seed)
    loss = MaskedMSE(normalize_targets=True)
    moved = loss(found, targets * scale + shift, mask)
    torch.testing.assert_close(moved, loss(found, targets, mask), rtol=1e-3, atol=1e-6)


def test_normalised_targets_are_those_of_the_papers_code_by_hand():
    targets = torch.tensor([[0.0, 2.0], [4.0, 6.0]], dtype=torch.float64).view(1, 1, 1, 2, 2)
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    zeros = torch.zeros_like(targets)
    # Less 3, the numbers are -3, -1, 1, 3; squared they sum to 20, and their variance is 20 / 3.
    expected = (20 / (20 / 3 + 1e-6)) / 4
    assert MaskedMSE(normalize_targets=True)(zeros, targets, mask).item() == pytest.approx(expected)
    assert MaskedMSE()(zeros, targets, mask).item() == pytest.approx((0 + 4 + 16 + 36) / 4)


def test_patches_of_one_colour_or_one_number_become_zeros():
    assert not normalized(torch.full((3, 4), 0.3)).any()
    assert not normalized(torch.rand(3, 1)).any()


def test_targets_come_before_views():
    found, targets, mask = _drawn(0)
    loss = MaskedMSE()
    views = torch.zeros_like(targets)
    assert loss(found, views, mask, targets) == loss(found, targets, mask)
    assert loss(found, views, mask) != loss(found, targets, mask)


def test_where_nothing_is_hidden_the_loss_is_0_and_so_is_its_gradient():
    found, targets, mask = _drawn(0, hidden=0)
    found.requires_grad_()
    loss = MaskedMSE()(found, targets, mask)
    loss.backward()
    assert loss == 0
    assert not found.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_returns_the_type_it_was_given(dtype):
    found, targets, mask = _drawn(0)
    loss = MaskedMSE()(found.to(dtype), targets.to(dtype), mask)
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(MaskedMSE()(found, targets, mask).item(), rel=0.02)


_FOUND, _TARGETS, _MASK = _drawn(0)


@pytest.mark.parametrize(
    ("found", "targets", "mask", "said"),
    [
        (_FOUND, _TARGETS[:, :1], _MASK, "but what they should look like has"),
        (_FOUND, _TARGETS[:, :, :1], _MASK, "but what they should look like has"),
        (_FOUND[0], _TARGETS[0], _MASK, r"both must be \(V, B, C, h, w\)"),
        (_FOUND, _TARGETS, _MASK[:, :1], r"mask must be \(2, 3\) by L"),
        (_FOUND, _TARGETS, _MASK[:1], r"mask must be \(2, 3\) by L"),
        (_FOUND, _TARGETS, _MASK.double(), r"mask must be .* bool"),
        (_FOUND, _TARGETS, _MASK[..., :-1], "mask has 15 entries"),
        (_FOUND, _TARGETS, _MASK[..., :0], "mask has 0 entries"),
        (_FOUND, _TARGETS, _MASK.repeat(1, 1, 9), "mask has 144 entries"),
        (_FOUND[:, :0], _TARGETS[:, :0], _MASK[:, :0], "nothing to compare"),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_shapes_that_dont_go_together_are_refused(found, targets, mask, said, normalize):
    with pytest.raises(ValueError, match=said):
        masked_mean_squared_error(found, targets, mask, normalize_targets=normalize)
