"""Files as tensors of which only the rows asked for are read."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor


def mapped(open_in: Callable[[Literal["c", "r"]], np.ndarray]) -> Tensor:
    """Return a memory-mapped array as a tensor.

    Args:
        open_in: opens it in one of numpy's modes: "c", copy on write, or "r".

    Raises:
        OSError: it can't be opened.
    """
    try:
        return torch.from_numpy(open_in("c"))
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
    # Copy on write makes a mistaken write harmless, but the system reserves memory for the whole
    # file, and larger files than there is memory are what mapping is for.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(open_in("r"))
