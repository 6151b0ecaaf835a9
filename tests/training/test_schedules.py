"""How learning rate and teacher momentum move with the step."""

from __future__ import annotations

import pytest

from sslcore import Teacher
from sslcore.training.schedules import learning_rate_factor, teacher_momentum


def test_a_teachers_momentum_goes_from_its_first_value_to_its_last_along_half_a_cosine():
    teacher = Teacher(momentum=0.9, final_momentum=1.0)
    found = [teacher_momentum(teacher, step, 100) for step in (0, 50, 100)]
    assert found == pytest.approx([0.9, 0.95, 1.0])
    rising = [teacher_momentum(teacher, step, 100) for step in range(101)]
    assert rising == sorted(rising)


def test_without_a_final_value_it_stays():
    teacher = Teacher(momentum=0.7)
    assert {teacher_momentum(teacher, step, 100) for step in range(100)} == {0.7}


def test_the_learning_rate_rises_linearly_and_falls_along_half_a_cosine():
    factors = [
        learning_rate_factor(step, total=110, warmup=10, schedule="cosine") for step in range(110)
    ]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[60] == pytest.approx(0.5)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[-1] < 1e-3
    assert learning_rate_factor(99, total=100, warmup=10, schedule="constant") == 1
