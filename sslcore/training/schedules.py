"""Schedules of the learning rate and of the teacher's momentum."""

from __future__ import annotations

import math

from sslcore.contract.records import Teacher


def learning_rate_factor(step: int, *, total: int, warmup: int, schedule: str) -> float:
    """Return the factor of the learning rate at a step, in [0, 1].

    It rises linearly from 1/warmup to 1 over the first `warmup` steps. Then it is constant, or
    falls along half a cosine that reaches 0 at step `total` (Loshchilov & Hutter 2017, eq. 5,
    without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def teacher_momentum(teacher: Teacher, step: int, total: int) -> float:
    """Return the teacher's momentum at a step, counted from 0.

    It is constant, or changes from `momentum` to `final_momentum` along half a cosine (Grill et al.
    2020, section 3.3).
    """
    momentum, final = teacher.momentum, teacher.final_momentum
    if final is None:
        return momentum
    return final - (final - momentum) * (math.cos(math.pi * step / total) + 1) / 2
