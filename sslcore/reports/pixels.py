"""Views back to pixels: the normalisation undone, and any number of channels shown in colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sslcore.pipeline.build import ImageShape
from sslcore.pipeline.pipeline import augment

if TYPE_CHECKING:
    from sslcore.reports.sheet import Pixels

#: Colour laid over hidden patches: a reddish purple that grey and natural images seldom have.
_HIDDEN = (204, 121, 167)
#: How much of a hidden patch its cover takes.
_COVER = 0.75


@dataclass(frozen=True)
class Normalization:
    """What an augmentation does to values: `view = offset + scale · image`, for each channel.

    Attributes:
        offset: (C, 1, 1).
        scale: (C, 1, 1).
    """

    offset: Tensor
    scale: Tensor

    @classmethod
    def of(cls, augmentation: nn.Module, shape: ImageShape, device: torch.device) -> Normalization:
        """Measure it: show a black and a white image to the augmentation in eval mode.

        An augmentation need not say how it normalises. One that maps black and white to the same
        value is taken for none.
        """
        training = augmentation.training
        augmentation.eval()
        try:
            grey = shape.dummy(1).to(device)
            black = augment(augmentation, torch.zeros_like(grey))["views"]
            white = augment(augmentation, torch.ones_like(grey))["views"]
        finally:
            augmentation.train(training)
        # The middle of a view: a filter may treat its edges in another way.
        low, high = (
            each.float().flatten(0, 1).movedim(1, 0).flatten(1).median(1).values
            for each in (black, white)
        )
        scale = high - low
        ends = torch.where(scale.abs() < 1e-6, torch.ones_like(scale), scale)
        offset = torch.where(scale.abs() < 1e-6, torch.zeros_like(low), low)
        return cls(offset[:, None, None], ends[:, None, None])

    def undone(self, views: Tensor) -> Tensor:
        """Return views (..., C, h, w) as images in [0, 1]."""
        return ((views.float() - self.offset) / self.scale).clamp(0, 1)


def to_pixels(images: Tensor) -> list[Pixels]:
    """Return images (N, C, H, W), uint8 or floats in [0, 1], as N arrays (H, W, 3) of uint8.

    One channel is shown in grey, two as red and green, and of more the first three as red, green
    and blue; `colour_note` says so.
    """
    values = images if images.dtype == torch.uint8 else (images * 255).round().to(torch.uint8)
    values = values.cpu()
    channels = values.shape[1]
    if channels == 1:
        values = values.expand(-1, 3, -1, -1)
    elif channels == 2:
        values = torch.cat((values, torch.zeros_like(values[:, :1])), 1)
    return list(values[:, :3].permute(0, 2, 3, 1).contiguous().numpy())


def colour_note(channels: int) -> str:
    """Return a sentence on how the channels are shown, where that is not evident."""
    if channels == 2:
        return "False colours: the two channels are shown as red and green."
    if channels > 3:
        return f"The first three of {channels} channels are shown as red, green and blue."
    return ""


def covered(pixels: Pixels, mask: Tensor) -> Pixels:
    """Return a view (h, w, 3) with a cover over its hidden patches; some of each shines through.

    Args:
        pixels: the view.
        mask: (L,) bool, True = hidden; L is the number of patches, row by row.
    """
    import numpy as np

    side = round(len(mask) ** 0.5)
    height, width = pixels.shape[:2]
    if side * side != len(mask) or height % side or width % side:
        return pixels
    hidden = mask.cpu().view(side, side).numpy()
    hidden = hidden.repeat(height // side, 0).repeat(width // side, 1)[..., None]
    mixed = (1 - _COVER) * pixels + _COVER * np.array(_HIDDEN)
    return np.where(hidden, mixed, pixels).round().astype(np.uint8)
