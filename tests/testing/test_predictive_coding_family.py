"""The family of predictive coding: correct losses pass, broken variants fail."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import LossSpec, cases, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.predictive_coding import PREDICTIVE_CODING
from sslcore.testing.losses.predictive_coding import reference as by_loop
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_cpc.losses import PredictiveCoding

SHIPPED = LossSpec(make=lambda: PredictiveCoding(), family="predictive-coding")


def reference(predictions: Tensor, features: Tensor) -> Tensor:
    return by_loop({"step_predictions": predictions, "features": features}, {})


def normals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    if predictions.dim() != 2 or predictions.shape != targets.shape or targets.numel() == 0:
        raise ValueError("predictions and targets are of different shapes")
    return F.mse_loss(predictions, targets.detach())


def with_a_mask(step_predictions: Tensor, features: Tensor) -> Tensor:
    if step_predictions.dim() != 4 or step_predictions.shape[1:] != features.shape:
        raise ValueError("predictions and features are of different shapes")
    if step_predictions.numel() == 0:
        raise ValueError("there are no predictions")
    target = torch.arange(1, len(step_predictions) + 1)[:, None] + torch.arange(len(features))
    there = target < len(features)
    targets = features.detach()[target.clamp_max(len(features) - 1)]
    errors = (step_predictions - targets).square().mean((-1, -2))
    return torch.where(there, errors, 0).sum() / there.sum()


def test_the_shipped_loss_conforms() -> None:
    report = check(SHIPPED, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [squared_error, with_a_mask])
def test_other_correct_losses_conform(loss: object) -> None:
    spec = LossSpec(make=lambda: loss, family="predictive-coding", dtypes=("float64", "float32"))
    report = check(spec, mutation=False)
    assert report.passed, str(report)


def test_a_trained_target_does_not_conform() -> None:
    def loss(predictions: Tensor, targets: Tensor) -> Tensor:
        if predictions.shape != targets.shape or predictions.dim() != 2 or not len(targets):
            raise ValueError("predictions and targets are of different shapes")
        return F.mse_loss(predictions, targets)

    spec = LossSpec(make=lambda: loss, family="predictive-coding")
    (stops,) = [case for case in cases(spec) if case.id == "stops-gradient"]
    assert stops.row().status == "fail"


def test_every_broken_variant_is_caught() -> None:
    subject = LossSubject(SHIPPED)
    properties = sorted(properties_of(SHIPPED), key=lambda item: "reference" not in item.name)
    mutants = subject.family.mutants
    assert len(mutants) >= 20
    survived = [item.name for item in mutants if not caught_by(subject, item, properties)]
    assert survived == []


def test_every_property_of_the_family_catches_something() -> None:
    subject = LossSubject(SHIPPED)
    mutants = [item for item in subject.family.mutants if item.plain is None]
    # Neighbouring variants are similar: one of each kind comes first.
    varied = [mutant for start in range(11) for mutant in mutants[start::11]]
    for item in subject.family.properties:
        verdicts = (
            run_property(item, mutant_subject(subject, mutant), draw=False, shrink=False).status
            for mutant in varied
        )
        assert "fail" in verdicts, item.name


def test_the_reference_is_zero_for_exact_predictions_whatever_is_not_compared() -> None:
    features = normals(4, 3, 2)
    predictions = torch.full((2, 4, 3, 2), 7.0, dtype=torch.float64)
    predictions[0, :3], predictions[1, :2] = features[1:], features[2:]
    assert float(reference(predictions, features)) == 0.0


def test_the_reference_of_zero_predictions_is_the_mean_square_of_the_targets() -> None:
    features = normals(4, 3, 2)
    expected = torch.cat([features[1:], features[2:]]).square().mean()
    found = reference(torch.zeros(2, 4, 3, 2, dtype=torch.float64), features)
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_reference_is_the_gap_and_none_reaches_the_features() -> None:
    predictions, features = normals(1, 3, 2, 2), normals(3, 2, 2) + 1
    leaves = predictions.requires_grad_(), features.requires_grad_()
    found, none = torch.autograd.grad(reference(*leaves), leaves, allow_unused=True)
    expected = torch.zeros_like(found)
    expected[0, :2] = 2 * (predictions[0, :2] - features[1:]) / 8
    torch.testing.assert_close(found, expected)
    assert none is None


def test_collapsed_features_are_a_minimum_and_no_failure() -> None:
    assert float(reference(torch.zeros(1, 2, 3, 2), torch.zeros(2, 3, 2))) == 0.0
    assert "all zero" in PREDICTIVE_CODING.degenerate("float32")
