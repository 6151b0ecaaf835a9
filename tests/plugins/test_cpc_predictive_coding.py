"""Predictive coding: a float64 loop as reference, zero when exact, targets without gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslcore_cpc.losses import PredictiveCoding, predictive_coding

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
checked = settings(deadline=None, max_examples=15)


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Step predictions (K, V, B, F) and features (V, B, F) in float64."""
    views = draw(st.integers(2, 5))
    steps = draw(st.integers(1, views - 1))
    batch, size = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    drawn = normals(steps + 1, views, batch, size, seed=draw(st.integers(0, 2**31)))
    return drawn[:-1], drawn[-1]


def valid_pairs(step_predictions: Tensor, features: Tensor) -> list[tuple[int, int]]:
    steps, views = len(step_predictions), len(features)
    return [(k, t) for k in range(1, steps + 1) for t in range(views - k)]


def reference_predictive_coding(step_predictions: Tensor, features: Tensor) -> Tensor:
    step_predictions, features = step_predictions.double(), features.double()
    errors = [
        (step_predictions[k - 1, t] - features[t + k]) ** 2
        for k, t in valid_pairs(step_predictions, features)
    ]
    return torch.stack(errors).mean()


@pytest.mark.parametrize("dtype", DTYPES)
@checked
@given(drawn=sequences())
def test_predictive_coding_is_that_of_a_float64_loop_to_rounding(dtype, drawn):
    predictions, features = (item.to(dtype) for item in drawn)
    found = predictive_coding(predictions, features)
    expected = reference_predictive_coding(predictions, features).item()
    assert found.dtype == dtype
    assert found.item() == pytest.approx(expected, rel=8 * torch.finfo(dtype).eps)


@checked
@given(drawn=sequences())
def test_predictive_coding_is_zero_at_exact_predictions_and_positive_elsewhere(drawn):
    predictions, features = drawn
    exact = torch.stack([features.roll(-k, 0) for k in range(1, len(predictions) + 1)])
    assert predictive_coding(exact, features).item() == 0.0
    assert predictive_coding(predictions, features).item() > 0


def test_predictive_coding_is_the_mean_of_its_steps_by_their_pairs():
    predictions, features = normals(3, 5, 2, 4), normals(5, 2, 4, seed=1)
    exact = torch.stack([features.roll(-k, 0) for k in (1, 2, 3)])
    alone = []
    for k in (1, 2, 3):
        only = exact.clone()
        only[k - 1] = predictions[k - 1]
        alone.append(predictive_coding(only, features))
    torch.testing.assert_close(sum(alone), predictive_coding(predictions, features))


def test_predictive_coding_sends_no_gradient_to_its_targets():
    predictions = normals(2, 4, 3, 5).requires_grad_()
    features = normals(4, 3, 5, seed=1).requires_grad_()
    loss = PredictiveCoding()(predictions, features)
    towards_predictions, towards_features = torch.autograd.grad(
        loss, (predictions, features), allow_unused=True
    )
    assert towards_features is None
    # Three pairs one step ahead and two pairs two steps ahead, of 3 · 5 entries each.
    difference = predictions[0, :3] - features[1:]
    torch.testing.assert_close(towards_predictions[0, :3], 2 * difference / (5 * 15))


def test_differences_whose_square_overflows_half_precision_are_summed_in_single():
    predictions = torch.zeros(1, 2, 1, 64, dtype=torch.float16)
    features = torch.zeros(2, 1, 64, dtype=torch.float16)
    features[1, 0, 0] = 1024
    assert predictive_coding(predictions, features).item() == 1024**2 / 64
