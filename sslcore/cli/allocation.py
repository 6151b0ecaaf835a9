"""Main memory that a training step frees, kept for the next step."""

from __future__ import annotations

import ctypes

# The options of mallopt, as <malloc.h> of the GNU C library numbers them.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Tell the GNU C library to keep freed memory until the process ends.

    By default it requests every block of 32 MiB or more from the system and returns it at once,
    and the system clears each page on first touch: up to a fifth of the time of a training step.
    The setting belongs to the whole process, so the command line makes it, never the library.

    Returns:
        Whether it was set; False with another C library.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
        library.gnu_get_libc_version  # noqa: B018
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
