"""Operations that replace a pixel by a weighted mean of its neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.functional import without_autocast
from sslcore.transforms._batch import accurate, check_images, per_sample
from sslcore.transforms._taps import RowSums, Taps, blur_taps, sums_rows, transposed


def gaussian_blur(
    images: Tensor, sigma: Tensor, kernel_size: int, apply: Tensor | None = None
) -> Tensor:
    """Blur each image with its own Gaussian; images are reflected at their borders.

    The result equals that of torchvision's `gaussian_blur` to within 1e-5 (in float32, for images
    in [0, 1]).

    Args:
        images: float (N, C, H, W).
        sigma: (N,) standard deviations, px, > 0.
        kernel_size: side of the kernel, px, odd, at most 2·min(H, W) - 1.
        apply: bool (N,), which images to blur; None for all.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape is not as above, or the kernel is even or too large for the images.
    """
    check_images(images)
    height, width = images.shape[-2:]
    reach = kernel_size // 2
    if kernel_size < 1 or kernel_size % 2 == 0 or reach >= min(height, width):
        raise ValueError(
            f"kernel_size: expected an odd number from 1 to {2 * min(height, width) - 1} "
            f"for images of {height} x {width} px, got {kernel_size}"
        )
    wide = images.to(accurate(images.dtype))
    kernel = gaussian_kernels(per_sample(sigma, wide, "sigma").flatten(), kernel_size)
    if apply is not None:
        chosen = per_sample(apply, images, "apply").view(-1, 1)
        untouched = torch.zeros_like(kernel)
        untouched[:, reach] = 1.0
        kernel = torch.where(chosen, kernel, untouched)
    if sums_rows(images):
        turned = blur_planes(transposed(wide.transpose(0, 1)), kernel)
        return turned.transpose(0, 1).contiguous().to(images.dtype)
    return _blur_by_convolution(wide, kernel).to(images.dtype)


def gaussian_kernels(sigma: Tensor, kernel_size: int) -> Tensor:
    """Return Gaussians of the standard deviations `sigma` (N,), px, cut off, (N, kernel_size)."""
    reach = kernel_size // 2
    offset = torch.arange(-reach, reach + 1, dtype=sigma.dtype, device=sigma.device)
    return (offset / sigma.unsqueeze(-1)).square_().mul_(-0.5).softmax(-1)


def blur_planes(turned: Tensor, kernel: Tensor) -> Tensor:
    """Return transposed images (C, N, W, H), blurred with `kernel` (N, K) and turned upright.

    The result is (C, N, H, W), with the images mirrored at their borders.
    """
    channels, _, width, height = turned.shape
    across = _blur_sums(kernel, width, channels)
    down = across if height == width else _blur_sums(kernel, height, channels)
    return down.of_planes(transposed(across.of_planes(turned)))


def _blur_sums(kernel: Tensor, side: int, channels: int) -> RowSums:
    weights = kernel.unsqueeze(1).expand(-1, side, -1)
    return RowSums(Taps(blur_taps(kernel.shape[-1], side, kernel.device), weights), channels)


def _blur_by_convolution(images: Tensor, kernel: Tensor) -> Tensor:
    """Return `images` (N, C, H, W), each blurred with its `kernel` (N, K)."""
    count, channels, height, width = images.shape
    # Every channel of every image is a group of its own, so that one convolution serves them all.
    groups, reach = count * channels, kernel.shape[-1] // 2
    kernel = kernel.repeat_interleave(channels, dim=0)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect").flatten(0, 1).unsqueeze(0)
    with without_autocast(images.device):
        padded = F.conv2d(padded, kernel.view(groups, 1, -1, 1), groups=groups)
        padded = F.conv2d(padded, kernel.view(groups, 1, 1, -1), groups=groups)
    return padded.view(count, channels, height, width)
