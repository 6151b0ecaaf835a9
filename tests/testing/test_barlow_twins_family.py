"""The family barlow-twins: its references, its broken variants, and results of other code."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.barlow_twins import BARLOW_TWINS, reference
from sslcore.testing.losses.barlow_twins_properties import with_correlations
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property

EXACT = ("float64", "float32")


SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="barlow-twins"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def _checked(z1, z2):
    if z1.dim() != 2 or z1.shape != z2.shape or len(z1) < 2 or z1.shape[1] == 0:
        raise ValueError("two batches of two vectors or more of one shape, please")


def _terms(c, weight):
    own = torch.eye(len(c), dtype=torch.bool)
    squares = (c - own.to(c)).square()
    return squares[own].sum() + weight * squares[~own].sum()


def batch_norm(redundancy_weight=0.005):
    def loss(z1, z2):
        _checked(z1, z2)
        first, second = (F.batch_norm(z, None, None, training=True) for z in (z1, z2))
        return _terms(first.T @ second / len(z1), redundancy_weight)

    return loss


def correlation(redundancy_weight=0.005):
    def loss(z1, z2):
        _checked(z1, z2)
        first, second = (F.normalize(z - z.mean(0), dim=0) for z in (z1, z2))
        return _terms(torch.einsum("bi,bj->ij", first, second), redundancy_weight)

    return loss


def listing(redundancy_weight=0.005):
    def loss(z1, z2):
        _checked(z1, z2)
        first, second = ((z - z.mean(0)) / (z.std(0) + 1e-20) for z in (z1, z2))
        return _terms(first.T @ second / len(z1), redundancy_weight)

    return loss


@pytest.mark.parametrize("make", [batch_norm, correlation, listing], ids=lambda make: make.__name__)
def test_a_correct_implementation_of_each_convention_passes(make):
    report = check(LossSpec(make=make, family="barlow-twins", dtypes=EXACT), mutation=False)
    assert report.passed, str(report)


def test_a_weight_that_is_built_in_is_stated_as_a_constant():
    spec = LossSpec(
        make=lambda: correlation(0.0051),
        family="barlow-twins",
        dtypes=("float64",),
        constants={"redundancy_weight": 0.0051},
    )
    report = check(spec, mutation=False)
    assert report.passed, str(report)
    assert {row.status for row in report.rows if row.property == "affine-in-weight"} == {"n/a"}


def test_deviations_without_an_epsilon_fail_where_a_dimension_is_constant():
    def listed(redundancy_weight=0.005):
        def loss(z1, z2):
            _checked(z1, z2)
            first, second = ((z - z.mean(0)) / z.std(0) for z in (z1, z2))
            return _terms(first.T @ second / len(z1), redundancy_weight)

        return loss

    spec = LossSpec(make=listed, family="barlow-twins", dtypes=("float64",))
    rows = [run_property(item, LossSubject(spec), draw=False) for item in PROPERTIES]
    failed = {row.property for row in rows if row.status == "fail"}
    assert failed == {"finite-value-float64", "finite-gradient-float64", "collapse"}


@pytest.mark.parametrize("mutant", BARLOW_TWINS.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", BARLOW_TWINS.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in BARLOW_TWINS.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, BARLOW_TWINS.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (1.0, 0.0, 0.0),  # whitened and identical
        (-1.0, 0.0, 4 * 3.0),  # negated
        (1.0, 1.0, 0.1 * 3 * 2),  # one dimension three times
        (0.5, 0.25, 3 * 0.25 + 0.1 * 6 * 0.0625),
    ],
)
def test_the_reference_has_the_closed_form_of_known_correlations(own, other, expected):
    example = with_correlations(9, 3, own, other, 0.1)
    assert float(reference(example.inputs, example.hyper)) == pytest.approx(expected, abs=1e-12)


def test_the_references_of_a_collapse_are_the_dimension():
    pair = torch.full((2, 4, 3), 0.75, dtype=torch.float64)
    for convention in BARLOW_TWINS.conventions.values():
        assert float(convention({"projections": pair}, {"redundancy_weight": 0.1})) == 3.0


def test_the_reference_is_that_of_the_correlation_coefficients_of_numpy():
    pair = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(2)).double()
    c = torch.corrcoef(torch.cat([pair[0], pair[1]], 1).T)[:3, 3:]
    found = reference({"projections": pair}, {"redundancy_weight": 0.3})
    torch.testing.assert_close(found, _terms(c, 0.3))
