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


def scores(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the figures of an evaluation by name, `final/encoder.knn_top1`."""
    return {
        f"final/{column}.{name}": value
        for column, metrics in table.items()
        for name, value in metrics.items()
    }
