"""Comparison of unit rows in both directions: the general form's results, in little memory."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslcore.contrastive import blocks, contrast, contrast_both_ways, contrast_views
from sslcore.functional import unit_rows
from sslcore.testing import LossSpec, check
from sslcore_infonce.loss import InfoNCE
from sslcore_simclr.losses import NTXent


def views_of(count: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, dim, generator=generator, dtype=torch.float64).to(dtype)


def among_all(views: Tensor, temperature: float, chunk_size: int | None = None) -> Tensor:
    """NT-Xent by the general form."""
    rows, itself = views.flatten(0, 1), torch.arange(2 * views.shape[1])
    own = itself.roll(views.shape[1])
    return contrast(rows, rows, own, temperature, left_out=itself, chunk_size=chunk_size)


def there_and_back(views: Tensor, temperature: float, chunk_size: int | None = None) -> Tensor:
    """The mean of both directions by the general form."""
    own = torch.arange(views.shape[1])
    pairs = ((views[0], views[1]), (views[1], views[0]))
    losses = [contrast(*pair, own, temperature, chunk_size=chunk_size) for pair in pairs]
    return torch.stack(losses).mean()


def both_ways(views: Tensor, temperature: float, **options) -> Tensor:
    return contrast_both_ways(views[0], views[1], temperature, **options)


FORMS = pytest.mark.parametrize(
    ("form", "general"), [(contrast_views, among_all), (both_ways, there_and_back)]
)


def with_gradient(loss, drawn: Tensor) -> tuple[Tensor, Tensor]:
    leaf = drawn.clone().requires_grad_()
    value = loss(unit_rows(leaf))
    # Twice the loss, so that the incoming gradient is not 1.
    (gradient,) = torch.autograd.grad(2 * value, leaf)
    return value.detach(), gradient


@FORMS
@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(2, 9),
    dim=st.integers(1, 5),
    chunk=st.integers(1, 18),
    temperature=st.sampled_from([0.001, 0.01, 0.1, 1.0, 10.0]),
    seed=st.integers(0, 50),
)
def test_in_blocks_of_any_height_it_is_the_general_form(
    form, general, count, dim, chunk, temperature, seed
):
    drawn = views_of(count, dim, seed)
    found = with_gradient(partial(form, temperature=temperature, chunk_size=chunk), drawn)
    expected = with_gradient(partial(general, temperature=temperature, chunk_size=99), drawn)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12 / temperature)


@FORMS
@pytest.mark.parametrize("sides", [(1, 2), (2, 5), (3, 3), (4, 64)])
def test_blocks_of_any_sides_agree(form, general, sides, monkeypatch):
    monkeypatch.setitem(blocks.SIDES, "cpu", sides)
    drawn = views_of(23, 4)
    found = with_gradient(partial(form, temperature=0.2), drawn)
    expected = with_gradient(partial(general, temperature=0.2), drawn)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@FORMS
@pytest.mark.parametrize("temperature", [0.013, 0.014, 0.02, 0.1, 1.0])
@pytest.mark.parametrize("apart", ["alike", "opposite", "zero", "drawn"])
def test_float32_keeps_its_digits_where_powers_are_largest_and_smallest(
    form, general, temperature, apart
):
    # At a temperature of about 1/75, exponentials leave float32; blocks are used on one side of it.
    drawn = views_of(400, 8, dtype=torch.float32)
    if apart == "alike":
        drawn = drawn[:, :1].expand(2, 400, 8).contiguous()
    elif apart == "opposite":
        drawn[:, 1:] = -drawn[:, :1]
    elif apart == "zero":
        drawn[:, ::2] = 0
    drawn = unit_rows(drawn)
    found = with_gradient(partial(form, temperature=temperature, chunk_size=90), drawn)
    exact = with_gradient(partial(general, temperature=temperature), drawn.double())
    tolerance = 8 * torch.finfo(torch.float32).eps * (1 + 2 / temperature + abs(float(exact[0])))
    assert abs(float(found[0]) - float(exact[0])) <= tolerance
    # A row affects its own loss and its share of the others', 4/τ in total, of 800.
    assert (found[1] - exact[1]).abs().max() <= tolerance * 4 / (temperature * 400)


@FORMS
def test_too_low_a_temperature_for_powers_takes_the_general_form(form, general):
    drawn = unit_rows(views_of(20, 4, dtype=torch.float32))
    lowest = 1 / (-math.log(torch.finfo(torch.float32).tiny) - 2 - math.log(40))
    used = []
    original = blocks.BothWays.apply
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            blocks.BothWays, "apply", lambda *given: (used.append(given), original(*given))[1]
        )
        form(drawn, 0.99 * lowest, chunk_size=3)
        assert not used
        form(drawn, 1.05 * lowest, chunk_size=3)
        assert len(used) == 1


@FORMS
def test_the_gradient_in_blocks_is_that_of_finite_differences(form, general):
    drawn = views_of(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: form(unit_rows(x), 0.3, chunk_size=3), (drawn,))


def test_only_the_side_that_asks_for_a_gradient_gets_one():
    first, second = unit_rows(views_of(7, 3))
    _, whole = with_gradient(lambda views: both_ways(views, 0.4), torch.stack((first, second)))
    for leaf, still, place in ((first, second, 0), (second, first, 1)):
        leaf = leaf.clone().requires_grad_()
        pair = (leaf, still) if place == 0 else (still, leaf)
        (found,) = torch.autograd.grad(contrast_both_ways(*pair, 0.4, chunk_size=2), leaf)
        # The expected gradient passes through `unit_rows`, which removes the part along the rows.
        found = found - (found * leaf).sum(-1, keepdim=True) * leaf
        torch.testing.assert_close(2 * found.detach(), whole[place], rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        assert not contrast_views(torch.stack((first, second)), 0.4, chunk_size=2).requires_grad


@FORMS
def test_autocast_costs_no_digits_forward_or_backward(form, general):
    drawn = views_of(40, 8, dtype=torch.float32)
    expected = with_gradient(partial(form, temperature=0.05, chunk_size=7), drawn)
    with torch.autocast("cpu", torch.bfloat16):
        found = with_gradient(partial(form, temperature=0.05, chunk_size=7), drawn)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@FORMS
def test_the_same_in_every_run_to_the_bit(form, general):
    drawn = views_of(300, 16, dtype=torch.float32)
    runs = [with_gradient(partial(form, temperature=0.1), drawn) for _ in range(3)]
    for run in runs[1:]:
        assert all(torch.equal(one, other) for one, other in zip(run, runs[0], strict=True))


@FORMS
def test_what_is_no_number_shows(form, general):
    drawn = views_of(30, 4)
    drawn[1, 29, 3] = torch.nan
    assert form(unit_rows(drawn), 0.1, chunk_size=7).isnan()


@FORMS
def test_no_tensor_of_all_similarities_is_made(form, general):
    made = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.extend(
                x.numel() for x in torch.utils._pytree.tree_leaves(out) if isinstance(x, Tensor)
            )
            return out

    leaf = views_of(3000, 8, dtype=torch.float32).requires_grad_()
    with Watch():
        form(leaf, 0.5).backward()
    assert max(made) <= 2**20


@pytest.mark.parametrize(
    ("make", "family"),
    [
        (lambda temperature: NTXent(temperature=temperature, chunk_size=3), "nt-xent"),
        pytest.param(
            lambda temperature: InfoNCE(temperature=temperature, symmetric=True, chunk_size=2),
            "infonce-symmetric",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_in_blocks_a_loss_conforms_to_its_family(make, family):
    report = check(LossSpec(make=make, family=family), mutation=False)
    assert report.passed, str(report)


# Shares of a batch


def shares_of(form, drawn: Tensor, cuts: list[int]) -> tuple[Tensor, Tensor]:
    """Return the mean over the shares of a batch, weighted by their numbers of rows."""
    parts = [
        [
            (stop - start) / drawn.shape[1] * item
            for item in with_gradient(partial(form, rows=slice(start, stop)), drawn)
        ]
        for start, stop in pairwise(cuts)
    ]
    value, gradient = (torch.stack(items).sum(0) for items in zip(*parts, strict=True))
    return value, gradient


CUTS = pytest.mark.parametrize(
    "cuts", [[0, 12], [0, 6, 12], [0, 4, 8, 12], [0, 5, 12], [0, 1, 3, 12]]
)


@CUTS
@FORMS
@pytest.mark.parametrize("chunk", [None, 2, 5])
def test_the_mean_over_shares_is_the_whole(form, general, cuts, chunk):
    drawn = views_of(12, 5)
    form = partial(form, temperature=0.2, chunk_size=chunk)
    found, expected = shares_of(form, drawn, cuts), with_gradient(form, drawn)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@FORMS
@pytest.mark.parametrize("rows", [slice(3, 3), slice(12, 14), slice(0, 6, 2), slice(5, 2)])
def test_rows_that_are_no_positions_are_refused_in_one_line(form, general, rows):
    with pytest.raises(ValueError, match="neighbouring positions among the 12 images") as caught:
        form(views_of(12, 3), 0.5, rows=rows)
    assert "\n" not in str(caught.value)
