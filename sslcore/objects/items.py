"""The items of a data set of torch: images of any kind, and labels."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslcore.data.arrays import channels_first, of_known_type
from sslcore.errors import DataError, first_line
from sslcore.objects.names import qualified_name

#: How far beyond [0, 1], or from a whole number of 255ths, rounding may bring a value.
_ROUNDING = 1e-3
#: Modes of Pillow that are read as they are; what the others are turned into.
_AS_THEY_ARE = ("L", "RGB", "I", "F")
_GREY = ("1", "LA", "La")


#: The number of a class, or whether each of K classes is there, bool (K,).
Label = int | Tensor


def item(given: Any, row: int) -> tuple[Tensor, Label | None]:
    """Return the image (C, H, W) and the label of an item.

    Args:
        given: the data set.
        row: the number of the item.

    Returns:
        uint8, uint16, int16, int32 or float32; and the label, None where there is none.

    Raises:
        DataError: the item can't be read, or is no image, or its label is no number.
    """
    try:
        found = given[row]
    except Exception as error:
        raise DataError(
            f"item {row} can't be read: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(found, (tuple, list)):
        return _image(found, row), None
    if not found:
        raise DataError(f"item {row} is empty; expected (image, label) or an image")
    label = found[1] if len(found) > 1 else None
    if isinstance(label, Tensor) and label.dim() == 1 and label.dtype == torch.bool:
        return _image(found[0], row), label.detach().cpu().as_subclass(Tensor)
    if isinstance(label, Tensor) and label.dim() == 0 and not label.is_floating_point():
        label = int(label)
    if label is not None and not isinstance(label, numbers.Integral):
        raise DataError(
            f"item {row} has the label {label!r:.60}, expected an integer: the number of its "
            "class; or of several labels a bool tensor (K,)"
        )
    return _image(found[0], row), None if label is None else int(label)


def _image(image: object, row: int) -> Tensor:
    if isinstance(image, Image.Image):
        return _of_pillow(image)
    try:
        if isinstance(image, np.ndarray) and image.ndim in (2, 3):
            # One image of several, whose axes are then told apart as those of an array are.
            whole = image[None] if image.ndim == 3 else image[None, :, :, None]
            return of_known_type(torch.from_numpy(_plain(channels_first(whole)[0])))
        if isinstance(image, Tensor) and image.dim() in (2, 3):
            plain = image.detach().as_subclass(Tensor)
            return of_known_type(plain[None] if plain.dim() == 2 else plain)
    except (DataError, TypeError) as error:
        raise DataError(f"item {row}: {first_line(error)}") from error
    if isinstance(image, (Tensor, np.ndarray)):
        raise DataError(f"item {row} is of shape {tuple(image.shape)}, expected an image (C, H, W)")
    raise DataError(
        f"item {row} is {qualified_name(image)}, expected a PIL image, an array, or a tensor "
        "(C, H, W), or one of these with a label"
    )


def _plain(array: np.ndarray) -> np.ndarray:
    """Return an array that torch takes: writable, and in the machine's order of bytes."""
    return np.array(array, dtype=array.dtype.newbyteorder("="))


def _of_pillow(image: Image.Image) -> Tensor:
    if image.mode.startswith("I;16"):
        pixels = _plain(np.asarray(image)).astype(np.uint16)
    elif image.mode in _AS_THEY_ARE:
        pixels = _plain(np.asarray(image))
    else:
        pixels = _plain(np.asarray(image.convert("L" if image.mode in _GREY else "RGB")))
    tensor = torch.from_numpy(pixels)
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1)


def in_unit_range(image: Tensor) -> bool:
    """Whether all values of an image of floats are in [0, 1], but for rounding."""
    low, high = (float(value) for value in image.aminmax())
    return low >= -_ROUNDING and high <= 1 + _ROUNDING


def are_bytes(image: Tensor) -> bool:
    """Whether the floats of an image are 255ths, as made of 8 bits."""
    scaled = image * 255
    return in_unit_range(image) and bool((scaled - scaled.round()).abs().max() <= _ROUNDING)


def as_bytes(image: Tensor) -> Tensor:
    """Return floats in [0, 1] as uint8."""
    return image.mul(255).round().clamp(0, 255).to(torch.uint8)
