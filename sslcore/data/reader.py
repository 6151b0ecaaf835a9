"""Rows of images: copied from memory, or read from the file that they are mapped from.

A mapped file that becomes shorter, or a disk that fails, ends the process that touches its pages
with a signal. Reading the file instead makes an error of it.
"""

from __future__ import annotations

import os
import weakref
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class MappedFile:
    """A file that stays open, so that it can be read even when its name is gone.

    Args:
        path: the file.
        offset: the byte of it where the mapped array begins.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: str | Path, offset: int) -> None:
        self.path, self.offset = path, offset
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedFile, (self.path, self.offset)

    def read_into(self, buffer: Any, position: int) -> None:
        """Fill a writable buffer with what begins at byte `position` of the array.

        Raises:
            OSError: the file can't be read, or ends before.
        """
        view = memoryview(buffer)
        position += self.offset
        while view:
            count = os.preadv(self._descriptor, [view], position)
            if count == 0:
                raise OSError(f"{self.path} ends before byte {position}: it was changed or cut off")
            view, position = view[count:], position + count


def remember_file(images: Tensor, path: str | Path, offset: int) -> None:
    """Note that the storage of `images` is a file's, mapped from byte `offset` on.

    Every view of `images` then knows it, and is read from there while training.

    Raises:
        OSError: the file can't be opened.
    """
    # The object that stands for a storage in Python lives as long as the storage does.
    images.untyped_storage().mapped_file = MappedFile(path, offset)  # type: ignore[attr-defined]


class Rows:
    """Reads some rows of images (N, …), uint8, at a time.

    It uses one thread, lets others work meanwhile, and may be called by several at once.
    """

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape[1:]
        self._strides, self._size = images.stride()[1:], self.shape.numel()
        self._begin, self._step = images.storage_offset(), images.stride(0)
        extent = 1 + sum((n - 1) * s for n, s in zip(self.shape, self._strides, strict=True))
        found = getattr(images.untyped_storage(), "mapped_file", None)
        # What a row spans can be read at once if the row fills it. What was written to a mapping
        # that is copied on write is in memory alone.
        usable = extent == self._size and images._version == 0 and hasattr(os, "preadv")
        self.file: MappedFile | None = found if usable else None
        # Another process is given the file alone, not what is mapped from it.
        self._images = images if self.file is None else None

    def read(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Return the rows (B,) as (B, …), in pinned memory where they go to a CUDA device.

        Raises:
            OSError: the file can't be read, or ends before one of the rows.
        """
        pinned = device is not None and device.type == "cuda"
        with current_device(device):
            read = torch.empty(len(rows), self._size, dtype=torch.uint8, pin_memory=pinned)
        if self.file is not None:
            # Planes and lines stay in the order in which the file has them.
            for buffer, row in zip(read.numpy(), rows.tolist(), strict=True):
                self.file.read_into(buffer, self._begin + row * self._step)
            return read.as_strided((len(rows), *self.shape), (self._size, *self._strides))
        assert self._images is not None
        read = read.view(len(rows), *self.shape)
        images, into = self._images.numpy(), read.numpy()
        for place, row in enumerate(rows.tolist()):
            into[place] = images[row]
        return read


def current_device(device: torch.device | None) -> AbstractContextManager[Any]:
    """Return a context in which a CUDA device is the current one; for others it does nothing.

    A thread begins with the first one, and pinning memory there would begin to use that too.
    """
    if device is None or device.type != "cuda":
        return nullcontext()
    return torch.cuda.device(device)
