"""The batch of each step, from memory on the device where the images fit, else streamed.

Which images a step sees depends on (seed, step) alone, so a run that starts at step n sees what it
would have seen had it come there from step 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sslcore.data import Split
from sslcore.device import free_memory
from sslcore.errors import UsageError
from sslcore.random import epoch_order

#: The part of the free memory that images may take; the rest is for weights and activations.
_SHARE = 0.4


@dataclass(frozen=True)
class Batch:
    """The images of a step, uint8 on the device, and their labels where the loss asks for them."""

    step: int
    images: Tensor
    labels: Tensor | None
    size: int


class Batches:
    """The batches of a run, by step.

    Args:
        split: the training images.
        batch_size: images in a batch; what is left of an epoch after whole batches waits for the
            next epoch's order.
        seed: decides the order.
        device: where the batches go.
        labels: whether to give labels.
        workers: processes that read while streaming; None streams only where the images don't
            fit, 0 never does.

    Raises:
        UsageError: the split is smaller than a batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        labels: bool = False,
        workers: int | None = None,
        part: slice | None = None,
    ) -> None:
        if batch_size > len(split):
            raise UsageError(
                f"training.batch_size: {batch_size} is larger than the {len(split)} training "
                f"images; say --batch-size {len(split)} or less"
            )
        self.split, self.batch_size, self.seed, self.device = split, batch_size, seed, device
        self.labels = split.labels if labels else None
        self.part = slice(0, batch_size) if part is None else part
        self.steps_per_epoch = len(split) // batch_size
        fits = split.images.nbytes <= _SHARE * free_memory(device)
        self.workers = (0 if fits else 2) if workers is None else workers
        self._resident = split.images.to(device) if fits and self.workers == 0 else None

    def rows(self, step: int) -> Tensor:
        """Return the rows of the split that a step sees."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if getattr(self, "_epoch", None) != epoch:
            self._epoch, self._order = epoch, epoch_order(self.seed, epoch, len(self.split))
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of the steps from `start` up to `stop`."""
        if self._resident is not None or self.workers == 0:
            images = self.split.images if self._resident is None else self._resident
            for step in range(start, stop):
                rows = self.rows(step)[self.part]
                yield self._batch(step, images[rows.to(images.device)], rows)
            return
        # Rows that the loader has asked for, and whose images have not come yet.
        under_way: deque[Tensor] = deque()

        def rows_of_steps() -> Iterator[Tensor]:
            for step in range(start, stop):
                under_way.append(self.rows(step)[self.part])
                yield under_way[-1]

        loader = DataLoader(
            _Rows(self.split.images),
            batch_sampler=rows_of_steps(),  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=_as_is,  # type: ignore[arg-type]
            pin_memory=self.device.type == "cuda",
            # Its own generator: the global one belongs to the model and is saved with it.
            generator=torch.Generator(),
        )
        for step, images in enumerate(loader, start):
            yield self._batch(step, images, under_way.popleft())

    def _batch(self, step: int, images: Tensor, rows: Tensor) -> Batch:
        labels = None if self.labels is None else self.labels[rows].to(self.device)
        return Batch(step, images.to(self.device, non_blocking=True), labels, self.batch_size)


class _Rows(torch.utils.data.Dataset):
    """Reads a whole batch at once, which for a memory-mapped file is one pass over its pages."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, rows: Tensor) -> Tensor:
        return self.images[torch.as_tensor(rows)]


def _as_is(batch: Tensor) -> Tensor:
    return batch
