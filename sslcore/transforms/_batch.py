"""What the operations share: checks, per-sample parameters, precision."""

from __future__ import annotations

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
