"""Schedules of the learning rate and of the teacher's momentum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from sslcore.contract.records import Teacher


def _cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * done))


#: The choices of `training.schedule`: the factor of the learning rate, given the part of the steps
#: after the warm-up that is done, in [0, 1].
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "constant": lambda done: 1.0,
}


def learning_rate_factor(step: int, *, total: int, warmup: int, schedule: str) -> float:
    """Return the factor of the learning rate at a step, in [0, 1].

    It rises linearly from 1/warmup to 1 over the first `warmup` steps, and then follows one of
    `SCHEDULES`, which would end at step `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return SCHEDULES[schedule](min(1.0, done))


def teacher_momentum(teacher: Teacher, step: int, total: int) -> float:
    """Return the teacher's momentum at a step, counted from 0.

    It is constant, or changes from `momentum` to `final_momentum` along half a cosine (Grill et al.
    2020, section 3.3).
    """
    momentum, final = teacher.momentum, teacher.final_momentum
    if final is None:
        return momentum
    return final - (final - momentum) * (math.cos(math.pi * step / total) + 1) / 2
