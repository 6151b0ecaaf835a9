"""Operations that replace a pixel by a weighted mean of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.transforms._batch import accurate, check_images, per_sample, without_autocast


def gaussian_blur(
    images: Tensor, sigma: Tensor, kernel_size: int, apply: Tensor | None = None
) -> Tensor:
    """Blur each image with a Gaussian of its own width, mirroring the image at its borders.

    The result is that of torchvision's `gaussian_blur` to within 1e-5 (in float32, for images in
    [0, 1]).

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
    count, channels, height, width = images.shape
    reach = kernel_size // 2
    if kernel_size < 1 or kernel_size % 2 == 0 or reach >= min(height, width):
        raise ValueError(
            f"kernel_size: expected an odd number from 1 to {2 * min(height, width) - 1} "
            f"for images of {height} x {width} px, got {kernel_size}"
        )
    wide = images.to(accurate(images.dtype))
    deviation = per_sample(sigma, wide, "sigma").view(-1, 1)
    offset = torch.arange(-reach, reach + 1, dtype=wide.dtype, device=wide.device)
    kernel = (offset / deviation).square_().mul_(-0.5).softmax(-1)
    if apply is not None:
        chosen = per_sample(apply, images, "apply").view(-1, 1)
        kernel = torch.where(chosen, kernel, (offset == 0).to(kernel.dtype))
    # Every channel of every image is a group of its own, so that one convolution serves them all.
    groups = count * channels
    kernel = kernel.repeat_interleave(channels, dim=0)
    blurred = F.pad(wide, (reach, reach, reach, reach), mode="reflect").flatten(0, 1).unsqueeze(0)
    with without_autocast(images.device):
        blurred = F.conv2d(blurred, kernel.view(groups, 1, -1, 1), groups=groups)
        blurred = F.conv2d(blurred, kernel.view(groups, 1, 1, -1), groups=groups)
    return blurred.view(count, channels, height, width).to(images.dtype)
