"""Files as tensors of which only the rows asked for are read."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sslcore.data.reader import MappedFile

if TYPE_CHECKING:
    import numpy as np


def mapped(open_in: Callable[[Literal["c", "r"]], np.memmap]) -> tuple[Tensor, MappedFile]:
    """Return a memory-mapped array as a tensor, and its file for the splits made of it.

    Args:
        open_in: opens a whole array in one of numpy's modes: "c", copy on write, or "r".

    Raises:
        OSError: it can't be opened.
    """
    array = _opened(open_in)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(array)
    return images, MappedFile(str(array.filename), array.offset, images)


def _opened(open_in: Callable[[Literal["c", "r"]], np.memmap]) -> np.memmap:
    try:
        return open_in("c")
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
    # Copy on write makes a mistaken write harmless, but the system reserves memory for the whole
    # file, and larger files than there is memory are what mapping is for.
    return open_in("r")
