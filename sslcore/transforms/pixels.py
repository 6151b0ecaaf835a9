"""Operations on the values of pixels, for images with any channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sslcore.transforms._batch import check_images, per_channel, per_sample


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract `mean` from the images and divide by `std`.

    Args:
        images: float (N, C, H, W).
        mean: one number for all channels, or C of them.
        std: the same, each > 0.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: `mean` or `std` has another length, or `std` is not positive.
    """
    check_images(images)
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, images.shape[1]):
            raise ValueError(
                f"{name}: expected 1 or {images.shape[1]} numbers, one per channel, "
                f"got {len(values)}"
            )
    if min(std) <= 0:
        raise ValueError(f"std: expected numbers > 0, got {tuple(std)}")
    shifted = images - (mean[0] if len(mean) == 1 else per_channel(tuple(mean), images))
    return shifted.div_(std[0] if len(std) == 1 else per_channel(tuple(std), images))


def gaussian_noise(images: Tensor, noise: Tensor, std: float | Tensor) -> Tensor:
    """Add noise of standard deviation `std` to the images; the result is not clamped.

    Args:
        images: float (N, C, H, W).
        noise: standard normal numbers shaped as the images, from `BatchRandom.normal`.
        std: ≥ 0, in the units of the images: one number, or (N,) of them.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape is not as above.
    """
    check_images(images)
    if noise.shape != images.shape:
        raise ValueError(
            f"noise: expected the shape of the images, {tuple(images.shape)}, "
            f"got {tuple(noise.shape)}"
        )
    noise = noise.to(images.dtype)
    if isinstance(std, Tensor):
        return torch.addcmul(images, noise, per_sample(std, images, "std"))
    return torch.add(images, noise, alpha=std)


def cutout(
    images: Tensor, centre_y: Tensor, centre_x: Tensor, length: int, fill: float = 0.0
) -> Tensor:
    """Cut square holes into each image (Cutout, DeVries & Taylor 2017).

    A hole covers `length` rows, of which `centre_y - length // 2` is the first, and `length`
    columns, of which `centre_x - length // 2` is the first. The part outside the image is ignored.

    Args:
        images: float (N, C, H, W).
        centre_y: int64 (N, n), the rows of the centres of n holes.
        centre_x: int64 (N, n), their columns.
        length: side of a hole, px, ≥ 0.
        fill: value of the pixels in the holes, in the units of the images.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape is not as above.
    """
    check_images(images)
    if centre_y.dim() != 2 or len(centre_y) != len(images) or centre_x.shape != centre_y.shape:
        raise ValueError(
            f"centre_y and centre_x: expected the same shape ({len(images)}, holes), "
            f"got {tuple(centre_y.shape)} and {tuple(centre_x.shape)}"
        )
    rows = _within(centre_y, length, images.shape[-2]).unsqueeze(-1)
    columns = _within(centre_x, length, images.shape[-1]).unsqueeze(-2)
    return images.masked_fill((rows & columns).any(1).unsqueeze(1), fill)


def _within(centre: Tensor, length: int, side: int) -> Tensor:
    """Return which of `side` pixels lie in a hole's extent along one axis, bool (N, n, side)."""
    distance = torch.arange(side, device=centre.device) - (centre - length // 2).unsqueeze(-1)
    return (distance >= 0) & (distance < length)
