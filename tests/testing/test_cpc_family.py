"""The families of CPC: correct losses pass, broken variants fail, the references are exact."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.family import family_called
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_cpc.losses import CPC

FAMILIES = ["cpc", "cpc-cosine", "cpc-positions", "cpc-positions-cosine"]


def shipped(family: str) -> LossSpec:
    normalize = "cosine" in family
    return LossSpec(
        make=lambda temperature=1.0: CPC(
            temperature=temperature,
            normalize=normalize,
            negatives="positions" if "positions" in family else "images",
        ),
        family=family,
    )


def reference(family: str, predictions: Tensor, features: Tensor, convention: str = "") -> float:
    found = family_called(family)
    function = found.conventions[convention] if convention else found.reference
    assert function is not None
    inputs = {"step_predictions": predictions, "features": features}
    return float(function(inputs, {"temperature": 0.5}))


def normals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def cross_entropy(predictions: Tensor, targets: Tensor) -> Tensor:
    if predictions.dim() != 2 or predictions.shape != targets.shape or targets.numel() == 0:
        raise ValueError("predictions and targets are of different shapes")
    return F.cross_entropy(predictions @ targets.T, torch.arange(len(targets)))


def steps_equally(step_predictions: Tensor, features: Tensor) -> Tensor:
    if step_predictions.dim() != 4 or step_predictions.shape[1:] != features.shape:
        raise ValueError("predictions and features are of different shapes")
    if step_predictions.numel() == 0:
        raise ValueError("there are no predictions")
    steps = [
        torch.stack(
            [
                cross_entropy(predictions[view], features[view + ahead])
                for view in range(len(features) - ahead)
            ]
        ).mean()
        for ahead, predictions in enumerate(step_predictions, 1)
    ]
    return torch.stack(steps).mean()


#: The families; only the slow tests check all, the others the first.
_FIRST_BY_DEFAULT = [
    pytest.param(family, marks=pytest.mark.slow if position else ())
    for position, family in enumerate(FAMILIES)
]


@pytest.mark.parametrize("family", _FIRST_BY_DEFAULT)
def test_the_shipped_loss_conforms(family: str) -> None:
    report = check(shipped(family), mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [cross_entropy, steps_equally])
def test_other_correct_losses_without_a_temperature_conform(loss: object) -> None:
    spec = LossSpec(make=lambda: loss, family="cpc", dtypes=("float64", "float32"))
    report = check(spec, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("family", _FIRST_BY_DEFAULT)
def test_every_broken_variant_is_caught(family: str) -> None:
    subject = LossSubject(shipped(family))
    properties = sorted(properties_of(subject.spec), key=lambda item: "reference" not in item.name)
    mutants = subject.family.mutants
    assert len(mutants) >= 30
    survived = [item.name for item in mutants if not caught_by(subject, item, properties)]
    assert survived == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_property_of_the_family_catches_something(family: str) -> None:
    subject = LossSubject(shipped(family))
    mutants = [item for item in subject.family.mutants if item.plain is None]
    # Neighbouring variants are similar: one of each kind comes first.
    varied = [mutant for start in range(11) for mutant in mutants[start::11]]
    for item in subject.family.properties:
        if item.applies(subject):
            continue
        verdicts = (
            run_property(item, mutant_subject(subject, mutant), draw=False, shrink=False).status
            for mutant in varied
        )
        assert "fail" in verdicts, item.name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("count", [2, 7])
def test_the_reference_is_log_n_without_a_prediction(family: str, count: int) -> None:
    features = normals(4, count, 3)
    expected = math.log(4 * count if "positions" in family else count)
    assert reference(family, features.new_zeros(2, 4, count, 3), features) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_of_one_hot_predictions_is_in_closed_form(family: str) -> None:
    features = torch.eye(12, dtype=torch.float64).view(4, 3, 12)
    predictions = torch.stack([features.roll(-1, 0), features.roll(-2, 0)])
    others = 11 if "positions" in family else 2
    expected = math.log(1 + others * math.exp(-1 / 0.5))
    assert reference(family, predictions, features) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_is_cross_entropy_of_every_pair(family: str) -> None:
    for count in (3, 30):  # By a loop, and by a matrix.
        predictions, features = normals(2, 4, count, 5), normals(4, count, 5)
        rows, keys = predictions, features
        if "cosine" in family:
            rows, keys = F.normalize(predictions, dim=-1), F.normalize(features, dim=-1)
        losses = []
        for step in (1, 2):
            for view in range(4 - step):
                target = view + step
                among = keys.flatten(0, 1) if "positions" in family else keys[target]
                first = target * count if "positions" in family else 0
                logits = rows[step - 1, view] @ among.T / 0.5
                losses.append(float(F.cross_entropy(logits, first + torch.arange(count))))
        found = reference(family, predictions, features)
        assert found == pytest.approx(sum(losses) / 5, abs=1e-12)
        equally = sum(losses[:3]) / 6 + sum(losses[3:]) / 4
        found = reference(family, predictions, features, "steps-equally")
        assert found == pytest.approx(equally, abs=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_of_the_size_given_bound_every_gradient(family: str) -> None:
    found = family_called(family)
    for example in found.anchors():
        leaves = {name: item.clone().requires_grad_() for name, item in example.inputs.items()}
        assert found.reference is not None
        loss = found.reference(leaves, example.hyper)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        sizes = found.gradient_scale(example.inputs, example.hyper)
        for name, gradient in zip(leaves, gradients, strict=True):
            assert bool((gradient.abs() <= sizes[name] * (1 + 1e-9) + 1e-15).all()), name
