"""A data set of torch as a split: read once into memory if it is small, else when needed."""

from __future__ import annotations

import copy
import numbers
import os
import random
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset, get_worker_info

from sslcore.compute.device import free_memory
from sslcore.data import Split
from sslcore.data.form import UNIT
from sslcore.errors import DataError
from sslcore.objects.items import Label, are_bytes, as_bytes, in_unit_range, item
from sslcore.objects.randomness import own_randomness

#: The fraction of the free main memory that images may take.
_IN_MEMORY = 0.25
#: Items that decide what all of them are like.
_SAMPLED = 32
_GIB = 2**30


def split_of_items(given: Any) -> tuple[Split, tuple[str, ...]]:
    """Return the items of a data set as a split, and notes on how they are read.

    Raises:
        DataError: an item is no image, or does not go with others.
    """
    count = len(given)
    if not count:
        raise DataError("it has no items")
    sample = _Sample.of(given, count)
    if sample.nbytes * count <= _IN_MEMORY * free_memory(torch.device("cpu")):
        return _in_memory(given, count, sample), ()
    size = f"{sample.nbytes * count / _GIB:,.1f} GiB"
    if sample.draws:
        raise DataError(
            f"its items draw random numbers, and it is too large to be read once ({size}); leave "
            "random transforms out of it: the augmentation makes the views"
        )
    notes = [f"items are read when they are needed: all of them would take {size} of memory"]
    labels, read = _labels_when_needed(given, count, sample)
    if read:
        notes.append(
            "labels are read from the items in one pass; an attribute `targets` of the data set "
            "spares it"
        )
    images = ItemImages(given, torch.arange(count), sample)
    return _labelled(Split(images, range=sample.range), labels), tuple(notes)


@dataclass(frozen=True)
class _Sample:
    """What some items, evenly spread, are like.

    Attributes:
        rows: which items.
        labels: their labels.
        nbytes: bytes of an image, on average.
        unit: whether their values are floats in [0, 1].
        bytes: whether they are floats that were made of 8 bits.
        draws: whether reading one draws from the global random generators.
    """

    rows: tuple[int, ...]
    labels: tuple[Label | None, ...]
    nbytes: float
    unit: bool
    bytes: bool
    draws: bool

    @classmethod
    def of(cls, given: Any, count: int) -> _Sample:
        rows = np.linspace(0, count - 1, min(count, _SAMPLED)).round().astype(int).tolist()
        images, labels, draws = [], [], False
        with own_randomness() as seed:
            for row in rows:
                seed(row)
                before = _states()
                image, label = item(given, row)
                draws = draws or _states() != before
                images.append(image)
                labels.append(label)
        floats = all(image.is_floating_point() for image in images)
        unit = floats and all(map(in_unit_range, images))
        made_of_bytes = unit and all(map(are_bytes, images))
        nbytes = sum(image.nbytes for image in images) / len(images)
        return cls(
            rows=tuple(rows),
            labels=tuple(labels),
            nbytes=nbytes / 4 if made_of_bytes else nbytes,
            unit=unit,
            bytes=made_of_bytes,
            draws=draws,
        )

    @property
    def range(self) -> tuple[float, float] | None:
        """The values that become 0 and 1, where they need not be found."""
        return UNIT if self.unit and not self.bytes else None

    def image(self, given: Any, row: int) -> tuple[Tensor, Label | None]:
        """Return the image and the label of an item, of the type that the sample has.

        Raises:
            DataError: the item is no image, or its values are not as those of the sample.
        """
        image, label = item(given, row)
        if self.unit and image.is_floating_point():
            if not in_unit_range(image):
                low, high = (float(value) for value in image.aminmax())
                raise DataError(
                    f"item {row} has floats from {low:.4g} to {high:.4g}, and those of other "
                    "items are in [0, 1]"
                )
            return as_bytes(image) if self.bytes else image, label
        return image, label


def _states() -> tuple[object, ...]:
    numpy_state = np.random.get_state(legacy=True)
    return (
        torch.get_rng_state().numpy().tobytes(),
        tuple(np.asarray(part).tobytes() for part in numpy_state),
        random.getstate(),
    )


def _in_memory(given: Any, count: int, sample: _Sample) -> Split:
    images: list[Tensor] = []
    labels: list[Label | None] = []
    whole: Tensor | None = None
    # A transform within the data set may draw: what is read must not depend on the caller's draws.
    with own_randomness() as seed:
        for row in range(count):
            seed(row)
            image, label = sample.image(given, row)
            labels.append(label)
            if row == 0:
                whole = torch.empty((count, *image.shape), dtype=image.dtype)
            if whole is not None and (image.shape, image.dtype) == (whole.shape[1:], whole.dtype):
                whole[row] = image
                continue
            if whole is not None:
                images, whole = list(whole[:row]), None
            images.append(image)
    if whole is None or whole.shape[-1] != whole.shape[-2]:
        held = HeldImages(images if whole is None else list(whole))
        return _labelled(Split(held, range=sample.range), labels)
    return _labelled(Split(whole, range=sample.range), labels)


class HeldImages:
    """Images in memory, of any sizes."""

    def __init__(self, images: Sequence[Tensor]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        """Return images (C, H, W)."""
        return [self.images[row] for row in rows]

    def subset(self, rows: Tensor) -> HeldImages:
        """Return some of the images, by their rows, int64 (N,)."""
        return HeldImages([self.images[row] for row in rows.tolist()])

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return sum(image.nbytes for image in self.images)


class ItemImages:
    """Images of a data set of torch, read when they are needed.

    Data sets are written for processes of their own, and not for threads, so one item is read at
    a time. In reading processes the draws of an item depend on its number alone.

    Args:
        given: the data set.
        rows: the items that there are, int64 (N,).
        sample: what the items are like.
    """

    def __init__(self, given: Any, rows: Tensor, sample: _Sample) -> None:
        self.given, self.rows, self.sample = given, rows, sample
        self._lock = _ProcessLock()

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        """Return images (C, H, W).

        Raises:
            DataError: an item is no image, or not as the others.
        """
        own = [int(self.rows[row]) for row in rows]
        seeded = get_worker_info() is not None
        images = []
        with self._lock.held(), own_randomness() if seeded else nullcontext() as seed:
            for row in own:
                if seed is not None:
                    seed(row)
                images.append(self.sample.image(self.given, row)[0])
        return images

    def subset(self, rows: Tensor) -> ItemImages:
        """Return some of the images, by their rows, int64 (N,)."""
        made = copy.copy(self)
        made.rows = self.rows[rows]
        return made


class _ProcessLock:
    """A lock of each process: a child must not wait for a thread that it does not have."""

    def __init__(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()

    def __reduce__(self) -> tuple[type[_ProcessLock], tuple[()]]:
        return _ProcessLock, ()

    def held(self) -> threading.Lock:
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
        return self._lock


def _labels_when_needed(given: Any, count: int, sample: _Sample) -> tuple[list[Label | None], bool]:
    """Return the labels of all items, and whether the items had to be read."""
    if all(label is None for label in sample.labels):
        return [None] * count, False
    known = _attributes(given, count)
    for labels in known:
        pairs = zip(sample.rows, sample.labels, strict=True)
        if all(isinstance(label, int) and labels[row] == label for row, label in pairs):
            return list(labels), False
    with own_randomness() as seed:
        labels_read = []
        for row in range(count):
            seed(row)
            labels_read.append(item(given, row)[1])
    return labels_read, True


def _attributes(given: Any, count: int) -> list[Sequence[int]]:
    """Return what may be the labels of a data set, of those that torchvision's have as attributes.

    They need not be: a transform of labels may change them.
    """
    if isinstance(given, Subset):
        inner = _attributes(given.dataset, len(given.dataset))  # type: ignore[arg-type]
        return [[labels[row] for row in given.indices] for labels in inner]
    if isinstance(given, ConcatDataset):
        parts = [_attributes(part, len(part)) for part in given.datasets]  # type: ignore[arg-type]
        return [list(chain.from_iterable(each)) for each in zip(*parts, strict=False)]
    found = [getattr(given, name, None) for name in ("targets", "labels")]
    samples = getattr(given, "samples", None)
    if isinstance(samples, Sequence) and samples and isinstance(samples[0], tuple):
        found.append([pair[-1] for pair in samples])
    return [numbers_ for each in found if (numbers_ := _numbers(each, count)) is not None]


def _numbers(labels: object, count: int) -> list[int] | None:
    if isinstance(labels, (Tensor, np.ndarray)):
        labels = labels.tolist()
    if not isinstance(labels, Sequence) or isinstance(labels, str) or len(labels) != count:
        return None
    whole = all(isinstance(label, numbers.Integral) for label in labels)
    return [int(label) for label in labels] if whole else None


def _labelled(split: Split, labels: list[Label | None]) -> Split:
    found = [label for label in labels if label is not None]
    if not found:
        return split
    if len(found) < len(labels):
        row = next(row for row, label in enumerate(labels) if label is None)
        raise DataError(f"item {row} has no label, and other items have one")
    numbers_ = [label for label in found if isinstance(label, int)]
    if len(numbers_) == len(found):
        return Split(split.images, torch.tensor(numbers_), range=split.range)
    columns = [label for label in found if isinstance(label, Tensor)]
    shapes = {tuple(label.shape) for label in columns}
    if len(columns) < len(found) or len(shapes) > 1:
        raise DataError(
            "items have several labels each, in different forms; give each item a bool tensor (K,)"
        )
    return Split(split.images, torch.stack(columns), range=split.range)
