"""How the learning rate and the momentum of the teacher change with the step."""

from __future__ import annotations

import math

from sslcore.contract.records import Teacher


def learning_rate_factor(step: int, *, total: int, warmup: int, schedule: str) -> float:
    """Return what the learning rate is multiplied with at a step, in [0, 1].

    Linear from 1/warmup to 1 over the first `warmup` steps; then constant, or along half a cosine
    that would reach 0 at step `total` (Loshchilov & Hutter 2017, eq. 5, without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def teacher_momentum(teacher: Teacher, step: int, total: int) -> float:
    """Return the teacher's momentum at a step, counted from 0.

    Constant, or from `momentum` to `final_momentum` along half a cosine (Grill et al. 2020,
    section 3.3).
    """
    momentum, final = teacher.momentum, teacher.final_momentum
    if final is None:
        return momentum
    return final - (final - momentum) * (math.cos(math.pi * step / total) + 1) / 2
