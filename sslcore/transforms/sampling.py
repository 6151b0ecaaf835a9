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
    image_size: int | tuple[int, int] | Tensor,
    *shape: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> CropParameters:
    """Draw the box of a random resized crop, as torchvision's `RandomResizedCrop` does.

    The area is uniform in `scale` and the logarithm of the aspect ratio uniform in `ratio`; a box
    that does not fit is drawn again, up to ten times; after that, it is the largest central box.

    Args:
        random: source of the draws.
        image_size: side of the images, px, or (height, width); or int64 (B, 2), the height and
            width of each image.
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
    heights, widths = _sides(image_size, random, len(shape))
    area = random.uniform(*shape, _ATTEMPTS, low=scale[0], high=scale[1])
    log_ratio = random.uniform(*shape, _ATTEMPTS, low=math.log(ratio[0]), high=math.log(ratio[1]))
    corner = random.uniform(*shape, 2)

    area, stretch = area.mul_((heights * widths).unsqueeze(-1)), log_ratio.exp_()
    wide, tall = (area * stretch).sqrt_().round_(), (area / stretch).sqrt_().round_()
    fits = (wide > 0) & (wide <= widths.unsqueeze(-1))
    fits &= (tall > 0) & (tall <= heights.unsqueeze(-1))
    first = fits.to(torch.uint8).argmax(-1, keepdim=True)
    found = fits.any(-1)
    central_height, central_width = _central_box(heights, widths, ratio)
    height = torch.where(found, tall.gather(-1, first).squeeze(-1), central_height)
    width = torch.where(found, wide.gather(-1, first).squeeze(-1), central_width)
    spare_height, spare_width = heights - height, widths - width
    top = torch.where(found, corner[..., 0] * (spare_height + 1), spare_height / 2).floor_()
    left = torch.where(found, corner[..., 1] * (spare_width + 1), spare_width / 2).floor_()
    return CropParameters(*(value.to(torch.int64) for value in (top, left, height, width)))


def _sides(
    image_size: int | tuple[int, int] | Tensor, random: BatchRandom, dims: int
) -> tuple[Tensor, Tensor]:
    """Return heights and widths, float, of a shape that goes with draws (B, *shape)."""
    if isinstance(image_size, Tensor):
        sizes = image_size.to(torch.float32)
        height, width = (side.view(-1, *[1] * dims) for side in sizes.unbind(-1))
        return height, width
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    # Filled on the device: a copy would make the host wait for it.
    height, width = (torch.full((), float(side), device=random.device) for side in sides)
    return height, width


def _central_box(
    height: Tensor, width: Tensor, ratio: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Return height and width of the largest box with an aspect ratio in `ratio`, about."""
    tallest = torch.minimum(height, (width / ratio[0]).round()).clamp_min(1)
    widest = torch.minimum(width, (height * ratio[1]).round()).clamp_min(1)
    aspect = width / height
    return (
        torch.where(aspect < ratio[0], tallest, height),
        torch.where(aspect > ratio[1], widest, width),
    )


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
