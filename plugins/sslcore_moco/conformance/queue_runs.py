"""Losses with a queue, run over several batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sslcore.testing.losses.draws import fixed
from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import LossSubject

if TYPE_CHECKING:
    from sslcore_moco.conformance.examples import Signals

#: Images in the batches that are scored one after the other: none, some and all of a queue.
BATCHES = (2, 3, 1, 5, 9, 2, 4)


class QueueRuns:
    """Runs losses with a queue, for the properties of their state.

    Args:
        signals: makes examples.
    """

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def batch(self, example: Example, step: int) -> Example:
        """Return the batch of a later step, as wide as the example."""
        dim = self.signals.of(example)[0].shape[-1]
        queries, keys = fixed(f"batch {step}", 2, 2, BATCHES[step % len(BATCHES)], dim)
        return self.signals.moved(example, queries, keys)

    def used(self, subject: LossSubject, example: Example, steps: int = 2) -> Any:
        """Return a loss that has seen batches already."""
        loss = subject.make(example)
        with torch.no_grad():
            for step in range(steps):
                subject.call(loss, self.batch(example, step))
        return loss

    def filled(self, subject: LossSubject, example: Example, keys: Tensor) -> Any:
        """Return a loss with these keys (K, D) in its queue: a batch of them has gone by."""
        loss = subject.make(example.with_hyper(queue_size=len(keys)))
        both = keys.expand(2, -1, -1)
        with torch.no_grad():
            subject.call(loss, self.signals.moved(example, both.flip(1), both))
        return loss

    def value(self, subject: LossSubject, loss: Any, example: Example) -> float:
        """Return the value of a loss for an example."""
        with torch.no_grad():
            return float(subject.call(loss, example))
