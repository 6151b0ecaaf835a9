"""Main memory that a step leaves behind, kept for the next step."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What mallopt sets, as <malloc.h> of the GNU C library numbers it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
#: As the GNU C library has them of itself, once it has seen large blocks come and go.
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}
_NEVER = -1


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Keep the memory of large tensors on the CPU while this lasts, and give it back then.

    The GNU C library asks the system for every block of 32 MiB or more anew and returns it at
    once, and the system clears each page on first touch, which can take a fifth of the time of a
    training step. It is a setting of the whole process. With another library, and where the
    tensors are on another device, nothing is done.
    """
    library = _gnu_library() if device.type == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        for setting, value in _USUAL.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)


def _gnu_library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018
    except (OSError, AttributeError, TypeError):
        return None
    return library
