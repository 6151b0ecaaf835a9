"""Learning rate and teacher momentum as functions of the step."""

from __future__ import annotations

import math

import pytest

import sslcore
from sslcore import Teacher
from sslcore.training.schedules import learning_rate_factor, teacher_momentum


def _cosine(done, step):
    return 0.5 * (1 + math.cos(math.pi * done))


def _constant(done, step):
    return 1.0


def test_a_teachers_momentum_goes_from_its_first_value_to_its_last_on_a_schedule():
    teacher = Teacher(momentum=0.9, final_momentum=1.0)
    found = [teacher_momentum(teacher, step, 100, _cosine) for step in (0, 50, 100)]
    assert found == pytest.approx([0.9, 0.95, 1.0])
    rising = [teacher_momentum(teacher, step, 100, _cosine) for step in range(101)]
    assert rising == sorted(rising)


def test_without_a_final_value_it_stays():
    teacher = Teacher(momentum=0.7)
    assert {teacher_momentum(teacher, step, 100, _cosine) for step in range(100)} == {0.7}


def test_the_learning_rate_rises_linearly_and_falls_along_half_a_cosine():
    factors = [learning_rate_factor(step, total=110, warmup=10, way=_cosine) for step in range(110)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[60] == pytest.approx(0.5)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0 < factors[-1] < 1e-3
    assert learning_rate_factor(99, total=100, warmup=10, way=_constant) == 1


def test_it_ends_at_the_final_rate():
    first, last = (
        learning_rate_factor(step, total=100, warmup=0, way=_cosine, final=0.1) for step in (0, 100)
    )
    assert (first, last) == pytest.approx((1.0, 0.1))


def test_it_cools_down_linearly_from_where_it_is():
    factors = [
        learning_rate_factor(step, total=100, warmup=10, way=_constant, cooldown=20, final=0.2)
        for step in range(101)
    ]
    assert factors[10:81] == [1.0] * 71
    assert factors[80:] == pytest.approx([1 - 0.8 * past / 20 for past in range(21)])


def test_a_cooldown_begins_after_the_warmup():
    factors = [
        learning_rate_factor(step, total=10, warmup=5, way=_constant, cooldown=8)
        for step in range(10)
    ]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize(("warmup", "noted"), [(3.0, True), (1.0, False)])
def test_a_run_that_is_shorter_than_its_warm_up_is_noted(warmup, noted, tiny, registry, console):
    tiny["training"] |= {"warmup_epochs": warmup}
    sslcore.train(
        "agreement",
        data="noise",
        settings=tiny,
        registry=registry,
        console=console,
        evaluate=False,
    )
    said = console.file.getvalue()
    assert ("note: training.epochs=1 is less than training.warmup_epochs=3, so" in said) == noted
