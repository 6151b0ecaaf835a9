"""Work on independent parts, a thread for each processor, with no meeting before the end.

An operation on a tensor of a block's size takes some ten microseconds. Split over processors, it
would mostly be waiting for the slower half, and for a whole time slice wherever another process
has one of the processors. So the parts are what is shared out, and each operation stays in its
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch

Part = TypeVar("Part")


def share_out(work: Callable[[Part], None], parts: Iterable[Part]) -> None:
    """Call `work` with each of the parts, in as many threads as torch has been given.

    No graph is recorded. What a part raises, the first to do so, is raised here.
    """
    waiting: SimpleQueue[Part] = SimpleQueue()
    for part in parts:
        waiting.put(part)
    given = torch.get_num_threads()
    wanted = min(given, waiting.qsize())
    failures: list[BaseException] = []
    inference = torch.is_inference_mode_enabled()

    def take_parts() -> None:
        try:
            torch.set_num_threads(1)
            with torch.inference_mode(inference), torch.no_grad():
                while not failures:
                    work(waiting.get_nowait())
        except Empty:
            pass
        except BaseException as failure:
            failures.append(failure)

    others = [threading.Thread(target=take_parts, daemon=True) for _ in range(wanted - 1)]
    try:
        for other in others:
            other.start()
        take_parts()
        for other in others:
            other.join()
    finally:
        # The number is that of the thread which sets it, and of those that are started later.
        torch.set_num_threads(given)
    if failures:
        raise failures[0]
