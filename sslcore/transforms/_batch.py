"""What the operations share: checks, per-sample parameters, and products with image axes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def check_images(images: Tensor) -> None:
    """Raise ValueError unless `images` is a float tensor (N, C, H, W)."""
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            "expected float images of shape (N, C, H, W), "
            f"got {images.dtype} of shape {tuple(images.shape)}"
        )


def per_sample(values: Tensor, images: Tensor, name: str) -> Tensor:
    """Return `values` (N,) as (N, 1, 1, 1), in the type of the images unless boolean.

    Raises:
        ValueError: there is not one value for each image.
    """
    if values.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: expected one value for each of {len(images)} images, "
            f"got shape {tuple(values.shape)}"
        )
    if values.dtype != torch.bool:
        values = values.to(images.dtype)
    return values.view(-1, 1, 1, 1)


def per_channel(values: tuple[float, ...], images: Tensor) -> Tensor:
    """Return `values` as (C, 1, 1), of the type and on the device of the images."""
    made = torch.tensor(values, dtype=images.dtype).view(-1, 1, 1)
    if images.device.type == "cuda":
        # Pinned, so that the copy does not make the host wait for the device.
        return made.pin_memory().to(images.device, non_blocking=True)
    return made.to(images.device)


def accurate(dtype: torch.dtype) -> torch.dtype:
    """Return the type to sum products in: float32, or the type itself where it is wider."""
    return torch.promote_types(dtype, torch.float32)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which matrix products keep the type of their operands."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def product_over_axes(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return `rows @ image @ columns.T` for every channel of every image, V times.

    Args:
        images: (B, C, H, W), of the type of the matrices.
        rows: (B, V, h, H), the weights of the input's rows in each row of the output.
        columns: (B, V, w, W), the same for columns.

    Returns:
        (V, B, C, h, w), contiguous.
    """
    batch, channels, height, width = images.shape
    views, new_height, new_width = rows.shape[1], rows.shape[2], columns.shape[2]
    with without_autocast(images.device):
        # Channels lie beside each other, so that one product serves them all.
        lines = images.transpose(1, 2).reshape(batch, height, channels * width)
        lines = torch.bmm(rows.reshape(batch, views * new_height, height), lines)
        lines = lines.view(batch * views, new_height * channels, width)
        pixels = torch.bmm(lines, columns.reshape(batch * views, new_width, width).mT)
    pixels = pixels.view(batch, views, new_height, channels, new_width)
    return pixels.permute(1, 0, 3, 2, 4).contiguous()
