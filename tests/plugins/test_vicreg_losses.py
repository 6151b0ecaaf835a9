"""VICReg and Barlow Twins: closed forms, a loop as reference, more views, and errors."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from sslcore_vicreg.losses import BarlowTwins, VICReg

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
LOSSES = [VICReg(), BarlowTwins(redundancy_weight=0.5)]
checked = settings(deadline=None, max_examples=30)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


@st.composite
def projections(draw: st.DrawFn, most: int = 2) -> Tensor:
    """Projections (V, N, D) in float64, without nearly constant dimensions."""
    shape = (draw(st.integers(2, most)), draw(st.integers(3, 6)), draw(st.integers(1, 4)))
    values = st.integers(-12, 12).map(lambda number: number / 4)
    drawn = torch.from_numpy(draw(arrays(np.float64, shape, elements=values, fill=st.nothing())))
    bump = torch.eye(shape[1], dtype=torch.float64)[torch.arange(shape[2]) % shape[1]].T
    return drawn + bump * (drawn.std(1, keepdim=True) < 0.2)


def columns(count: int, number: int) -> Tensor:
    """Columns (N, number) of mean 0 and variance 1 (over N − 1) that are not correlated."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(count, number, generator=generator, dtype=torch.float64)
    start = torch.cat([torch.ones(count, 1, dtype=torch.float64), drawn], 1)
    return torch.linalg.qr(start)[0][:, 1:] * (count - 1) ** 0.5


def vicreg_by_hand(pair: Tensor, similarity: float, variance: float, covariance: float) -> float:
    """Equations (1) to (6) in NumPy, with the averages of the authors' code."""
    first, second = pair.numpy()
    distance = ((first - second) ** 2).mean()
    hinge = overlap = 0.0
    for view in (first, second):
        table = np.atleast_2d(np.cov(view.T))
        deviations = np.sqrt(np.diag(table) + 1e-4)
        hinge += np.maximum(0, 1 - deviations).mean() / 2
        overlap += sum(table[i, j] ** 2 for i, j in permutations(range(len(table)), 2))
    return similarity * distance + variance * hinge + covariance * overlap / len(table)


def barlow_by_hand(pair: Tensor, weight: float) -> float:
    """Equations (1) and (2), with NumPy's correlations."""
    first, second = pair.numpy()
    total = 0.0
    for i in range(first.shape[1]):
        for j in range(first.shape[1]):
            correlation = np.corrcoef(first[:, i], second[:, j])[0, 1]
            total += (1 - correlation) ** 2 if i == j else weight * correlation**2
    return total


@given(projections(), st.sampled_from([(25, 25, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 3, 5)]))
@checked
def test_vicreg_is_its_equations_with_the_averages_of_the_authors_code(pair, weights):
    names = ("similarity", "variance", "covariance")
    loss = VICReg(**dict(zip(names, map(float, weights), strict=True)))
    assert loss(pair).item() == pytest.approx(vicreg_by_hand(pair, *weights), abs=1e-9, rel=1e-12)


@given(projections(), st.sampled_from([0.0, 0.005, 1.0]))
@checked
def test_barlow_twins_is_its_equations(pair, weight):
    found = BarlowTwins(redundancy_weight=weight)(pair).item()
    assert found == pytest.approx(barlow_by_hand(pair, weight), abs=1e-9)


@each_loss
@given(drawn=projections(most=4))
@checked
def test_of_more_than_two_views_it_is_the_mean_over_all_pairs(loss, drawn):
    found = [loss(drawn[[i, j]]).item() for i, j in combinations(range(len(drawn)), 2)]
    assert loss(drawn).item() == pytest.approx(sum(found) / len(found), rel=1e-11, abs=1e-11)


def test_spread_uncorrelated_and_equal_views_cost_nothing():
    view = columns(9, 4)
    pair = torch.stack([view, view])
    assert VICReg()(1.5 * pair).item() == pytest.approx(0, abs=1e-12)
    assert BarlowTwins()(1.5 * pair).item() == pytest.approx(0, abs=1e-12)


def test_each_term_of_vicreg_has_its_closed_form():
    view = columns(9, 4)
    apart = torch.stack([2 * view, 2 * view + 0.5])
    assert VICReg()(apart).item() == pytest.approx(25 * 0.25)
    flat = 0.5 * torch.stack([view, view])
    assert VICReg()(flat).item() == pytest.approx(25 * (1 - (0.25 + 1e-4) ** 0.5))
    twice = 2 * view[:, [0, 0, 0]].expand(2, -1, -1)
    assert VICReg()(twice).item() == pytest.approx(2 * (3 - 1) * 4**2)


def test_each_term_of_barlow_twins_has_its_closed_form():
    view = columns(9, 4)
    assert BarlowTwins()(torch.stack([view, -view])).item() == pytest.approx(4 * 4)
    twice = view[:, [0, 0, 0]].expand(2, -1, -1)
    assert BarlowTwins(redundancy_weight=0.1)(twice).item() == pytest.approx(0.1 * 3 * 2)
    halves = torch.stack([view[:, :2], view[:, 2:]])
    assert BarlowTwins()(halves).item() == pytest.approx(2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -1234.56])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_collapsed_projections_cost_what_they_should_though_no_mean_is_exact(value, dtype):
    pair = torch.full((2, 7, 3), value, dtype=dtype, requires_grad=True)
    loss = BarlowTwins()(pair)
    loss.backward()
    # Correlations of constants are 0, not the correlations of their rounding errors.
    assert loss.item() == 3
    assert torch.equal(pair.grad, torch.zeros_like(pair))
    collapse = 25 * (1 - 1e-4**0.5)
    found = VICReg()(pair.detach()).item()
    assert found == pytest.approx(collapse, rel=1e-4 if abs(value) > 1 else 1e-6)


def test_a_dimension_that_moves_by_a_thousandth_of_its_value_still_counts():
    view = columns(9, 2).float()
    pair = torch.stack([1000 + view, 1000 + view])
    assert BarlowTwins()(pair).item() == pytest.approx(0, abs=1e-5)


@each_loss
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_value_is_of_the_type_given_and_exact_up_to_its_rounding(loss, dtype):
    pair = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    found, expected = loss(pair), loss(pair.double()).item()
    assert found.dtype == dtype
    assert found.item() == pytest.approx(expected, rel=8 * torch.finfo(dtype).eps)


@each_loss
@pytest.mark.parametrize("size", [1e-12, 1e-3, 1e8])
def test_small_and_large_projections_have_a_finite_value_and_gradient(loss, size):
    pair = size * torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    pair.requires_grad_()
    score = loss(pair)
    score.backward()
    assert torch.isfinite(score)
    assert torch.isfinite(pair.grad).all()


@each_loss
def test_statistics_are_of_the_whole_batch_so_that_parts_of_it_do_not_add_up(loss):
    pair = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    halves = (loss(pair[:, :4]) + loss(pair[:, 4:])) / 2
    assert abs(halves - loss(pair)) > 0.1


@each_loss
def test_both_views_are_trained(loss):
    pair = torch.randn(2, 8, 5, requires_grad=True)
    loss(pair).backward()
    assert (pair.grad.abs().sum((1, 2)) > 0.01).all()


@each_loss
@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((3, 4), "shape"),
        ((2, 0, 4), "shape"),
        ((2, 3, 0), "shape"),
        ((0, 3, 4), "shape"),
        ((1, 3, 4), "2 or more"),
        ((2, 1, 4), "at least 2 images"),
    ],
)
def test_projections_that_are_no_views_of_a_batch_are_refused(loss, shape, said):
    with pytest.raises(ValueError, match=said):
        loss(torch.ones(shape))


@each_loss
def test_whole_numbers_are_refused(loss):
    with pytest.raises(ValueError, match="float"):
        loss(torch.ones(2, 3, 4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (VICReg, "similarity"),
        (VICReg, "variance"),
        (VICReg, "covariance"),
        (BarlowTwins, "redundancy_weight"),
    ],
)
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_weight_that_is_negative_or_no_number_is_refused_by_name(make, name, value):
    with pytest.raises(ValueError, match=name):
        make(**{name: value})
