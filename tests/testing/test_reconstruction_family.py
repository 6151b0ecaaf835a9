"""The family reconstruction: its reference, its broken variants, and results of other code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.reconstruction import RECONSTRUCTION, images_of, reference
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property
from sslcore_autoencoder.loss import MSE

SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="reconstruction"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def framework(x, y):
    if x.shape != y.shape or x.numel() == 0:
        raise ValueError("two tensors of one shape, please")
    return F.mse_loss(x, y)


def dot_product(x, y):
    if x.shape != y.shape or x.numel() == 0:
        raise ValueError("two tensors of one shape, please")
    difference = (x - y).reshape(-1)
    return difference.dot(difference) / difference.numel()


def with_targets(reconstructions, targets):
    return framework(reconstructions, targets)


def with_views(reconstructions, views):
    return framework(reconstructions, views)


def test_the_shipped_loss_passes_in_every_type():
    report = check(LossSpec(make=MSE, family="reconstruction"), mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [framework, dot_product])
def test_a_correct_implementation_passes(loss):
    exact = ("float64", "float32", "bfloat16")
    spec = LossSpec(make=lambda: loss, family="reconstruction", dtypes=exact)
    report = check(spec, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("loss", [with_targets, with_views])
def test_a_loss_may_take_the_targets_or_the_views_alone(loss):
    exact = ("float64", "float32", "bfloat16")
    subject = LossSubject(LossSpec(make=lambda: loss, family="reconstruction", dtypes=exact))
    rows = [run_property(item, subject, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_the_loss_of_the_framework_broadcasts_and_overflows_in_half_precision():
    report = check(LossSpec(make=nn.MSELoss, family="reconstruction"), mutation=False)
    assert {row.property for row in report.failures} == {
        "refuses-malformed-shapes",
        "finite-value-float16",
    }


@pytest.mark.parametrize("mutant", RECONSTRUCTION.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", RECONSTRUCTION.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in RECONSTRUCTION.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, RECONSTRUCTION.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 3, 1, 2, 4)])
def test_the_reference_is_the_square_of_a_constant_difference(shape):
    targets = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    found = reference(images_of(targets + 0.5, targets).inputs, {})
    assert float(found) == pytest.approx(0.25, rel=1e-12)


def test_a_loss_that_takes_both_is_held_to_the_targets_and_not_to_the_views():
    class Views(nn.Module):
        def forward(self, reconstructions, views, targets=None):
            return framework(reconstructions, views)

    subject = LossSubject(LossSpec(make=Views, family="reconstruction"))
    rows = [run_property(item, subject, draw=False) for item in RECONSTRUCTION.properties]
    failed = {row.property for row in rows if row.status == "fail"}
    assert "targets-come-before-views" in failed
