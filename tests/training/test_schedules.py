"""Learning rate and teacher momentum as functions of the step."""

from __future__ import annotations

import typing

import pytest

from sslcore import Teacher
from sslcore.contract.settings import settings_of
from sslcore.recipe.recipe import Training
from sslcore.training.schedules import SCHEDULES, learning_rate_factor, teacher_momentum


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


def test_every_choice_of_the_setting_is_a_schedule_of_its_own_and_stays_within_its_bounds():
    choices = typing.get_args(settings_of(Training)["schedule"].annotation)
    assert set(choices) == set(SCHEDULES)
    curves = {
        name: tuple(
            learning_rate_factor(step, total=40, warmup=0, schedule=name) for step in range(40)
        )
        for name in choices
    }
    assert len(set(curves.values())) == len(choices)
    for curve in curves.values():
        assert curve[0] == 1
        assert all(0 <= factor <= 1 for factor in curve)
