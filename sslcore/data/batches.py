"""The batch of each step, from the memory of the device if all images fit, else streamed.

The images of a step depend on (seed, step) alone, so a resumed run sees the same batches as a run
without interruption.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sslcore.compute.device import free_memory
from sslcore.compute.threads import one_thread_each
from sslcore.data import Split
from sslcore.data.originals import Originals
from sslcore.data.reader import Rows, current_device
from sslcore.data.sources import Boxing, Crops
from sslcore.errors import UsageError
from sslcore.random import BatchRandom, epoch_order

#: Fraction of the free memory that images may use; the rest is for weights and activations.
_RESIDENT = 0.4
#: Batches read ahead, and threads that read them: a disk is faster with several requests.
_AHEAD, _READERS = 3, 4
#: Threads that decode images, of which each takes a batch: no more than cores.
_MOST_DECODERS = 16
#: Positions of an epoch whose rows are computed at once.
_ORDERED = 2**16
#: Bytes of images moved to the device at once.
_BLOCK = 2**26


@dataclass(frozen=True)
class Batch:
    """The images of a step on the device, with their labels if the loss is supervised.

    Attributes:
        step: counted from 0 over the whole run.
        images: the images of this process, (B, …), uint8 or float in [0, 1]; or the boxes of the
            originals that the augmentation asks for.
        labels: their labels, int64, (B,), or None.
        size: images in the global batch, over all processes.
        given: what else comes with each image, by signal, (B, …): `indices`, and extras.
    """

    step: int
    images: Tensor | Crops
    labels: Tensor | None
    size: int
    given: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, rows: slice) -> Batch:
        """Return the batch of some of its images."""
        labels = None if self.labels is None else self.labels[rows]
        given = {name: item[rows] for name, item in self.given.items()}
        return replace(self, images=self.images[rows], labels=labels, given=given)


class Batches:
    """The batches of a run, by step.

    Args:
        split: the training images.
        batch_size: images in a global batch; an epoch leaves out the images that don't fill one.
        seed: determines the order.
        device: where the batches go.
        labels: whether to return labels.
        given: which of the extras of the split, and `indices`, to return.
        workers: processes that read ahead. None reads ahead with threads if the images don't fit
            on the device; 0 never reads ahead.
        share: the rows of the global batch that this process takes; None takes all.
        boxing: from the sizes of originals to the boxes that the augmentation asks for; they are
            cut out of images that are read as originals. None takes whole images.

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
        given: Collection[str] = (),
        workers: int | None = None,
        share: slice | None = None,
        boxing: Boxing | None = None,
    ) -> None:
        if batch_size > len(split):
            raise UsageError(
                f"training.batch_size: {batch_size} is larger than the {len(split)} training "
                f"images; use --batch-size {len(split)} or less"
            )
        self.split, self.batch_size, self.seed, self.device = split, batch_size, seed, device
        self.labels = split.labels if labels else None
        self.given = {name: split.extras[name] for name in split.extras if name in given}
        self.with_indices = "indices" in given
        self.share = slice(None) if share is None else share
        self.steps_per_epoch = len(split) // batch_size
        self.workers = workers or 0
        self._ahead = _AHEAD if workers is None else 0
        self.reader = split.reader
        self.boxing = boxing if isinstance(self.reader, Originals) else None
        self.resident = False
        if isinstance(self.reader, Rows):
            # The system caches the file in main memory, where a copy would be a second one.
            in_place = device.type == "cpu" and self.reader.file is not None
            fits = self.reader.nbytes <= _RESIDENT * free_memory(device)
            self.resident = fits and not in_place and self.workers == 0
        self._images: Tensor | None = None
        self._part: tuple[int, int] | None = None

    def rows(self, step: int) -> Tensor:
        """Return the rows of the split in the global batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        # A part of the order is computed at once, which is faster than batch by batch.
        steps = max(1, _ORDERED // self.batch_size)
        part, place = divmod(position, steps)
        if self._part != (epoch, part):
            each = steps * self.batch_size
            stop = min((part + 1) * each, len(self.split))
            self._order = epoch_order(self.seed, epoch, len(self.split), part * each, stop)
            self._part = (epoch, part)
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

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
        assert isinstance(self.reader, Rows)
        if self._images is None:
            self._images = self._all_on_device(self.reader)
        for step in range(start, stop):
            rows = self.rows(step)[self.share]
            images = self._images[self._to_device(rows)]
            yield self._batch(step, self.reader.in_range(images), rows)

    def _all_on_device(self, reader: Rows) -> Tensor:
        """Return all images on the device, as they are stored."""
        images = self.split.images
        assert isinstance(images, Tensor)
        if reader.file is None:
            return images.to(self.device)
        moved = torch.empty(images.shape, dtype=images.dtype, device=self.device)
        for rows in torch.split(torch.arange(len(images)), max(1, _BLOCK // images[0].nbytes)):
            moved[rows[0] : rows[-1] + 1] = reader.raw(rows)
        return moved

    def first(self, count: int) -> Batch:
        """Return the first images of the first batch on the device, for checks."""
        rows = self.rows(0)[: min(count, self.batch_size)]
        random = BatchRandom(self.seed, 0, self.batch_size, rows=slice(0, len(rows)))
        return replace(self._batch(0, self._read(rows, random), rows), size=len(rows))

    def _read(self, rows: Tensor, random: BatchRandom | None) -> Tensor | Crops:
        """Return the images of some rows, or their boxes, for the device."""
        if self.boxing is None or random is None:
            return self.reader.read(rows, self.device)
        crops = self._crops(rows, self.boxing, random)
        return crops.pin_memory() if self.device.type == "cuda" else crops

    def _crops(self, rows: Tensor, boxing: Boxing, random: BatchRandom) -> Crops:
        assert isinstance(self.reader, Originals)
        return self.reader.crops(rows, boxing, random)

    def _random(self, step: int) -> BatchRandom | None:
        """Return the random numbers for the boxes of a step, on the CPU."""
        if self.boxing is None:
            return None
        share = None if self.share == slice(None) else self.share
        return BatchRandom(self.seed, step, self.batch_size, rows=share)

    def _by_threads(self, start: int, stop: int) -> Iterator[Batch]:
        ahead: deque[tuple[int, Tensor, Future[Tensor | Crops]]] = deque()
        decoded = isinstance(self.reader, Originals)
        readers = min(_MOST_DECODERS, os.cpu_count() or 1) if decoded else _READERS
        most = readers + 1 if decoded else self._ahead
        pool = ThreadPoolExecutor(
            readers,
            thread_name_prefix="sslcore-reader",
            initializer=one_thread_each if decoded else None,
        )
        try:
            for step in range(start, stop):
                rows = self.rows(step)[self.share]
                if not self._ahead:
                    yield self._batch(step, self._read(rows, self._random(step)), rows)
                    continue
                ahead.append((step, rows, pool.submit(self._read, rows, self._random(step))))
                if len(ahead) > most:
                    yield self._next(ahead)
            while ahead:
                yield self._next(ahead)
        finally:
            pool.shutdown(cancel_futures=True)

    def _next(self, ahead: deque[tuple[int, Tensor, Future[Tensor | Crops]]]) -> Batch:
        step, rows, read = ahead.popleft()
        return self._batch(step, read.result(), rows)

    def _by_processes(self, start: int, stop: int) -> Iterator[Batch]:
        # Rows that the loader requested and did not return yet.
        requested: deque[Tensor] = deque()

        def rows_of_steps() -> Iterator[tuple[int, Tensor]]:
            for step in range(start, stop):
                requested.append(self.rows(step)[self.share])
                yield step, requested[-1]

        loader = DataLoader(
            _Batched(self),
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

    def read_in_process(self, step: int, rows: Tensor) -> Tensor | Crops:
        """Return the images of some rows in main memory, in a reading process."""
        random = self._random(step)
        if self.boxing is None or random is None:
            return self.reader.read(rows)
        return self._crops(rows, self.boxing, random)

    def __getstate__(self) -> dict[str, object]:
        """Leave out what a reading process does not need."""
        left_out: dict[str, object] = {"_images": None, "split": None, "labels": None, "given": {}}
        return self.__dict__ | left_out | {"device": torch.device("cpu")}

    def _batch(self, step: int, images: Tensor | Crops, rows: Tensor) -> Batch:
        labels = None if self.labels is None else self._to_device(self.labels[rows])
        images = images.to(self.device, non_blocking=True)
        given = {name: item[rows] for name, item in self.given.items()}
        if self.with_indices:
            given["indices"] = rows
        moved = {name: self._to_device(item) for name, item in given.items()}
        return Batch(step, images, labels, self.batch_size, moved)

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, without making the host wait."""
        if self.device.type != "cuda":
            return tensor.to(self.device)
        with current_device(self.device):
            return tensor.pin_memory().to(self.device, non_blocking=True)


def largest_batch(images: int, processes: int = 1) -> int:
    """Return the batch size for fewer images than a default batch: the largest power of two.

    Args:
        images: number of training images.
        processes: number of processes, each of which takes the same number of images.

    Returns:
        at most `images`, unless there are more processes than images.
    """
    power = 1 << max(0, images.bit_length() - 1)
    return max(1, power // processes) * processes


class _Batched(torch.utils.data.Dataset["Tensor | Crops"]):
    """Lets a reading process read a whole batch at once."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.size = batches, len(batches.split)

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, asked: tuple[int, Tensor]) -> Tensor | Crops:
        step, rows = asked
        return self.batches.read_in_process(step, torch.as_tensor(rows))


def _as_is(batch: Tensor | Crops) -> Tensor | Crops:
    return batch
