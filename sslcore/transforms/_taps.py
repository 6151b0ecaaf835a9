"""Weighted sums of a few rows: how the CPU resizes and blurs each image in its own way.

A pixel of a resized or blurred image is a sum of a few neighbours. As a matrix, that is nearly all
zeros; a device with fast matrix products does not mind, but a CPU spends its time on them. Here the
neighbours along one axis are whole rows of an image, so a sum of them is read and added row by row,
and for the other axis the image is transposed. `embedding_bag` does such sums with a row number
and a weight for each term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.functional import without_autocast

Interpolation = Literal["bilinear", "bicubic"]

#: Rows that are transposed at a time; the columns of more do not stay in the nearest cache where
#: the length of a row is a large power of 2.
_STRIP = 32


def sums_rows(images: Tensor) -> bool:
    """Return whether sums of rows are the faster way where the images are."""
    return images.device.type == "cpu"


def triangle(distance: Tensor) -> Tensor:
    """Return the weight of linear interpolation at a distance, in px; works in place."""
    return distance.abs_().neg_().add_(1.0).clamp_min_(0.0)


def cubic(distance: Tensor) -> Tensor:
    """Return the weight of bicubic interpolation at a distance, in px (Keys 1981, a = -1/2)."""
    far = distance.abs().clamp_max_(2.0)
    near = far.clamp_max(1.0)
    # The two pieces are 0 and flat where they end, so each may be evaluated up to its end.
    inner = (1.5 * near - 2.5) * near * near + 1.0
    far = far.clamp_min_(1.0)
    outer = ((-0.5 * far + 2.5) * far - 4.0) * far + 2.0
    return inner + outer


#: The weight at a distance, and how far it reaches, in px of the larger of the two grids.
FILTERS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "bilinear": (triangle, 1.0),
    "bicubic": (cubic, 2.0),
}


class Taps(NamedTuple):
    """The terms of sums: `pixels`, int32, and their `weights`, both (N, size, K)."""

    pixels: Tensor
    weights: Tensor

    def of(self, part: slice) -> Taps:
        """Return the taps of a part of the N."""
        return Taps(self.pixels[part], self.weights[part])


def resize_taps(
    start: Tensor,
    length: Tensor,
    size: int,
    side: int,
    interpolation: Interpolation,
    flip: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Taps:
    """Return which pixels of a line make up each pixel of a resized segment, and their weights.

    Args:
        start: int64 (N,), first pixel of the segment.
        length: int64 (N,), pixels in it.
        size: pixels that are wanted.
        side: pixels in the line that the segment is part of, or more.
        interpolation: the filter.
        flip: which segments to mirror, bool (N,).
        dtype: that of the weights.

    Returns:
        (N, size, K); the weights of a pixel sum to 1.
    """
    weight_at, reach = FILTERS[interpolation]
    # As many pixels as lie within the filter of the largest segment there can be.
    taps = max(1, int(-(-2 * reach * max(size, side) // size)))
    # The taps come first while computing, so that no inner loop is a few numbers long.
    segment = length.to(torch.float64).view(-1, 1)
    step = segment / size
    scale = step.clamp_min(1.0)
    target = torch.arange(size, dtype=torch.float64, device=start.device) + 0.5
    if flip is not None:
        target = torch.where(flip.view(-1, 1), target.flip(0), target)
    centre = target * step
    first = (centre - reach * scale - 0.5).floor_().add_(1.0)
    number = torch.arange(taps, dtype=torch.float64, device=start.device).view(-1, 1, 1)
    pixel = first + number
    weights = weight_at((pixel + 0.5).sub_(centre).div_(scale))
    weights.mul_((pixel >= 0) & (pixel < segment))
    weights.div_(weights.sum(0))
    pixel = torch.minimum(pixel.clamp_min_(0.0), segment - 1).add_(start.view(-1, 1))
    found, weights = (made.permute(1, 2, 0).contiguous() for made in (pixel, weights))
    return Taps(found.to(torch.int32), weights.to(dtype))


def blur_taps(kernel_size: int, side: int, device: torch.device) -> Tensor:
    """Return which pixels of a line, mirrored at its ends, a blur sums up; int32 (1, side, K)."""
    offset = torch.arange(-(kernel_size // 2), kernel_size // 2 + 1, device=device)
    place = (torch.arange(side, device=device).view(-1, 1) + offset).abs_()
    last = side - 1
    return (last - (last - place).abs_()).to(torch.int32).unsqueeze(0)


class RowSums:
    """Sums of rows of images, for each channel the same.

    Args:
        taps: which rows of an image make up each row of its result, (N, h', K); the pixels may be
            (1, h', K), the same for all.
        channels: channels of the images.
    """

    def __init__(self, taps: Taps, channels: int) -> None:
        count, made, terms = taps.weights.shape
        self.shape = (channels, count, made)
        self.rows = taps.pixels.reshape(len(taps.pixels), -1)
        flat = taps.weights.reshape(1, -1)
        self.weights = flat.expand(channels, -1).reshape(-1, terms)

    def of(self, table: Tensor, first_row: Tensor) -> Tensor:
        """Return the sums (C, N, h', W) over `table` (R, W).

        `first_row` (C, N) is where in the table each channel of each image starts.
        """
        index = self.rows + first_row.to(torch.int32).unsqueeze(-1)
        index = index.view(-1, self.weights.shape[-1])
        with without_autocast(table.device):
            sums = F.embedding_bag(index, table, mode="sum", per_sample_weights=self.weights)
        return sums.view(*self.shape, table.shape[-1])

    def of_planes(self, planes: Tensor) -> Tensor:
        """Return the sums (C, N, h', W) over `planes` (C, N, H, W), contiguous."""
        channels, count, height, width = planes.shape
        first = torch.arange(channels * count, device=planes.device).view(channels, count) * height
        return self.of(planes.view(-1, width), first)


def transposed(planes: Tensor) -> Tensor:
    """Return `planes` (*, H, W) as (*, W, H), contiguous."""
    height = planes.shape[-2]
    if height <= 2 * _STRIP:
        return planes.mT.contiguous()
    made = planes.new_empty((*planes.shape[:-2], planes.shape[-1], height))
    for start in range(0, height, _STRIP):
        strip = slice(start, start + _STRIP)
        made[..., strip].copy_(planes[..., strip, :].mT)
    return made


def crop_planes(images: Tensor, owner: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Return resized crops, transposed: (C, N, w, h).

    Args:
        images: float (B, C, H, W).
        owner: int64 (N,), which image each crop is of.
        rows: which rows make up each row of a crop.
        columns: the same for columns.
    """
    channels, height, width = images.shape[1:]
    channel = torch.arange(channels, device=images.device).view(-1, 1)
    table = images.reshape(-1, width)
    tall = RowSums(rows, channels).of(table, (owner * channels + channel) * height)
    return RowSums(columns, channels).of_planes(transposed(tall))
