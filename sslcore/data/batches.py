"""The batch of each step, from memory on the device where the images fit, else streamed.

Which images a step sees depends on (seed, step) alone, so a run that starts at step n sees what it
would have seen had it come there from step 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sslcore.compute.device import free_memory
from sslcore.data import Split
from sslcore.data.reader import Rows, current_device
from sslcore.errors import UsageError
from sslcore.random import epoch_order

#: The part of the free memory that images may take; the rest is for weights and activations.
_SHARE = 0.4
#: Batches that are read ahead, and threads that read them: a disk answers several at once sooner.
_AHEAD, _READERS = 3, 4
#: Bytes of images that are brought to the device at once.
_BLOCK = 2**26


@dataclass(frozen=True)
class Batch:
    """The images of a step, uint8 on the device, and their labels where the loss asks for them.

    Attributes:
        step: counted from 0 over the whole run.
        images: those that this process takes, (B, …).
        labels: theirs, (B,).
        size: images in the global batch, over all processes.
    """

    step: int
    images: Tensor
    labels: Tensor | None
    size: int


class Batches:
    """The batches of a run, by step.

    Args:
        split: the training images.
        batch_size: images in a global batch; what is left of an epoch after whole batches waits
            for the next epoch's order.
        seed: decides the order.
        device: where the batches go.
        labels: whether to give labels.
        workers: processes that read ahead; none reads ahead with threads, where the images don't
            fit on the device; 0 never reads ahead.
        part: the positions in the global batch that this process takes; none means all.

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
                f"images; use --batch-size {len(split)} or less"
            )
        self.split, self.batch_size, self.seed, self.device = split, batch_size, seed, device
        self.labels = split.labels if labels else None
        self.part = slice(None) if part is None else part
        self.steps_per_epoch = len(split) // batch_size
        self.workers = workers or 0
        self._ahead = _AHEAD if workers is None else 0
        self.reader = Rows(split.images, split.file)
        # In main memory, the system keeps what was read of a file: a copy would be a second one.
        in_place = device.type == "cpu" and self.reader.file is not None
        fits = split.images.nbytes <= _SHARE * free_memory(device)
        self.resident = fits and not in_place and self.workers == 0
        self._images: Tensor | None = None
        self._epoch: int | None = None

    def rows(self, step: int) -> Tensor:
        """Return the rows of the split that a step sees, over all processes."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch != epoch:
            self._epoch, self._order = epoch, epoch_order(self.seed, epoch, len(self.split))
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of the steps from `start` up to `stop`.

        Raises:
            OSError: the images can't be read.
            RuntimeError: a process that reads them has died.
        """
        if self.resident:
            return self._from_memory(start, stop)
        if self.workers:
            return self._by_processes(start, stop)
        return self._by_threads(start, stop)

    def _from_memory(self, start: int, stop: int) -> Iterator[Batch]:
        if self._images is None:
            self._images = self._brought()
        for step in range(start, stop):
            rows = self.rows(step)[self.part]
            yield self._batch(step, self._images[self._moved(rows)], rows)

    def _brought(self) -> Tensor:
        """Return all images on the device."""
        images = self.split.images
        if self.reader.file is None:
            return images.to(self.device)
        brought = torch.empty(images.shape, dtype=images.dtype, device=self.device)
        for rows in torch.split(torch.arange(len(images)), max(1, _BLOCK // images[0].nbytes)):
            brought[rows[0] : rows[-1] + 1] = self.reader.read(rows)
        return brought

    def _by_threads(self, start: int, stop: int) -> Iterator[Batch]:
        coming: deque[tuple[int, Tensor, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="sslcore-reader")
        try:
            for step in range(start, stop):
                rows = self.rows(step)[self.part]
                if not self._ahead:
                    yield self._batch(step, self.reader.read(rows, self.device), rows)
                    continue
                coming.append((step, rows, pool.submit(self.reader.read, rows, self.device)))
                if len(coming) > self._ahead:
                    yield self._next(coming)
            while coming:
                yield self._next(coming)
        finally:
            pool.shutdown(cancel_futures=True)

    def _next(self, coming: deque[tuple[int, Tensor, Future[Tensor]]]) -> Batch:
        step, rows, read = coming.popleft()
        return self._batch(step, read.result(), rows)

    def _by_processes(self, start: int, stop: int) -> Iterator[Batch]:
        # Rows that the loader has asked for, and whose images have not come yet.
        under_way: deque[Tensor] = deque()

        def rows_of_steps() -> Iterator[Tensor]:
            for step in range(start, stop):
                under_way.append(self.rows(step)[self.part])
                yield under_way[-1]

        loader = DataLoader(
            _Batched(self.reader, len(self.split)),
            batch_sampler=rows_of_steps(),  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=_as_is,  # type: ignore[arg-type]
            pin_memory=self.device.type == "cuda",
            # Its own generator: the global one belongs to the model and is saved with it.
            generator=torch.Generator(),
        )
        with current_device(self.device):
            read = iter(loader)
        for step, images in enumerate(read, start):
            yield self._batch(step, images, under_way.popleft())

    def _batch(self, step: int, images: Tensor, rows: Tensor) -> Batch:
        labels = None if self.labels is None else self._moved(self.labels[rows])
        images = images.to(self.device, non_blocking=True)
        return Batch(step, images, labels, self.batch_size)

    def _moved(self, small: Tensor) -> Tensor:
        """Return a tensor on the device, which the host does not wait for."""
        if self.device.type != "cuda":
            return small.to(self.device)
        with current_device(self.device):
            return small.pin_memory().to(self.device, non_blocking=True)


class _Batched(torch.utils.data.Dataset[Tensor]):
    """Gives a reading process a whole batch at once."""

    def __init__(self, reader: Rows, size: int) -> None:
        self.reader, self.size = reader, size

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, rows: Tensor) -> Tensor:
        return self.reader.read(torch.as_tensor(rows))


def _as_is(batch: Tensor) -> Tensor:
    return batch
