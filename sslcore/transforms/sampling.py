"""Draws of per-sample parameters, in the distributions that torchvision draws them from.

All return tensors (B, *shape), as `sslcore.BatchRandom` does: row i belongs to image i.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sslcore.random import BatchRandom

_ATTEMPTS = 10


class CropParameters(NamedTuple):
    """Boxes in px, int64, in the order in which `resized_crop` takes them."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class ColorJitterParameters(NamedTuple):
    """What `color_jitter` takes, in its order; None stands for an adjustment of no strength."""

    brightness: Tensor | None
    contrast: Tensor | None
    saturation: Tensor | None
    hue: Tensor | None


def crop_parameters(
    random: BatchRandom,
    image_size: int | tuple[int, int],
    *shape: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> CropParameters:
    """Draw the box of a random resized crop, as torchvision's `RandomResizedCrop` does.

    The area is uniform in `scale` and the logarithm of the aspect ratio uniform in `ratio`; a box
    that does not fit is drawn again, up to ten times, before the largest central box is taken.

    Args:
        random: where the numbers come from.
        image_size: side of the images, px, or (height, width).
        shape: boxes per image; `crop_parameters(random, 32, 2)` gives two, (B, 2).
        scale: least and greatest area of the box, as parts of the image's; > 0.
        ratio: least and greatest width / height of the box; > 0.

    Returns:
        Four int64 tensors (B, *shape).

    Raises:
        ValueError: a range is not increasing or not positive.
    """
    for name, (low, high) in (("scale", scale), ("ratio", ratio)):
        if not 0 < low <= high:
            raise ValueError(f"{name}: expected 0 < low ≤ high, got {(low, high)}")
    image_height, image_width = (
        (image_size, image_size) if isinstance(image_size, int) else image_size
    )
    area = random.uniform(*shape, _ATTEMPTS, low=scale[0], high=scale[1])
    log_ratio = random.uniform(*shape, _ATTEMPTS, low=math.log(ratio[0]), high=math.log(ratio[1]))
    corner = random.uniform(*shape, 2)

    area, stretch = area.mul_(image_height * image_width), log_ratio.exp_()
    widths, heights = (area * stretch).sqrt_().round_(), (area / stretch).sqrt_().round_()
    fits = (widths > 0) & (widths <= image_width) & (heights > 0) & (heights <= image_height)
    first = fits.to(torch.uint8).argmax(-1, keepdim=True)
    found = fits.any(-1)
    central_height, central_width = _central_box(image_height, image_width, ratio)
    height = torch.where(found, heights.gather(-1, first).squeeze(-1), central_height)
    width = torch.where(found, widths.gather(-1, first).squeeze(-1), central_width)
    spare_height, spare_width = image_height - height, image_width - width
    top = torch.where(found, corner[..., 0] * (spare_height + 1), spare_height / 2).floor_()
    left = torch.where(found, corner[..., 1] * (spare_width + 1), spare_width / 2).floor_()
    return CropParameters(*(value.to(torch.int64) for value in (top, left, height, width)))


def _central_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Return height and width of the largest box with an aspect ratio in `ratio`, about."""
    if width / height < ratio[0]:
        return max(1, min(height, round(width / ratio[0]))), width
    if width / height > ratio[1]:
        return height, max(1, min(width, round(height * ratio[1])))
    return height, width


def color_jitter_parameters(
    random: BatchRandom,
    *shape: int,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> ColorJitterParameters:
    """Draw what torchvision's `ColorJitter` draws, its order apart.

    For an order that is random too, give `color_jitter` a `random.permutations(4, *shape)`.

    Args:
        random: where the numbers come from.
        shape: draws per image.
        brightness: the factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: as brightness.
        saturation: as brightness.
        hue: the shift is uniform in [-hue, hue]; at most 0.5.

    Returns:
        Tensors (B, *shape), or None where a strength is 0.

    Raises:
        ValueError: a strength is negative, or the hue above 0.5.
    """
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, strength in strengths.items():
        if strength < 0:
            raise ValueError(f"{name}: expected a number ≥ 0, got {strength}")
    if not 0 <= hue <= 0.5:
        raise ValueError(f"hue: expected a number in [0, 0.5], got {hue}")
    # Drawn whatever the strength, so that switching one off leaves the others as they were.
    factors = [
        (random.uniform(*shape, low=max(0.0, 1 - strength), high=1 + strength), strength)
        for strength in strengths.values()
    ]
    factors.append((random.uniform(*shape, low=-hue, high=hue), hue))
    return ColorJitterParameters(*(drawn if strength else None for drawn, strength in factors))
