"""The one form that images of different sizes, types and channels are brought into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sslcore.errors import DataError

#: The range of floats that need no scaling.
UNIT = (0.0, 1.0)
#: The part of each colour in a grey value (ITU-R 601).
_GREY = (0.299, 0.587, 0.114)


class FormError(DataError):
    """An image can be read, and can't be brought into the form of the others."""


@dataclass(frozen=True)
class Form:
    """What all images of a run have in common once they are read.

    Attributes:
        image_size: side of the square, px.
        channels: number of channels.
        range: the values that become 0 and 1, for images that are not uint8; None where all are.
        scales_bytes: whether `range` holds for uint8 as well.
        background: the colour below transparent parts.
    """

    image_size: int
    channels: int
    range: tuple[float, float] | None = None
    scales_bytes: bool = False
    background: str = "white"

    @property
    def floats(self) -> bool:
        """Whether images are read as float32 in [0, 1], and not as uint8."""
        return self.range is not None

    def values(self, image: Tensor) -> Tensor:
        """Return an image with the form's channels, uint8, or float32 in [0, 1].

        Raises:
            FormError: its channels can't be turned into those of the form.
        """
        if self.range is None:
            if image.dtype != torch.uint8:
                raise FormError(
                    f"it has values of {image.dtype}, and the others are uint8; "
                    "--set data.range=[low,high] gives all of them one range"
                )
        elif image.dtype == torch.uint8 and not self.scales_bytes:
            image = image.to(torch.float32).div_(255)
        else:
            image = scaled(image, self.range)
        return with_channels(image, self.channels)


def scaled(images: Tensor, range_: tuple[float, float]) -> Tensor:
    """Return images of any type as float32 in [0, 1]; values outside the range are clipped."""
    low, high = range_
    # These have more digits than float32, and a difference of two of them needs all.
    long = images.dtype in (torch.int32, torch.int64, torch.float64)
    wide = images.to(torch.float64 if long else torch.float32)
    made = wide.sub_(low) if wide is not images else wide - low
    return made.div_(high - low).clamp_(0.0, 1.0).to(torch.float32)


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Return an image (C, H, W) with a number of channels: grey as colour, or colour as grey.

    Raises:
        FormError: neither is possible.
    """
    own = len(image)
    if own == channels:
        return image
    if own == 1:
        return image.expand(channels, -1, -1)
    if own == 3 and channels == 1:
        weights = torch.tensor(_GREY).view(3, 1, 1)
        grey = (image.to(torch.float32) * weights).sum(0, keepdim=True)
        return grey.round_().to(torch.uint8) if image.dtype == torch.uint8 else grey
    raise FormError(
        f"it has {own} channels, and {channels} are needed; only grey and colour images can be "
        "turned into each other"
    )


def resized(image: Tensor, size: int, interpolation: str = "bilinear") -> Tensor:
    """Return an image (C, h, w), uint8 or float, as (C, size, size), with antialiasing."""
    if image.shape[-2:] == (size, size):
        return image
    # A batch of one whose channels lie last keeps its layout, for which torch is fast.
    made = F.interpolate(image[None], size=(size, size), mode=interpolation, antialias=True)[0]
    if interpolation == "bicubic" and made.is_floating_point():
        made = made.clamp_(0.0, 1.0)
    return made


def resized_box(
    image: Tensor, box: Sequence[float], size: int, interpolation: str = "bilinear"
) -> Tensor:
    """Return a box of an image (C, h, w), uint8 or float, whose edges lie between pixels.

    Args:
        image: uint8, or float32 in [0, 1].
        box: left, top, right and bottom, px.
        size: side of the result, px.
        interpolation: the filter, with antialiasing.

    Returns:
        (C, size, size).
    """
    _, height, width = image.shape
    left, top, right, bottom = box
    inside = (left, top, min(right, width), min(bottom, height))
    filter_ = Image.Resampling[interpolation.upper()]
    # Pillow has images of several channels for bytes only.
    together = image.dtype == torch.uint8 and len(image) == 3
    planes = [image.permute(1, 2, 0)] if together else list(image)
    made = [
        np.array(Image.fromarray(plane.numpy()).resize((size, size), filter_, box=inside))
        for plane in planes
    ]
    if together:
        return torch.from_numpy(made[0]).permute(2, 0, 1)
    stacked = torch.from_numpy(np.stack(made))
    return stacked.clamp_(0.0, 1.0) if stacked.is_floating_point() else stacked
