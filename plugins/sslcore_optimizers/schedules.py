"""Schedules: the part of the way that is left, 1 at the first value and 0 at the last one."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Le


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts).

    Args:
        done: the part of the steps that is done, in [0, 1].
    """
    return 0.5 * (1 + math.cos(math.pi * done))


def constant() -> float:
    """Return 1: nothing changes."""
    return 1.0


def linear(done: float) -> float:
    """A straight line from 1 to 0.

    Args:
        done: the part of the steps that is done, in [0, 1].
    """
    return 1 - done


def step_decay(
    done: float,
    *,
    milestones: tuple[Annotated[float, Ge(0), Le(1)], ...] = (0.6, 0.8),
    gamma: Annotated[float, Gt(0), Le(1)] = 0.1,
) -> float:
    """Return gamma to the power of the milestones passed.

    Args:
        done: the part of the steps that is done, in [0, 1].
        milestones: parts of training, in [0, 1], at which the value is multiplied by `gamma`.
        gamma: the factor.
    """
    return gamma ** sum(done >= milestone for milestone in milestones)
