"""Images that parts are checked on: the same ones each time, without any symmetry."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sslcore.random import generator_for

#: Kinds of images: ordinary ones first.
KINDS = ("smooth", "random", "alike", "black", "white", "grey", "one bright pixel")


def example_images(
    batch: int, channels: int, size: int, kind: str = "smooth", frames: int | None = None
) -> Tensor:
    """Return images (B, C, H, W), or clips (B, T, C, H, W), in [0, 1].

    Args:
        batch: number of images.
        channels: of each.
        size: side, px.
        kind: "smooth" images differ from each other and have edges and shades; "alike" repeats one
            such image; the other names describe themselves.
        frames: of a clip; None for images.
    """
    each = channels if frames is None else frames * channels
    images = _images(batch, each, size, kind)
    return images if frames is None else images.unflatten(1, (frames, channels))


def _images(batch: int, channels: int, size: int, kind: str) -> Tensor:
    generator = generator_for("pictures", channels, size)
    shape = (batch, channels, size, size)
    if kind == "random":
        return torch.rand(shape, generator=generator)
    if kind == "black":
        return torch.zeros(shape)
    if kind == "white":
        return torch.ones(shape)
    if kind == "grey":
        return torch.full(shape, 0.5)
    if kind == "one bright pixel":
        images = torch.zeros(shape)
        images[..., size // 3, size // 4] = 1
        return images
    if kind == "alike":
        return _images(1, channels, size, "smooth").expand(shape).clone()
    coarse = torch.rand(batch, channels, 5, 5, generator=generator)
    smooth = functional.interpolate(coarse, (size, size), mode="bilinear", align_corners=True)
    fine = torch.rand(shape, generator=generator)
    return 0.85 * smooth + 0.15 * fine
