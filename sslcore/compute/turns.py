"""Waiting for other processes however long they take, as long as they are alive.

A collective fails after a fixed time (30 minutes with gloo), and the images of a large data set may
take hours to prepare. Here each process writes a heart-beat to the store that all of them share,
and waits as long as the heart-beats of the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sslcore.errors import LostProcessError

#: Seconds between two heart-beats, between two looks, and without a heart-beat until a process
#: counts as lost.
_BEAT, _PAUSE, _PATIENCE = 2.0, 0.1, 120.0


class Turns:
    """A point that the first process of each machine passes first, and that all leave together.

    Args:
        store: a `torch.distributed.Store`.
        name: names this point; no other one has the name.
        rank: rank of this process.
        count: number of processes.
        patience: seconds without a heart-beat after which a process counts as lost.
    """

    def __init__(
        self, store: Any, name: str, rank: int, count: int, *, patience: float = _PATIENCE
    ) -> None:
        self.store, self.name, self.rank, self.count = store, name, rank, count
        self.patience = patience

    @contextmanager
    def after(self, first: int) -> Iterator[None]:
        """Run the body when the process with the rank `first` has run its own.

        Afterwards, wait for all processes. After an error in the body, nobody waits for this one.

        Raises:
            LostProcessError: a process that this one waits for has stopped.
        """
        with self._beating():
            if first != self.rank:
                self._wait_for(first)
            try:
                yield
            finally:
                self.store.set(self._key("passed", self.rank), "yes")
            for rank in range(self.count):
                self._wait_for(rank)

    def _key(self, kind: str, rank: int) -> str:
        return f"{self.name}/{kind}/{rank}"

    @contextmanager
    def _beating(self) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            number = 0
            while not ended.is_set():
                number += 1
                try:
                    self.store.set(self._key("beat", self.rank), str(number))
                except RuntimeError:  # the store has gone, which the main thread notices itself
                    return
                ended.wait(min(_BEAT, self.patience / 10))

        thread = threading.Thread(target=beat, name="sslcore-heart-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _wait_for(self, rank: int) -> None:
        passed, beat = self._key("passed", rank), self._key("beat", rank)
        last, since = b"", time.monotonic()
        while not self.store.check([passed]):
            # `get` waits until the key exists.
            now = self.store.get(beat) if self.store.check([beat]) else b""
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > self.patience:
                raise LostProcessError(
                    f"process {rank} of this run has given no sign of life for "
                    f"{self.patience:.0f} s; see its output for the cause"
                )
            time.sleep(_PAUSE)
