"""A new loss: its weights are drawn the same way each time, and are of the type of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.testing.losses.example import Example

_SEED = 20_262


def made_alike(make: Callable[[], Any], example: Example, *, cast: bool) -> Any:
    """Return a new loss for an example.

    Args:
        make: makes the loss.
        example: its floating-point inputs have the type that the weights get.
        cast: whether buffers are cast where there are no weights.
    """
    before = torch.get_rng_state()
    torch.manual_seed(_SEED)
    seeded = torch.get_rng_state()
    try:
        loss = make()
    except BaseException:
        torch.set_rng_state(before)
        raise
    state = state_of(loss)
    # Weights must be drawn; numbers that anything else draws are a side effect, which must show.
    if state or torch.equal(torch.get_rng_state(), seeded):
        torch.set_rng_state(before)
    dtype = _type_of(example)
    if dtype is not None and state and (cast or any(True for _ in loss.parameters())):
        loss.to(dtype)
    return loss


def _type_of(example: Example) -> torch.dtype | None:
    types = {item.dtype for item in example.inputs.values() if item.is_floating_point()}
    return next(iter(types)) if types else None


def state_of(loss: Any) -> dict[str, Tensor]:
    """Return the weights and buffers of a loss, by name with underscores for dots."""
    if not isinstance(loss, nn.Module):
        return {}
    named = {**dict(loss.named_parameters()), **dict(loss.named_buffers())}
    return {name.replace(".", "_"): item for name, item in named.items()}
