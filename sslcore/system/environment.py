"""Switches in the environment: variables that turn something on or off."""

from __future__ import annotations

import os


def is_on(variable: str, *, default: bool) -> bool:
    """Whether a variable is on; 0, false and no turn it off.

    Args:
        variable: its name.
        default: the answer where it is empty or not set.
    """
    text = os.environ.get(variable, "").strip().casefold()
    return text not in ("0", "false", "no") if text else default
