"""Threads that work beside each other, each on one core."""

from __future__ import annotations

import threading

_LOCAL = threading.local()


def one_thread_each() -> None:
    """Let the calling thread compute on one core, for threads of which there is one per core.

    Without this, each of them would start as many threads of OpenMP as there are cores. Other
    threads keep their number.
    """
    import torch
    from threadpoolctl import threadpool_limits

    _LOCAL.beside_others = True
    # torch sets the number in a thread when it is first asked for it.
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")


def works_beside_others() -> bool:
    """Whether the calling thread is one of a pool that has a thread for each core."""
    return getattr(_LOCAL, "beside_others", False)
