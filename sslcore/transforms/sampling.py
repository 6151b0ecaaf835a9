"""Draws of per-sample parameters, from the distributions of torchvision.

All functions return tensors (B, *shape), as `sslcore.BatchRandom` does; row i is for image i.
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
    """Arguments of `color_jitter`, in its order; None is an adjustment of strength 0."""

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
    that does not fit is drawn again, up to ten times; after that, it is the largest central box.

    Args:
        random: source of the draws.
        image_size: side of the images, px, or (height, width).
        shape: boxes per image; `crop_parameters(random, 32, 2)` gives two, (B, 2).
        scale: least and greatest area of the box, as fractions of the image's area; > 0.
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
    """Draw the factors of torchvision's `ColorJitter`, without its random order.

    For a random order, give `color_jitter` the result of `random.permutations(4, *shape)`.

    Args:
        random: source of the draws.
        shape: draws per image.
        brightness: the factor is uniform in [max(0, 1 - brightness), 1 + brightness].
        contrast: the factor is uniform in [max(0, 1 - contrast), 1 + contrast].
        saturation: the factor is uniform in [max(0, 1 - saturation), 1 + saturation].
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
    # Drawn even at strength 0, so that disabling one does not change the draws of the others.
    factors = [
        (random.uniform(*shape, low=max(0.0, 1 - strength), high=1 + strength), strength)
        for strength in strengths.values()
    ]
    factors.append((random.uniform(*shape, low=-hue, high=hue), hue))
    return ColorJitterParameters(*(drawn if strength else None for drawn, strength in factors))
