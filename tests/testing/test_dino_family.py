"""The family dino: its references, its broken variants, and results of other code."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sslcore.testing import LossSpec, check
from sslcore.testing.losses.checking import properties_of
from sslcore.testing.losses.dino import DINO, reference, sum_over_pairs
from sslcore.testing.losses.dino_properties import of_two_dimensions
from sslcore.testing.losses.mutation import caught_by, mutant_subject
from sslcore.testing.losses.subject import LossSubject
from sslcore.testing.search import run_property

TEMPERATURES = {"student_temperature": 0.1, "teacher_temperature": 0.04}


SUBJECT = LossSubject(LossSpec(make=lambda **hyper: None, family="dino"))
# Comparisons with the reference detect most variants, so they come first.
PROPERTIES = sorted(properties_of(SUBJECT.spec), key=lambda item: "reference" not in item.name)


def _checked(student, teacher):
    if student.dim() != 2 or student.shape != teacher.shape or student.numel() == 0:
        raise ValueError("two batches of logits of one shape, please")


def by_logarithms(student_temperature=0.1, teacher_temperature=0.04):
    def loss(student, teacher):
        _checked(student, teacher)
        wanted = F.softmax(teacher.detach() / teacher_temperature, -1)
        return -(wanted * F.log_softmax(student / student_temperature, -1)).sum(-1).mean()

    return loss


def by_cross_entropy(student_temperature=0.1, teacher_temperature=0.04):
    def loss(student, teacher):
        _checked(student, teacher)
        wanted = F.softmax(teacher.detach() / teacher_temperature, -1)
        return F.cross_entropy(student / student_temperature, wanted)

    return loss


@pytest.mark.parametrize("make", [by_logarithms, by_cross_entropy], ids=lambda make: make.__name__)
def test_a_correct_implementation_passes_in_every_type(make):
    report = check(LossSpec(make=make, family="dino"), mutation=False)
    assert report.passed, str(report)


class Centred(nn.Module):
    """With a centre that moves after each call."""

    def __init__(self, student_temperature=0.1, teacher_temperature=0.04, average=True):
        super().__init__()
        self.temperatures, self.average = (student_temperature, teacher_temperature), average
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, projections, teacher_projections):
        teacher = teacher_projections.detach()
        if projections.shape[1:] != teacher.shape[1:] or projections.dim() != 3:
            raise ValueError("projections (V, B, K) and teacher projections (2, B, K), please")
        for_student, for_teacher = self.temperatures
        plain = by_logarithms(for_student, 1.0)
        pairs = [
            plain(student, (teacher[own] - self.centre.to(teacher)) / for_teacher)
            for own in range(2)
            for view, student in enumerate(projections)
            if view != own
        ]
        self.centre = 0.9 * self.centre + 0.1 * teacher.mean((0, 1))
        total = torch.stack(pairs)
        return total.mean() if self.average else total.sum()


@pytest.mark.parametrize("average", [True, False])
def test_a_loss_with_a_centre_passes_once_its_state_is_declared(average):
    def make(student_temperature=0.1, teacher_temperature=0.04):
        return Centred(student_temperature, teacher_temperature, average)

    exact = ("float64", "float32")
    spec = LossSpec(make=make, family="dino", dtypes=exact, stateful=True)
    report = check(spec, mutation=False)
    assert report.passed, str(report)


@pytest.mark.parametrize("mutant", DINO.mutants, ids=lambda mutant: mutant.name)
def test_every_broken_variant_is_caught(mutant):
    assert caught_by(SUBJECT, mutant, PROPERTIES)


@pytest.mark.parametrize("item", DINO.properties, ids=lambda item: item.name)
def test_every_property_of_the_family_catches_a_broken_variant(item):
    assert any(
        run_property(item, mutant_subject(SUBJECT, mutant), draw=False, shrink=False).status
        == "fail"
        for mutant in DINO.mutants
    )


def test_the_broken_variants_without_their_faults_pass_every_property():
    sound = mutant_subject(SUBJECT, DINO.control)
    rows = [run_property(item, sound, draw=False) for item in PROPERTIES]
    assert {row.status for row in rows} == {"pass", "n/a"}


@pytest.mark.parametrize(("student", "teacher"), [(1.0, 0.5), (-1.0, 2.0), (0.5, 0.0)])
def test_the_references_have_the_closed_form_of_two_dimensions(student, teacher):
    example = of_two_dimensions(student, teacher, 0.2)
    gap, share = student / 0.2, 1 / (1 + math.exp(-teacher / 0.5))
    expected = math.log(1 + math.exp(gap)) - share * gap
    assert float(reference(example.inputs, example.hyper)) == pytest.approx(expected, rel=1e-12)
    assert float(sum_over_pairs(example.inputs, example.hyper)) == pytest.approx(2 * expected)


def test_the_reference_of_a_uniform_student_is_the_logarithm_of_the_dimension():
    teacher = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    inputs = {"projections": torch.ones(4, 3, 5).double(), "teacher_projections": teacher}
    assert float(reference(inputs, TEMPERATURES)) == pytest.approx(math.log(5), rel=1e-12)


def test_the_reference_of_a_matched_student_is_the_entropy_of_the_teacher():
    logits = torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    inputs = {
        "projections": (logits * 2.5).expand(3, -1, -1),
        "teacher_projections": logits.expand(2, -1, -1),
    }
    wanted = (logits / 0.04).softmax(-1)
    entropy = -torch.special.xlogy(wanted, wanted).sum(-1).mean()
    torch.testing.assert_close(reference(inputs, TEMPERATURES), entropy)
