"""Work on independent parts, a thread for each processor, with no meeting before the end.

An operation on a tensor of a block's size takes some ten microseconds. Split over processors, it
would mostly be waiting for the slower half, and for a whole time slice wherever another process
has one of the processors. So the parts are what is shared out, and each operation stays in its
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

Part = TypeVar("Part")


@contextmanager
def one_thread() -> Iterator[int]:
    """Keep what this thread does in it; give the number of threads that torch has been given."""
    given = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield given
    finally:
        torch.set_num_threads(given)


def share_out(work: Callable[[Part], None], parts: Iterable[Part], threads: int) -> None:
    """Call `work` with each of the parts, in up to so many threads; no graph is recorded.

    To be called in `one_thread`. What a part raises, the first to do so, is raised here.
    """
    waiting: SimpleQueue[Part] = SimpleQueue()
    for part in parts:
        waiting.put(part)
    failures: list[BaseException] = []
    inference = torch.is_inference_mode_enabled()

    def take_parts() -> None:
        try:
            # The number is one of each thread's own.
            torch.set_num_threads(1)
            with torch.inference_mode(inference), torch.no_grad():
                while not failures:
                    work(waiting.get_nowait())
        except Empty:
            pass
        except BaseException as failure:
            failures.append(failure)

    helpers = min(threads, waiting.qsize()) - 1
    others = [threading.Thread(target=take_parts, daemon=True) for _ in range(helpers)]
    for other in others:
        other.start()
    take_parts()
    for other in others:
        other.join()
    if failures:
        raise failures[0]
