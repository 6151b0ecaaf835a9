"""Named tensors that images come with: captions as tokens, maps, boxes, several labels, numbers."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from sslcore.contract.interface import ENGINE_SIGNALS
from sslcore.errors import DataError

#: Signals that every recipe makes, or that have a place of their own in a split.
_TAKEN = {*ENGINE_SIGNALS, "labels", "views", "features", "loss"}


def check_extras(extras: object, images: int) -> None:
    """Check the extras of a split: tensors by name, with a row for each image.

    Args:
        extras: the extras.
        images: how many images there are.

    Raises:
        DataError: they are something else, or a name is that of another signal.
    """
    if not isinstance(extras, Mapping):
        raise DataError(f"extras must be a dict of tensors by name, got {type(extras).__name__}")
    for name, item in extras.items():
        if problem := name_problem(name):
            raise DataError(f"extras: {problem}")
        if not isinstance(item, Tensor):
            raise DataError(f"extras: {name} must be a tensor, got {type(item).__name__}")
        if item.device.type != "cpu":
            raise DataError(f"extras: {name} is on {item.device}; give it in main memory, .cpu()")
        if not item.dim() or len(item) != images:
            raise DataError(
                f"extras: {name} must have a row for each of {images} images, got shape "
                f"{tuple(item.shape)}"
            )


def name_problem(name: object) -> str:
    """Return what is wrong with the name of an extra; empty if nothing is."""
    if not isinstance(name, str) or not name.isidentifier():
        return f"{name!r} can't be the name of a signal: expected letters, digits and underscores"
    if name in _TAKEN or name.startswith("teacher_"):
        return f"{name} is a signal of its own; choose another name"
    return ""


def rows_of_extras(extras: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """Return the extras of some images, by their rows, int64 (B,)."""
    return {name: item[rows] for name, item in extras.items()}
