"""Small exact operations: rows of unit length, images as floats, computing without autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def unit_rows(rows: Tensor) -> Tensor:
    """Return rows (..., D) at unit length, in float32 or wider; a zero row stays zero.

    Rows of any magnitude are scaled without overflow or underflow, and the gradient of a zero row
    is finite.
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    # The result does not depend on the scale, so neither does its gradient: detaching is exact.
    largest = rows.detach().abs().amax(-1, keepdim=True)
    scaled = rows / largest.where(largest > 0, 1)
    # A nonzero row now has a square sum of at least 1; the clamp touches zero rows only.
    return scaled / scaled.square().sum(-1, keepdim=True).clamp_min(0.5).sqrt()


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that disables autocast on a device.

    A loss that divides similarities by a temperature needs it: dividing by a small temperature
    magnifies their rounding errors.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def as_float(images: Tensor) -> Tensor:
    """Return uint8 images as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)
