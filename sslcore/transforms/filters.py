"""Operations that replace a pixel by a weighted mean of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.transforms._batch import (
    accurate,
    check_images,
    per_sample,
    product_over_axes,
    without_autocast,
)


def gaussian_blur(
    images: Tensor, sigma: Tensor, kernel_size: int, apply: Tensor | None = None
) -> Tensor:
    """Blur each image with a Gaussian of its own width, mirroring the image at its borders.

    The blur is a matrix applied to the rows of an image and one applied to its columns; the
    images that are left out get the identity. The result is that of torchvision's
    `gaussian_blur` to within 1e-5 (in float32, for images in [0, 1]).

    Args:
        images: float (N, C, H, W).
        sigma: (N,) standard deviations, px, > 0.
        kernel_size: pixels that the Gaussian is cut off to, odd, at most 2·min(H, W) - 1.
        apply: bool (N,), which images to blur; None for all.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape is not as above, or the kernel is even or too large for the images.
    """
    check_images(images)
    height, width = images.shape[-2:]
    if kernel_size < 1 or kernel_size % 2 == 0 or kernel_size // 2 >= min(height, width):
        raise ValueError(
            f"kernel_size: expected an odd number from 1 to {2 * min(height, width) - 1} "
            f"for images of {height} x {width} px, got {kernel_size}"
        )
    wide = images.to(accurate(images.dtype))
    deviation = per_sample(sigma, wide, "sigma").view(-1, 1)
    offset = torch.arange(kernel_size, dtype=wide.dtype, device=wide.device) - kernel_size // 2
    kernel = (offset / deviation).square_().mul_(-0.5).softmax(-1)
    if apply is not None:
        chosen = per_sample(apply, images, "apply").view(-1, 1)
        kernel = torch.where(chosen, kernel, (offset == 0).to(kernel.dtype))
    rows = _mirrored_band(kernel, height)
    columns = rows if width == height else _mirrored_band(kernel, width)
    return product_over_axes(wide, rows, columns).squeeze(0).to(images.dtype)


def _mirrored_band(kernel: Tensor, side: int) -> Tensor:
    """Return the matrices (N, 1, side, side) that filter a line with `kernel` (N, K)."""
    place = torch.arange(side, device=kernel.device)
    reach = kernel.shape[1] // 2
    taken = place.unsqueeze(-1) + torch.arange(-reach, reach + 1, device=kernel.device)
    taken = (side - 1) - ((side - 1) - taken.abs()).abs()
    pattern = (taken.unsqueeze(-1) == place).to(kernel.dtype)
    with without_autocast(kernel.device):
        band = kernel @ pattern.transpose(0, 1).flatten(1)
    return band.view(-1, 1, side, side)
