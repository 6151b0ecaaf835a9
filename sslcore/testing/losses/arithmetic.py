"""Arithmetic that the closed forms of several families share."""

from __future__ import annotations

import math


def log1p_exp(value: float) -> float:
    """Return log(1 + e^value) without overflow."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
