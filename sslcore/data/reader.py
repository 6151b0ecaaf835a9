"""Reads rows of images from memory, or from the file that they are memory-mapped from.

If a mapped file becomes shorter, or a disk fails, access to the mapped memory kills the process.
Reading the file raises an error instead.
"""

from __future__ import annotations

import os
import weakref
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from sslcore.data.form import scaled
from sslcore.errors import DataError


class MappedFile:
    """The file from which the images of a split are memory-mapped.

    A data set that maps a file passes it to its splits, `Split(images, labels, file=file)`, where
    `images` may be any view of the mapped tensor. Training then reads the rows from the file. The
    file stays open, so it can be read even after it is deleted.

    Args:
        path: the file.
        offset: position in the file where the mapped tensor begins, bytes.
        images: the mapped tensor, or a view of it.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, path: str | Path, offset: int, images: Tensor | None = None) -> None:
        self.path, self.offset = path, offset
        self._address = None if images is None else images.untyped_storage().data_ptr()
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __reduce__(self) -> tuple[type[MappedFile], tuple[str | Path, int]]:
        return MappedFile, (self.path, self.offset)

    def backs(self, images: Tensor) -> bool:
        """Whether a tensor is the mapped one or a view of it, and nothing was written to it."""
        # Writes to a copy-on-write mapping change the memory and not the file.
        return images.untyped_storage().data_ptr() == self._address and images._version == 0

    def read_into(self, buffer: memoryview, position: int) -> None:
        """Fill a writable buffer with bytes of the mapped tensor, from byte `position` on.

        Raises:
            OSError: the file can't be read, or is too short.
        """
        position += self.offset
        while buffer:
            count = os.preadv(self._descriptor, [buffer], position)
            if count == 0:
                raise OSError(
                    f"{self.path} ends before byte {position}: it was changed or truncated"
                )
            buffer, position = buffer[count:], position + count


class Rows:
    """Reads rows of images (N, …) from memory or from the file that they are mapped from.

    Reading uses one thread and releases the GIL; several threads may read at once.

    Args:
        images: the images.
        file: the file that they are mapped from, or None.
        range: the values that become 0 and 1; None for uint8, which is returned as it is.
    """

    def __init__(
        self,
        images: Tensor,
        file: MappedFile | None = None,
        range: tuple[float, float] | None = None,
    ) -> None:
        self.shape, self._dtype, self._range = images.shape[1:], images.dtype, range
        self.nbytes = images.nbytes
        self._strides, self._size = images.stride()[1:], self.shape.numel()
        self._begin, self._step = images.storage_offset(), images.stride(0)
        extent = 1 + sum((n - 1) * s for n, s in zip(self.shape, self._strides, strict=True))
        # One read suffices for a row whose values fill the bytes that it spans.
        usable = extent == self._size and hasattr(os, "preadv")
        self.file = file if usable and file is not None and file.backs(images) else None
        # A reading process then receives only the file, and not the mapped images.
        self._images = images if self.file is None else None

    def read(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Return the rows (B,) as (B, …), uint8 or float32 in [0, 1].

        They are in pinned memory if `device` is a CUDA device.

        Raises:
            OSError: the file can't be read, or is too short.
            DataError: the values have no range.
        """
        return self.in_range(self.raw(rows, device))

    def in_range(self, images: Tensor) -> Tensor:
        """Return images, as they are stored, as uint8 or float32 in [0, 1].

        Raises:
            DataError: the values have no range.
        """
        if self._range is not None:
            return scaled(images, self._range)
        if images.dtype != torch.uint8:
            raise DataError(
                f"images are {images.dtype}, and the range of their values is not known"
            )
        return images

    def raw(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Return the rows (B,) as (B, …), as they are stored."""
        pinned = device is not None and device.type == "cuda"
        with current_device(device):
            read = torch.empty(len(rows), self._size, dtype=self._dtype, pin_memory=pinned)
        if self.file is not None:
            # Axes keep their order in the file, such as channels last.
            size = self._dtype.itemsize
            for buffer, row in zip(read.numpy(), rows.tolist(), strict=True):
                start = (self._begin + row * self._step) * size
                self.file.read_into(memoryview(buffer).cast("B"), start)
            return read.as_strided((len(rows), *self.shape), (self._size, *self._strides))
        assert self._images is not None
        read = read.view(len(rows), *self.shape)
        images, into = self._images.numpy(), read.numpy()
        for place, row in enumerate(rows.tolist()):
            into[place] = images[row]
        return read


def current_device(device: torch.device | None) -> AbstractContextManager[object]:
    """Return a context in which a CUDA device is the current one; other devices have none.

    The current device of a new thread is the first one, and pinning memory would initialise it.
    """
    if device is None or device.type != "cuda":
        return nullcontext()
    return torch.cuda.device(device)
