"""The batch of each step, from the memory of the device if all images fit, else streamed.

The images of a step depend on (seed, step) alone, so a resumed run sees the same batches as a run
without interruption.
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

#: Fraction of the free memory that images may use; the rest is for weights and activations.
_RESIDENT = 0.4
#: Batches read ahead, and threads that read them: a disk is faster with several requests.
_AHEAD, _READERS = 3, 4
#: Bytes of images moved to the device at once.
_BLOCK = 2**26


@dataclass(frozen=True)
class Batch:
    """The images of a step on the device, with their labels if the loss is supervised.

    Attributes:
        step: counted from 0 over the whole run.
        images: the images of this process, uint8, (B, …).
        labels: their labels, int64, (B,), or None.
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
        batch_size: images in a global batch; an epoch leaves out the images that don't fill one.
        seed: determines the order.
        device: where the batches go.
        labels: whether to return labels.
        workers: processes that read ahead. None reads ahead with threads if the images don't fit
            on the device; 0 never reads ahead.
        share: the rows of the global batch that this process takes; None takes all.

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
        share: slice | None = None,
    ) -> None:
        if batch_size > len(split):
            raise UsageError(
                f"training.batch_size: {batch_size} is larger than the {len(split)} training "
                f"images; use --batch-size {len(split)} or less"
            )
        self.split, self.batch_size, self.seed, self.device = split, batch_size, seed, device
        self.labels = split.labels if labels else None
        self.share = slice(None) if share is None else share
        self.steps_per_epoch = len(split) // batch_size
        self.workers = workers or 0
        self._ahead = _AHEAD if workers is None else 0
        self.reader = Rows(split.images, split.file)
        # The system caches the file in main memory, where a copy would be a second one.
        in_place = device.type == "cpu" and self.reader.file is not None
        fits = split.images.nbytes <= _RESIDENT * free_memory(device)
        self.resident = fits and not in_place and self.workers == 0
        self._images: Tensor | None = None
        self._epoch: int | None = None

    def rows(self, step: int) -> Tensor:
        """Return the rows of the split in the global batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch != epoch:
            self._epoch, self._order = epoch, epoch_order(self.seed, epoch, len(self.split))
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]

    def between(self, start: int, stop: int) -> Iterator[Batch]:
        """Yield the batches of the steps from `start` up to and without `stop`.

        Raises:
            OSError: the images can't be read.
            RuntimeError: a reading process died.
        """
        if self.resident:
            return self._from_memory(start, stop)
        if self.workers:
            return self._by_processes(start, stop)
        return self._by_threads(start, stop)

    def _from_memory(self, start: int, stop: int) -> Iterator[Batch]:
        if self._images is None:
            self._images = self._all_on_device()
        for step in range(start, stop):
            rows = self.rows(step)[self.share]
            yield self._batch(step, self._images[self._to_device(rows)], rows)

    def _all_on_device(self) -> Tensor:
        """Return all images on the device."""
        images = self.split.images
        if self.reader.file is None:
            return images.to(self.device)
        moved = torch.empty(images.shape, dtype=images.dtype, device=self.device)
        for rows in torch.split(torch.arange(len(images)), max(1, _BLOCK // images[0].nbytes)):
            moved[rows[0] : rows[-1] + 1] = self.reader.read(rows)
        return moved

    def _by_threads(self, start: int, stop: int) -> Iterator[Batch]:
        ahead: deque[tuple[int, Tensor, Future[Tensor]]] = deque()
        pool = ThreadPoolExecutor(_READERS, thread_name_prefix="sslcore-reader")
        try:
            for step in range(start, stop):
                rows = self.rows(step)[self.share]
                if not self._ahead:
                    yield self._batch(step, self.reader.read(rows, self.device), rows)
                    continue
                ahead.append((step, rows, pool.submit(self.reader.read, rows, self.device)))
                if len(ahead) > self._ahead:
                    yield self._next(ahead)
            while ahead:
                yield self._next(ahead)
        finally:
            pool.shutdown(cancel_futures=True)

    def _next(self, ahead: deque[tuple[int, Tensor, Future[Tensor]]]) -> Batch:
        step, rows, read = ahead.popleft()
        return self._batch(step, read.result(), rows)

    def _by_processes(self, start: int, stop: int) -> Iterator[Batch]:
        # Rows that the loader requested and did not return yet.
        requested: deque[Tensor] = deque()

        def rows_of_steps() -> Iterator[Tensor]:
            for step in range(start, stop):
                requested.append(self.rows(step)[self.share])
                yield requested[-1]

        loader = DataLoader(
            _Batched(self.reader, len(self.split)),
            batch_sampler=rows_of_steps(),  # type: ignore[arg-type]
            num_workers=self.workers,
            collate_fn=_as_is,  # type: ignore[arg-type]
            pin_memory=self.device.type == "cuda",
            # The loader must not draw from the global generator, which belongs to the model.
            generator=torch.Generator(),
        )
        with current_device(self.device):
            read = iter(loader)
        for step, images in enumerate(read, start):
            yield self._batch(step, images, requested.popleft())

    def _batch(self, step: int, images: Tensor, rows: Tensor) -> Batch:
        labels = None if self.labels is None else self._to_device(self.labels[rows])
        images = images.to(self.device, non_blocking=True)
        return Batch(step, images, labels, self.batch_size)

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, without making the host wait."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        with current_device(self.device):
            return tensor.pin_memory().to(self.device, non_blocking=True)


class _Batched(torch.utils.data.Dataset[Tensor]):
    """Lets a reading process read a whole batch at once."""

    def __init__(self, reader: Rows, size: int) -> None:
        self.reader, self.size = reader, size

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, rows: Tensor) -> Tensor:
        return self.reader.read(torch.as_tensor(rows))


def _as_is(batch: Tensor) -> Tensor:
    return batch
