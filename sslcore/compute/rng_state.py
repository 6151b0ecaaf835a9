"""torch's global random generators, of the CPU and of the device that a run uses.

Dropout and the like draw from them, so a run seeds them, keeps their state in its checkpoints, and
gives them back to the caller as they were. Those of other devices are nobody's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generator of the CPU and that of `device`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of both generators, by type of device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put states back; that of another type of device has no place here and is left out."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Leave the generators, in the end, as the caller had them."""
    states = generator_states(device)
    try:
        yield
    finally:
        restore_generators(states, device)
