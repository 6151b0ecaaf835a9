"""The family byol: its references, its broken variants, and results of other code."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcore.functional import unit_rows
from sslcore.testing import LossSpec, check
from sslcore.testing.losses.byol import BYOL, reference, sum_of_directions
from sslcore.testing.losses.byol_properties import at_cosine
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property

EXACT = ("float64", "float32")


SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="byol"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def distance(prediction, target):
    if prediction.dim() != 2 or prediction.shape != target.shape or prediction.numel() == 0:
        raise ValueError("two batches of vectors of one shape, please")
    apart = unit_rows(prediction) - unit_rows(target.detach())
    return apart.square().sum(-1).mean().to(prediction.dtype)


def cosine(prediction, target):
    if prediction.dim() != 2 or prediction.shape != target.shape or prediction.numel() == 0:
        raise ValueError("two batches of vectors of one shape, please")
    first, second = F.normalize(prediction, dim=-1), F.normalize(target.detach(), dim=-1)
    return 2 - 2 * torch.einsum("bd,bd->b", first, second).mean()


class SumOfDirections(nn.Module):
    def forward(self, predictions, teacher_projections):
        if predictions.shape != teacher_projections.shape or predictions.dim() != 3:
            raise ValueError("predictions and projections (2, B, D), please")
        pairs = zip(predictions, teacher_projections.flip(0), strict=True)
        return sum(distance(first, second) for first, second in pairs)


@pytest.mark.parametrize(
    ("make", "dtypes"),
    [
        (lambda: distance, (*EXACT, "bfloat16", "float16")),
        (lambda: cosine, EXACT),
        (SumOfDirections, (*EXACT, "bfloat16", "float16")),
    ],
    ids=["distance", "cosine", "sum"],
)
def test_a_correct_implementation_passes(make, dtypes):
    report = check(LossSpec(make=make, family="byol", dtypes=dtypes), mutation=False)
    assert report.passed, str(report)


class ThirdParty(nn.Module):
    """The loss in its usual form."""

    def forward(self, predictions, teacher_projections):
        cosines = F.cosine_similarity(predictions, teacher_projections.flip(0), dim=-1)
        return 2 - 2 * cosines.mean()


def test_a_loss_in_two_lines_passes_but_for_what_it_leaves_to_others():
    spec = LossSpec(
        make=ThirdParty,
        family="byol",
        dtypes=(*EXACT, "bfloat16"),
        expected_failures={
            "stops-gradient": "the engine gives it a teacher without a graph",
            "refuses-malformed-shapes": "the cosine broadcasts one sample to several",
        },
    )
    report = check(spec, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("mutant", BYOL.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", BYOL.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in BYOL.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, BYOL.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize("value", [1.0, 0.5, 0.0, -1.0])
def test_the_references_have_the_closed_form_of_one_cosine(value):
    inputs = at_cosine(value, 4, 3).inputs
    assert float(reference(inputs, {})) == pytest.approx(2 - 2 * value, abs=1e-12)
    assert float(sum_of_directions(inputs, {})) == pytest.approx(4 - 4 * value, abs=1e-12)


def test_a_loss_that_pairs_a_view_with_itself_is_caught_by_what_says_so():
    class SameView(nn.Module):
        def forward(self, predictions, teacher_projections):
            return SumOfDirections()(predictions, teacher_projections.flip(0))

    subject = LossSubject(LossSpec(make=SameView, family="byol"))
    rows = [run_property(item, subject, draw=False) for item in BYOL.properties]
    assert "views-are-crossed" in {row.property for row in rows if row.status == "fail"}
