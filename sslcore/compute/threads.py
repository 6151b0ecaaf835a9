"""Threads that work beside each other, each on one core."""

from __future__ import annotations


def one_thread_each() -> None:
    """Let the calling thread compute on one core, for threads of which there is one per core.

    Without this, each of them would start as many threads of OpenMP as there are cores. Other
    threads keep their number.
    """
    import torch
    from threadpoolctl import threadpool_limits

    # torch sets the number in a thread when it is first asked for it.
    torch.get_num_threads()
    threadpool_limits(1, user_api="openmp")
