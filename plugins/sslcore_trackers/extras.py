"""The libraries behind the trackers: imported on use, and named where they are missing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def library(module: str, extra: str) -> Any:
    """Import a library.

    Args:
        module: the module to import.
        extra: the extra of sslcore that installs it.

    Raises:
        ValueError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"it needs a library that is not installed ({error}): pip install 'sslcore[{extra}]'"
        ) from error


def flat(tables: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested tables as one: `{"loss": {"temperature": 1}}` as `{"loss.temperature": 1}`."""
    found: dict[str, object] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def scores(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the figures of an evaluation by name, `final/encoder.knn_top1`."""
    return {f"final/{name}": float(str(value)) for name, value in flat(table).items()}
