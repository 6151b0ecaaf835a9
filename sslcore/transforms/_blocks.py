"""Views on the CPU, a block at a time, so that what is being worked on stays in the cache.

The views of a batch are put in an order in which those that are due the same are neighbours.
Then, block by block, they are cropped, recoloured and blurred, and written to where they belong.
Until then the views of a block are transposed, and channels come first: see `_taps` and `_recolor`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sslcore.transforms._batch import check_images
from sslcore.transforms._recolor import adjustments_due, due_rank, recolor, recolor_channels
from sslcore.transforms._taps import Interpolation, crop_planes, resize_taps
from sslcore.transforms.filters import blur_planes, gaussian_kernels
from sslcore.transforms.geometry import affine
from sslcore.transforms.sampling import ColorJitterParameters, CropParameters

#: Numbers in a block for each thread, 1 MB of them, and what one or two threads are given anyway;
#: and the least number of views in a block, however large they are, so that the work outweighs
#: the calls.
_EACH, _BLOCK, _FEWEST = 2**18, 2**19, 4

_NO_FACTORS = ColorJitterParameters(None, None, None, None)


@dataclass(frozen=True, kw_only=True)
class ViewDraws:
    """What has been drawn for N views, a row for each; None stands for what happens to none.

    Attributes:
        owner: int64 (N,), the image that each is a view of.
        boxes: what is cut out of it.
        flip: bool (N,), which are mirrored.
        degrees, translate: (N,) and (N, 2), as `affine` takes them.
        jittered: bool (N,), whose colours are jittered.
        factors: what `color_jitter` takes, (N,), or for brightness and contrast (N, C).
        order: int64 (N, 4), likewise.
        grey: bool (N,), which are made grey.
        blurred, sigma: bool (N,) and (N,), which are blurred, and how widely.
        solarized: bool (N,), which are solarized.
    """

    owner: Tensor
    boxes: CropParameters
    flip: Tensor
    degrees: Tensor | None = None
    translate: Tensor | None = None
    jittered: Tensor | None = None
    factors: ColorJitterParameters = _NO_FACTORS
    order: Tensor | None = None
    grey: Tensor | None = None
    blurred: Tensor | None = None
    sigma: Tensor | None = None
    solarized: Tensor | None = None


def views_in_blocks(
    images: Tensor,
    draws: ViewDraws,
    *,
    size: int,
    interpolation: Interpolation,
    kernel: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """Return the views (N, C, size, size) of images (B, C, H, W) that `draws` describes."""
    check_images(images)
    images = images.contiguous()
    channels, height, width = images.shape[1:]
    count = len(draws.owner)
    none = torch.zeros(count, dtype=torch.bool)
    due = adjustments_due(
        none if draws.jittered is None else draws.jittered,
        draws.order,
        draws.grey,
        colored=channels == 3,
    )
    blurred = none if draws.blurred is None else draws.blurred
    place = torch.argsort(due_rank(due) + 64 * ~blurred, stable=True)
    softened = int(blurred.sum())

    due = due[place]
    top, left, tall, wide = (value[place] for value in draws.boxes)
    rows = resize_taps(top, tall, size, height, interpolation)
    columns = resize_taps(left, wide, size, width, interpolation, draws.flip[place])
    values = {kind: value[place] for kind, value in enumerate(draws.factors) if value is not None}

    made = images.new_empty((count, channels, size, size))

    def make(block: slice) -> None:
        chosen = place[block]
        views = crop_planes(images, draws.owner[chosen], rows.of(block), columns.of(block))
        if interpolation == "bicubic":
            views.clamp_(0.0, 1.0)
        if draws.degrees is not None and draws.translate is not None:
            upright = views.permute(1, 0, 3, 2)
            moved = affine(upright, draws.degrees[chosen], draws.translate[chosen])
            views = moved.permute(1, 0, 3, 2).contiguous()
        own = {kind: value[block] for kind, value in values.items()}
        flat = views.view(channels, len(chosen), -1)
        by_channel = {kind: own.pop(kind) for kind in values if values[kind].dim() == 2}
        if by_channel:
            recolor_channels(flat, due[block], by_channel)
        recolor(flat, due[block], own)
        if block.stop <= softened and draws.sigma is not None:
            kernels = gaussian_kernels(draws.sigma[chosen], kernel)
            views = blur_planes(views, kernels).mT
        if draws.solarized is not None:
            struck = draws.solarized[chosen].nonzero().squeeze(-1)
            bright = views[:, struck]
            # At a threshold of a half, to invert what is above it is to take the lesser of both.
            views[:, struck] = torch.minimum(bright, 1.0 - bright)
        _normalize(views, mean, std)
        made[chosen] = views.permute(1, 0, 3, 2)

    held = max(_BLOCK, _EACH * torch.get_num_threads())
    fitting = held // (channels * size * max(size, width))
    with torch.no_grad():
        for block in _blocks(softened, count, max(_FEWEST, fitting)):
            make(block)
    return made


def _blocks(boundary: int, count: int, largest: int) -> Iterator[slice]:
    """Yield slices of at most `largest` that make up range(count), none across `boundary`."""
    for start, stop in ((0, boundary), (boundary, count)):
        number = -(-(stop - start) // largest)
        for index in range(number):
            edges = (start + (stop - start) * i // number for i in (index, index + 1))
            yield slice(*edges)


def _normalize(views: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Subtract `mean` from views (C, N, *) and divide by `std`, in place."""
    alike = len(mean) == len(std) == 1
    for index, part in enumerate([views] if alike else views):
        own_mean, own_std = mean[index % len(mean)], std[index % len(std)]
        torch.add(torch.tensor(-own_mean / own_std), part, alpha=1.0 / own_std, out=part)
