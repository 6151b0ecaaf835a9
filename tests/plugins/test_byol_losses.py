"""BYOL's squared distance and SimSiam's negative cosine: closed forms, stop-gradients, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from sslcore_byol.losses import BYOL, NegativeCosine, unit_pairs

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
LOSSES = [BYOL(), NegativeCosine()]
checked = settings(deadline=None, max_examples=30)
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


@st.composite
def signals(draw: st.DrawFn, most: int = 4) -> tuple[Tensor, Tensor]:
    """Predictions and targets (V, B, D) in float64, without rows close to zero."""
    shape = (draw(st.integers(2, most)), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    values = st.floats(-4, 4, width=32, allow_subnormal=False)

    def rows() -> Tensor:
        array = draw(arrays(np.float64, shape, elements=values, fill=st.nothing()))
        found = torch.from_numpy(array)
        return torch.where(found.norm(dim=-1, keepdim=True) < 0.1, torch.ones_like(found), found)

    return rows(), rows()


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


def mean_over_others(predictions: Tensor, targets: Tensor, view: int) -> float:
    """The mean cosine of a view's predictions to all other views, one pair at a time."""
    views, count = predictions.shape[:2]
    found = [
        cosine(predictions[view, i], targets[other, i])
        for other in range(views)
        if other != view
        for i in range(count)
    ]
    return sum(found) / len(found)


@given(signals())
@checked
def test_byol_sums_over_views_the_mean_distance_to_all_other_views(drawn):
    predictions, targets = drawn
    expected = sum(2 - 2 * mean_over_others(*drawn, view) for view in range(len(predictions)))
    assert BYOL()(predictions, targets).item() == pytest.approx(expected, abs=1e-12)


@given(signals())
@checked
def test_the_negative_cosine_is_the_mean_over_all_pairs_of_different_views(drawn):
    views = range(len(drawn[0]))
    expected = -sum(mean_over_others(*drawn, view) for view in views) / len(views)
    assert NegativeCosine()(*drawn).item() == pytest.approx(expected, abs=1e-12)


@given(signals(most=2))
@checked
def test_of_two_views_each_is_compared_with_the_other_as_the_papers_have_it(drawn):
    (p1, p2), (z1, z2) = drawn
    first = torch.stack(
        [(a / a.norm() - b / b.norm()).square().sum() for a, b in zip(p1, z2, strict=True)]
    )
    second = torch.stack(
        [(a / a.norm() - b / b.norm()).square().sum() for a, b in zip(p2, z1, strict=True)]
    )
    both = first.mean() + second.mean()
    assert BYOL()(*drawn).item() == pytest.approx(both.item(), abs=1e-12)
    # ‖p̄ − z̄‖² = 2 − 2 cos, summed there and halved here.
    assert NegativeCosine()(*drawn).item() == pytest.approx(both.item() / 4 - 1, abs=1e-12)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_exact_opposite_and_orthogonal_predictions_have_closed_forms(views):
    one = torch.tensor([3.0, 0.0]).expand(views, 4, 2)
    across = torch.tensor([0.0, 0.5]).expand(views, 4, 2)
    assert [BYOL()(p, one).item() for p in (one, -one, across)] == [0, 4 * views, 2 * views]
    assert [NegativeCosine()(p, one).item() for p in (one, -one, across)] == [-1, 1, 0]


@each_loss
def test_no_gradient_reaches_what_predictions_are_compared_with(loss):
    predictions, targets = (torch.randn(2, 3, 4, requires_grad=True) for _ in range(2))
    loss(predictions, targets).backward()
    assert predictions.grad.abs().sum() > 0
    assert targets.grad is None


def test_projections_get_the_gradient_that_comes_through_their_predictions_alone():
    projections = torch.randn(2, 3, 4, requires_grad=True)
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    NegativeCosine()(projections @ turn, projections).backward()
    constant = projections.detach()
    alone = constant.clone().requires_grad_()
    NegativeCosine()(alone @ turn, constant).backward()
    torch.testing.assert_close(projections.grad, alone.grad)


@each_loss
def test_a_view_s_own_target_is_no_matter_to_its_predictions(loss):
    predictions, targets = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 3, 4).double()
    moved = targets.clone()
    moved[0] = torch.randn(3, 4)
    gradients = []
    for given_ in (targets, moved):
        leaf = predictions.clone().requires_grad_()
        loss(leaf, given_).backward()
        gradients.append(leaf.grad)
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.equal(gradients[0][1], gradients[1][1])


@each_loss
@given(drawn=signals(), data=st.data())
@checked
def test_the_lengths_of_rows_are_no_matter(loss, drawn, data):
    scales = arrays(np.float64, (2, *drawn[0].shape[:2], 1), elements=st.floats(0.01, 100))
    first, second = torch.from_numpy(data.draw(scales))
    expected = loss(*drawn).item()
    found = loss(drawn[0] * first, drawn[1] * second).item()
    assert found == pytest.approx(expected, abs=1e-12)


@each_loss
@given(drawn=signals(), random=st.randoms(use_true_random=False))
@checked
def test_the_order_of_images_and_of_views_is_no_matter(loss, drawn, random):
    views, images = (random.sample(range(n), n) for n in drawn[0].shape[:2])
    expected = loss(*drawn).item()
    for moved in ([item[:, images] for item in drawn], [item[views] for item in drawn]):
        assert loss(*moved).item() == pytest.approx(expected, abs=1e-12)


@each_loss
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_short_and_long_rows_keep_their_digits_in_every_type(loss, dtype, size):
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(2, 5, 6, generator=generator).to(dtype) for _ in range(2)]
    expected = loss(*(item.double() for item in drawn)).item()
    # Powers of two, so that scaling adds no rounding.
    power = 2.0 ** round(np.log2(size))
    scaled = [item * power for item in drawn] if dtype != torch.float16 else drawn
    found = loss(*scaled)
    assert found.dtype == dtype
    assert found.item() == pytest.approx(expected, abs=8 * torch.finfo(dtype).eps)


@each_loss
def test_rows_of_zeros_have_a_finite_value_and_gradient(loss):
    predictions = torch.zeros(2, 3, 4, requires_grad=True)
    score = loss(predictions, torch.randn(2, 3, 4))
    score.backward()
    assert torch.isfinite(score)
    assert torch.isfinite(predictions.grad).all()


@each_loss
@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((2, 3, 4), (2, 3, 5), "one shape"),
        ((2, 3, 4), (2, 1, 4), "one shape"),
        ((3, 4), (3, 4), "one shape"),
        ((2, 0, 4), (2, 0, 4), "one shape"),
        ((1, 3, 4), (1, 3, 4), "2 or more"),
    ],
)
def test_signals_that_do_not_belong_together_are_refused(loss, first, second, said):
    with pytest.raises(ValueError, match=said):
        loss(torch.ones(first), torch.ones(second))


@each_loss
def test_whole_numbers_are_refused(loss):
    with pytest.raises(ValueError, match="must be float"):
        loss(torch.ones(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.int64))


def test_each_prediction_stands_beside_the_targets_of_all_other_views():
    targets = torch.eye(4).view(4, 1, 4)
    _, others = unit_pairs(torch.ones(4, 1, 4), targets)
    for view in range(4):
        beside = sorted(others[:, view, 0].argmax(-1).tolist())
        assert beside == [other for other in range(4) if other != view]
