"""DINO's loss beyond one call: the centre and the teacher's temperature."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from sslcore.testing import LossSpec, conformance
from sslcore_dino.loss import DINO, self_distillation


@conformance(LossSpec(make=DINO, family="dino"))
def test_dino(case):
    case.run()


def logits_of(views: int, count: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(views, count, dim, generator=torch.Generator().manual_seed(seed))


def test_the_centre_is_a_moving_average_of_the_teachers_logits():
    loss = DINO(5, centre_momentum=0.7)
    expected = torch.zeros(5)
    for step in range(4):
        teacher = logits_of(2, 3, 5, step)
        loss(logits_of(4, 3, 5), teacher)
        expected = 0.7 * expected + 0.3 * teacher.mean((0, 1))
        torch.testing.assert_close(loss.centre, expected)


def test_what_is_scored_is_centred_by_what_came_before():
    loss, student, teacher = DINO(5), logits_of(4, 3, 5), logits_of(2, 3, 5, 1)
    loss(student, teacher + 3)
    centre = loss.centre.clone()
    assert centre.abs().max() > 0.1
    found = loss(student, teacher)
    torch.testing.assert_close(found, self_distillation(student, teacher, 0.1, 0.04, centre))
    by_hand = [
        -(((teacher[t] - centre) / 0.04).softmax(-1) * (student[v] / 0.1).log_softmax(-1)).sum(-1)
        for t in range(2)
        for v in range(4)
        if v != t
    ]
    torch.testing.assert_close(found, torch.stack(by_hand).mean())


def test_a_dimension_that_all_images_share_is_taken_away_by_the_centre():
    # The purpose of centring (section 3.1): no dimension dominates.
    loss, student = DINO(5), logits_of(2, 3, 5)
    teacher = logits_of(2, 3, 5, 1) * 0.01
    shared = teacher + 10 * F.one_hot(torch.tensor(2), 5)
    for _ in range(200):
        loss(student, shared)
    torch.testing.assert_close(
        loss(student, shared), DINO(5)(student, teacher), rtol=1e-3, atol=1e-3
    )


def test_evaluation_leaves_the_centre_alone():
    loss = DINO(5).eval()
    loss(logits_of(2, 3, 5), logits_of(2, 3, 5, 1))
    assert not loss.centre.any()


def test_the_teachers_temperature_rises_linearly_and_stays():
    loss = DINO(5, final_teacher_temperature=0.07, temperature_warmup=0.2)
    found = [loss.teacher_temperature(progress) for progress in (0.0, 0.1, 0.2, 0.9)]
    assert found == pytest.approx([0.04, 0.055, 0.07, 0.07])
    constant = DINO(5)
    assert {constant.teacher_temperature(progress) for progress in (0.0, 0.05, 0.5)} == {0.04}
    at_once = DINO(5, final_teacher_temperature=0.07, temperature_warmup=0.0)
    assert at_once.teacher_temperature(0.0) == 0.07


def test_the_temperature_of_the_moment_is_the_one_that_counts():
    student, teacher = logits_of(3, 4, 5), logits_of(2, 4, 5, 1)
    loss = DINO(5, final_teacher_temperature=0.5).eval()
    torch.testing.assert_close(
        loss(student, teacher, progress=0.6), self_distillation(student, teacher, 0.1, 0.5)
    )


def test_a_uniform_student_scores_log_k():
    loss = DINO(7)(torch.zeros(3, 4, 7), logits_of(2, 4, 7))
    assert loss.item() == pytest.approx(math.log(7), rel=1e-6)


@pytest.mark.parametrize("student", [(2, 3, 5), (4, 3, 6), (1, 3, 5), (4, 3)])
def test_views_that_do_not_belong_together_are_refused(student):
    with pytest.raises(ValueError, match="got"):
        DINO(5)(torch.zeros(student), torch.zeros(3, 3, 5))


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be > 0"):
        DINO(5, teacher_temperature=0.0)
