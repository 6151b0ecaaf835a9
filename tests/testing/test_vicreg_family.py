"""The family vicreg: its references, its broken variants, and results of other code."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.losses.vicreg import VICREG, as_in_the_code, reference
from sslcore.testing.losses.vicreg_properties import of_known_statistics
from sslcore.testing.search import run_property

WEIGHTS = {"similarity": 25.0, "variance": 25.0, "covariance": 1.0}


SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="vicreg"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def _checked(z1, z2):
    if z1.dim() != 2 or z1.shape != z2.shape or len(z1) < 2 or z1.shape[1] == 0:
        raise ValueError("two batches of two vectors or more of one shape, please")


def as_published(similarity=25.0, variance=25.0, covariance=1.0):
    def loss(z1, z2):
        _checked(z1, z2)
        count, dim = z1.shape
        distance = F.mse_loss(z1, z2)
        hinge = overlap = 0.0
        for view in (z1 - z1.mean(0), z2 - z2.mean(0)):
            hinge = hinge + F.relu(1 - torch.sqrt(view.var(0) + 1e-4)).mean() / 2
            products = view.T @ view / (count - 1)
            overlap = overlap + (products - products.diagonal().diag()).pow(2).sum() / dim
        return similarity * distance + variance * hinge + covariance * overlap

    return loss


def as_written(similarity=25.0, variance=25.0, covariance=1.0):
    def loss(z1, z2):
        _checked(z1, z2)
        pair, dim = torch.stack([z1, z2]), z1.shape[1]
        distance = torch.linalg.vector_norm(z1 - z2, dim=1).pow(2).mean()
        hinge = torch.clamp(1 - torch.sqrt(torch.var(pair, dim=1) + 1e-4), min=0).mean(1).sum()
        others = ~torch.eye(dim, dtype=torch.bool)
        overlap = sum(torch.cov(view.T).view(dim, dim)[others].square().sum() for view in pair)
        return similarity * distance + variance * hinge + covariance * overlap / dim

    return loss


@pytest.mark.parametrize("make", [as_published, as_written], ids=lambda make: make.__name__)
def test_a_correct_implementation_of_each_convention_passes_in_every_type(make):
    report = check(LossSpec(make=make, family="vicreg"), mutation=False)
    assert report.passed, str(report)


def test_weights_that_are_built_in_need_not_be_taken():
    report = check(
        LossSpec(make=lambda: as_written(), family="vicreg", dtypes=("float64",)), mutation=False
    )
    assert report.passed, str(report)


def test_a_loss_between_the_conventions_is_caught():
    def mixed(similarity=25.0, variance=25.0, covariance=1.0):
        paper = as_written(similarity, variance, covariance)
        return lambda z1, z2: (
            paper(z1, z2) + similarity * (F.mse_loss(z1, z2) - (z1 - z2).square().sum(1).mean())
        )

    subject = LossSubject(LossSpec(make=mixed, family="vicreg"))
    rows = [run_property(item, subject, draw=False) for item in PROPERTIES]
    failed = {row.property for row in rows if row.status == "fail"}
    assert {"value-matches-reference-float64", "closed-form"} <= failed


@pytest.mark.parametrize("mutant", VICREG.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", VICREG.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in VICREG.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, VICREG.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("deviation", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("correlation", "gap"), [(0.0, 0.0), (0.25, 0.5)])
def test_the_references_have_the_closed_form_of_known_statistics(deviation, correlation, gap):
    inputs = of_known_statistics(6, 3, deviation, correlation, gap).inputs
    hinge = max(0.0, 1 - (deviation**2 + 1e-4) ** 0.5)
    overlap = 2 * 2 * correlation**2 * deviation**4
    paper = 25 * 3 * gap**2 + 25 * 2 * hinge + overlap
    code = 25 * gap**2 + 25 * hinge + overlap
    assert float(reference(inputs, WEIGHTS)) == pytest.approx(paper, abs=1e-10)
    assert float(as_in_the_code(inputs, WEIGHTS)) == pytest.approx(code, abs=1e-10)
