"""Global random generators, seeded for a block of code and then put back as they were.

A transform or a data set of a user draws from the global generators of torch, numpy and Python. In
such a block its draws depend on the seed alone, and the user's own draws do not change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_randomness() -> Iterator[Callable[[int], None]]:
    """Yield a function that seeds the generators; their states are restored at the end."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield _seed
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def _seed(seed: int) -> None:
    # torch.manual_seed would seed every GPU as well, and nothing is drawn there.
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
