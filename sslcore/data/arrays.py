"""Images in arrays: of numpy, of torch, or mapped from a file; of any type and order of axes."""

from __future__ import annotations

import copy
import mmap
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sslcore.data import DTYPES, Split
from sslcore.data.reader import MappedFile, Rows
from sslcore.errors import DataError

#: Some rows of a larger array are read when they are needed; of a smaller one they are copied.
IN_MEMORY = 2**30
#: The number of channels that an axis has at the most to be taken for theirs at sight.
_FEW = 4
_INT32 = torch.iinfo(torch.int32)


def array_split(array: np.ndarray | Tensor, labels: Tensor | None = None) -> Split:
    """Return the images of an array as a split; a large array is not copied.

    Args:
        array: (N, H, W), (N, C, H, W), or of numpy also (N, H, W, C). One that is mapped from a
            file is read from the file.
        labels: as those of a `Split`, or None.

    Raises:
        DataError: the shape or the type is not that of images.
    """
    if isinstance(array, Tensor):
        tensor, file, swapped = _four_axes(array.detach().cpu()), None, False
    else:
        ordered = channels_first(array)
        if ordered.dtype.kind not in "uif":
            raise DataError(f"the array holds {array.dtype}, expected integers or floats")
        swapped = not ordered.dtype.isnative
        tensor = _as_tensor(ordered)
        file = _mapped_file(ordered, tensor)
    if tensor.dtype in DTYPES and not swapped:
        return Split(tensor, labels, file)
    images = ArrayImages(tensor, file, swapped=swapped)
    if len(tensor) and tensor.nbytes <= IN_MEMORY:
        return Split(torch.stack(images.read(range(len(tensor)))), labels)
    return Split(images, labels)


def channels_first(array: np.ndarray) -> np.ndarray:
    """Return an array of images as a view (N, C, H, W).

    Raises:
        DataError: it is no array of images, or its axes can be taken in two ways.
    """
    shape = array.shape
    if array.ndim == 3 and shape[-1] <= _FEW:
        raise DataError(
            f"the array of shape {shape} is one image, or images with no height; expected images "
            "(N, H, W), (N, H, W, C) or (N, C, H, W)"
        )
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"the array has the shape {shape}, expected images (N, H, W), (N, H, W, C) or "
            "(N, C, H, W)"
        )
    _, first, middle, last = shape
    # Most images are square; of others, channels are fewer than rows or columns.
    if (first == middle) != (middle == last):
        return array.transpose(0, 3, 1, 2) if first == middle else array
    if first == last:
        raise DataError(
            f"the array of shape {shape} may be (N, H, W, C) or (N, C, H, W); give a tensor "
            "(N, C, H, W): torch.from_numpy(array)"
        )
    return array if first < last else array.transpose(0, 3, 1, 2)


def _four_axes(tensor: Tensor) -> Tensor:
    shape = tuple(tensor.shape)
    if tensor.dim() == 3:
        return tensor[:, None]
    if tensor.dim() != 4:
        raise DataError(f"the tensor has the shape {shape}, expected images (N, C, H, W)")
    if shape[3] <= _FEW < shape[1] and shape[1] == shape[2]:
        raise DataError(
            f"the tensor of shape {shape} looks like (N, H, W, C); give it as (N, C, H, W): "
            "images.movedim(-1, 1)"
        )
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise DataError(f"the tensor holds {tensor.dtype}, expected integers or floats")
    return tensor


def _as_tensor(array: np.ndarray) -> Tensor:
    """Return an array as a tensor, in the machine's order of bytes whatever its own is."""
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(array).view(array.dtype.newbyteorder("=")))


def _mapped_file(array: np.ndarray, tensor: Tensor) -> MappedFile | None:
    """Return the file that an array and its tensor are mapped from; None if they are not."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    name = getattr(root, "filename", None)
    # What is written to a private mapping is not in the file.
    if name is None or not isinstance(root.base, mmap.mmap) or getattr(root, "mode", "c") == "c":
        return None
    begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    if any(stride < 0 for stride in array.strides):
        return None
    try:
        return MappedFile(str(name), int(getattr(root, "offset", 0)) + begin, tensor)
    # The file was removed; its content is still mapped.
    except OSError:
        return None


class ArrayImages:
    """Images of an array, read when they are needed.

    Args:
        images: (N, C, H, W), of any type.
        file: the file that they are mapped from, or None.
        rows: the rows that there are, int64; None takes all.
        swapped: whether the bytes of each value are in the other order.
    """

    def __init__(
        self,
        images: Tensor,
        file: MappedFile | None = None,
        rows: Tensor | None = None,
        *,
        swapped: bool = False,
    ) -> None:
        self._reader, self._swapped = Rows(images, file), swapped
        self._rows = torch.arange(len(images)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        """Return images (C, H, W).

        Raises:
            OSError: the file is shorter than it was.
            DataError: a value is beyond what 32 bits hold.
        """
        read = self._reader.raw(self._rows[torch.as_tensor(rows, dtype=torch.int64)])
        if self._swapped:
            read = torch.from_numpy(read.numpy().byteswap())
        return [of_known_type(image) for image in read]

    def subset(self, rows: Tensor) -> ArrayImages:
        """Return some of the images, by their rows, int64 (N,)."""
        made = copy.copy(self)
        made._rows = self._rows[rows]  # noqa: SLF001
        return made


def of_known_type(image: Tensor) -> Tensor:
    """Return an image of a type that images may have: floats as float32, integers as int32.

    Raises:
        DataError: a value is beyond what 32 bits hold, or the values are no numbers.
    """
    if image.dtype in DTYPES:
        return image
    if image.is_floating_point():
        return image.to(torch.float32)
    if image.dtype == torch.bool or image.is_complex():
        raise DataError(f"values are {image.dtype}, expected integers or floats")
    wide = image.to(torch.int64)
    if wide.numel() and not _INT32.min <= int(wide.min()) <= int(wide.max()) <= _INT32.max:
        raise DataError(
            f"values range from {int(wide.min())} to {int(wide.max())}, beyond what 32 bits hold"
        )
    return wide.to(torch.int32)
