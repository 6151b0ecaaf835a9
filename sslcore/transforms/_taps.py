"""Weighted sums of a few rows: how the CPU resizes and blurs each image in its own way.

A pixel of a resized or blurred image is a sum of a few neighbours. As a matrix, that is nearly all
zeros; a device with fast matrix products does not mind, but a CPU spends its time on them. Here the
neighbours along one axis are whole rows of an image, so a sum of them is read and added row by row,
and for the other axis the image is transposed. `embedding_bag` does such sums with a row number
and a weight for each term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.transforms._batch import without_autocast

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


def resize_taps(
    start: Tensor,
    length: Tensor,
    size: int,
    side: int,
    interpolation: Interpolation,
    flip: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return which pixels of a line make up each pixel of a resized segment, and their weights.

    Args:
        start: int64 (N,), first pixel of the segment.
        length: int64 (N,), pixels in it.
        size: pixels that are wanted.
        side: pixels in the line that the segment is part of.
        interpolation: the filter.
        flip: which segments to mirror, bool (N,).

    Returns:
        int64 and float64 (N, size, K); the weights of a pixel sum to 1.
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
    return pixel.to(torch.int64).permute(1, 2, 0), weights.permute(1, 2, 0)


def blur_taps(kernel_size: int, side: int, device: torch.device) -> Tensor:
    """Return which pixels of a line, mirrored at its ends, a blur sums up; int64 (side, K)."""
    offset = torch.arange(-(kernel_size // 2), kernel_size // 2 + 1, device=device)
    place = (torch.arange(side, device=device).view(-1, 1) + offset).abs_()
    last = side - 1
    return last - (last - place).abs_()


class RowSums:
    """Sums of rows of images: `rows[i, j, k]` weighted by `weights[i, j, k]`, for result row j.

    Args:
        rows: int64 (N, h', K) or (1, h', K), row numbers within an image.
        weights: (N, h', K).
        channels: channels of the images.
    """

    def __init__(self, rows: Tensor, weights: Tensor, channels: int, dtype: torch.dtype) -> None:
        count, made, taps = weights.shape
        self.shape = (channels, count, made)
        self.rows = rows.to(torch.int32).contiguous().view(len(rows), -1)
        flat = weights.to(dtype).contiguous().view(1, -1)
        self.weights = flat.expand(channels, -1).reshape(-1, taps)

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


def crop_planes(
    images: Tensor,
    owner: Tensor,
    rows: tuple[Tensor, Tensor],
    columns: tuple[Tensor, Tensor],
) -> Tensor:
    """Return resized crops, transposed: (C, N, w, h).

    Args:
        images: float (B, C, H, W).
        owner: int64 (N,), which image each crop is of.
        rows: which rows make up a row of each crop, and their weights, as from `resize_taps`.
        columns: the same for columns.
    """
    channels, height, width = images.shape[1:]
    channel = torch.arange(channels, device=images.device).view(-1, 1)
    sums = RowSums(*rows, channels, images.dtype)
    table = images.reshape(-1, width)
    tall = sums.of(table, (owner * channels + channel) * height)
    return RowSums(*columns, channels, images.dtype).of_planes(transposed(tall))
