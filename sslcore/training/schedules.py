"""What changes during training on a schedule: rates, weight decay and the teacher's momentum."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Teacher
from sslcore.contract.training_parts import SUPPLIED_TO
from sslcore.errors import TrainingError
from sslcore.recipe.recipe import Part

#: The part of the way that is left, given the part of the steps that is done and the step.
Way = Callable[[float, int], float]


def way_of(schedule: Part, *, total: int, per_epoch: int) -> Way:
    """Return a schedule as a function of what is done, and of the step.

    Args:
        schedule: the schedule.
        total: steps of the run.
        per_epoch: steps of an epoch.
    """
    function = load_reference(schedule.build)
    asked = set(inspect.signature(function).parameters) & set(SUPPLIED_TO["schedule"])

    def way(done: float, step: int) -> float:
        supplied = {
            "done": done,
            "step": step,
            "total_steps": total,
            "steps_per_epoch": per_epoch,
        }
        left = function(**{name: supplied[name] for name in asked}, **schedule.settings)
        if not math.isfinite(left):
            raise TrainingError(f"{schedule} returned {left} at step {step + 1}")
        return float(left)

    return way


def learning_rate_factor(
    step: int, *, total: int, warmup: int, way: Way, cooldown: int = 0, final: float = 0.0
) -> float:
    """Return the factor of the learning rate at a step, in [0, 1].

    It rises linearly from 1/warmup to 1 over the first `warmup` steps, and then goes from 1 to
    `final`, where it would arrive at step `total`. In the last `cooldown` steps it falls linearly,
    from where it is.
    """
    if step < warmup:
        return (step + 1) / warmup
    begins = max(warmup, total - cooldown)
    if cooldown and step > begins:
        before = _after_warmup(begins, total, warmup, way, final)
        return final + (before - final) * max(0.0, (total - step) / (total - begins))
    return _after_warmup(step, total, warmup, way, final)


def _after_warmup(step: int, total: int, warmup: int, way: Way, final: float) -> float:
    done = (step - warmup) / max(1, total - warmup)
    return final + (1 - final) * way(min(1.0, done), step)


def between(first: float, last: float, left: float) -> float:
    """Return the value on the way from the first to the last, given the part that is left."""
    return last + (first - last) * left


def teacher_momentum(teacher: Teacher, step: int, total: int, way: Way | None) -> float:
    """Return the teacher's momentum at a step, counted from 0.

    It is constant, or changes from `momentum` to `final_momentum` (Grill et al. 2020, section 3.3).
    """
    momentum, final = teacher.momentum, teacher.final_momentum
    if final is None or way is None:
        return momentum
    return between(momentum, final, way(step / total, step))
