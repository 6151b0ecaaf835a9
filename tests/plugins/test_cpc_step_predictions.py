"""Tests of every loss over step predictions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sslcore_cpc.losses import CPC, PredictiveCoding


def normals(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


LOSSES = [
    pytest.param(CPC(), id="cpc-images"),
    pytest.param(CPC(negatives="positions"), id="cpc-positions"),
    pytest.param(PredictiveCoding(), id="predictive-coding"),
]


def value(score: Tensor | dict[str, Tensor]) -> Tensor:
    return score if isinstance(score, Tensor) else score["loss"]


@pytest.mark.parametrize("loss", LOSSES)
def test_predictions_past_the_last_view_are_ignored(loss):
    predictions, features = normals(3, 4, 3, 5), normals(4, 3, 5, seed=1)
    disturbed = predictions.clone()
    for k in (1, 2, 3):
        disturbed[k - 1, 4 - k :] = torch.nan
    disturbed.requires_grad_()
    found = value(loss(disturbed, features))
    torch.testing.assert_close(found, value(loss(predictions, features)))
    (gradient,) = torch.autograd.grad(found, disturbed)
    for k in (1, 2, 3):
        assert (gradient[k - 1, 4 - k :] == 0).all()
        assert (gradient[k - 1, : 4 - k] != 0).all()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_rounded_once_at_the_end(loss, dtype):
    predictions, features = normals(2, 4, 8, 5).to(dtype), normals(4, 8, 5, seed=1).to(dtype)
    expected = value(loss(predictions.float(), features.float())).to(dtype)
    assert torch.equal(value(loss(predictions, features)), expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_inputs_and_global_randomness_are_left_alone(loss):
    inputs = [normals(2, 4, 3, 5), normals(4, 3, 5, seed=1)]
    before = [item.clone() for item in inputs]
    versions = [item._version for item in inputs]
    state = torch.get_rng_state()
    first = value(loss(inputs[0], inputs[1]))
    value(loss(normals(1, 3, 7, 2), normals(3, 7, 2)))
    assert torch.equal(value(loss(inputs[0], inputs[1])), first)
    assert all(torch.equal(item, old) for item, old in zip(inputs, before, strict=True))
    assert [item._version for item in inputs] == versions
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    ("predictions", "features"),
    [
        ((2, 4, 3, 5), (4, 3, 1)),
        ((2, 4, 3, 5), (4, 1, 5)),
        ((2, 1, 3, 5), (4, 3, 5)),
        ((2, 4, 3, 1), (4, 3, 5)),
        ((4, 3, 5), (4, 3, 5)),
        ((4, 4, 3, 5), (4, 3, 5)),
        ((0, 4, 3, 5), (4, 3, 5)),
        ((2, 4, 0, 5), (4, 0, 5)),
        ((2, 4, 3, 0), (4, 3, 0)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(loss, predictions, features):
    with pytest.raises(ValueError, match="step_predictions must be of shape"):
        loss(torch.ones(predictions), torch.ones(features))
