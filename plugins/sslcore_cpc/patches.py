"""An augmentation that cuts an image into an overlapping grid of patches."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Views
from sslcore_cpc.statistics import channel_statistics


class Patches(nn.Module):
    """An overlapping grid of patches, row by row from the top left, each a view.

    Van den Oord et al. 2018, section 3.2: half of a patch overlaps with the next. In training
    the image may be shifted, and every patch is lit on its own so that brightness does not give
    away which patches belong together (Hénaff et al. 2020, CPC v2).

    Args:
        image_size: side of the images, px.
        channels: channels of the images.
        patch_size: side of a patch, px, at most the side of the image; none means half of it.
        stride: px from one patch to the next; none means half the side of a patch.
        crop: largest random shift of the image in each direction, px, at most the side of the
            image; edge pixels are repeated.
        jitter: brightness and contrast of each patch are multiplied by a factor in
            [1 − jitter, 1 + jitter], in [0, 1].
        mean: subtracted from the channels, one for all or one for each; none means 0.5.
        std: divisor of the centred channels, > 0, one for all or one for each; none means 0.25.

    Raises:
        ValueError: a patch is larger than the image, `crop` exceeds it, or `mean` or `std` has
            neither 1 nor `channels` numbers.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        patch_size: Annotated[int, Gt(0)] | None = None,
        stride: Annotated[int, Gt(0)] | None = None,
        crop: Annotated[int, Ge(0)] = 0,
        jitter: Annotated[float, Ge(0), Le(1)] = 0.2,
        mean: tuple[float, ...] | None = None,
        std: tuple[Annotated[float, Gt(0)], ...] | None = None,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size if patch_size is not None else max(1, image_size // 2)
        self.stride = stride if stride is not None else max(1, self.patch_size // 2)
        if self.patch_size > image_size:
            raise ValueError(
                f"patch_size is {self.patch_size} px but the images are {image_size} px; "
                "make it smaller"
            )
        if crop > image_size:
            raise ValueError(
                f"crop is {crop} px but the images are {image_size} px; make it smaller"
            )
        self.crop, self.jitter = crop, jitter
        self.mean, self.std = channel_statistics(channels, mean, std)

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        """Turn images (B, C, H, W) in [0, 1] into patches (V, B, C, p, p), standardised.

        Args:
            images: (B, C, H, W), in [0, 1].
            random: the step's random numbers; not used in eval mode.

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            return self._views(grid(images, self.patch_size, self.stride))
        if random is None:
            raise ValueError("random is needed in training mode; pass a sslcore.BatchRandom")
        # Sources of their own, so that changing one setting leaves the other's draws alone.
        if self.crop:
            images = shift(images, self._offsets(random))
        patches = grid(images, self.patch_size, self.stride)
        if self.jitter:
            patches = self._relit(patches, random)
        return self._views(patches)

    def describe(self, images: Tensor, random: BatchRandom) -> dict[str, list[list[str]]]:
        """Describe the draws for each patch of each image, for previews."""
        count = len(grid(images[:1], self.patch_size, self.stride))
        words = [[""] * len(images) for _ in range(count)]
        if self.crop:
            moves = [f"moved {up} up, {left} left" for up, left in self._offsets(random).tolist()]
            words = [moves] * count
        if self.jitter:
            factors = self._factors(count, random).permute(2, 0, 1).tolist()
            words = [
                [
                    f"{before}\nbrightness ×{brightness:.2f}\ncontrast ×{contrast:.2f}".strip()
                    for before, (brightness, contrast) in zip(moved, patch, strict=True)
                ]
                for moved, patch in zip(words, factors, strict=True)
            ]
        return {"views": words}

    def _offsets(self, random: BatchRandom) -> Tensor:
        """Return by how many px each image moves up and left, (B, 2)."""
        return random.fork("crop").integers(-self.crop, self.crop + 1, 2)

    def _factors(self, patches: int, random: BatchRandom) -> Tensor:
        """Return the factors of brightness and contrast of each patch, (B, 2, V)."""
        low, high = 1 - self.jitter, 1 + self.jitter
        return random.fork("jitter").uniform(2, patches, low=low, high=high)

    def _relit(self, patches: Tensor, random: BatchRandom) -> Tensor:
        factors = self._factors(len(patches), random)
        brightness, contrast = factors.permute(1, 2, 0).flatten(1)
        relit = transforms.color_jitter(patches.flatten(0, 1), brightness, contrast)
        result: Tensor = relit.unflatten(0, patches.shape[:2])
        return result

    def _views(self, patches: Tensor) -> Views:
        flat = transforms.normalize(patches.flatten(0, 1), self.mean, self.std)
        return {"views": flat.unflatten(0, patches.shape[:2])}


def grid(images: Tensor, patch_size: int, stride: int) -> Tensor:
    """Return the patches (V, B, C, p, p) of images (B, C, H, W), row by row."""
    patches = images.unfold(2, patch_size, stride).unfold(3, patch_size, stride)
    return patches.permute(2, 3, 0, 1, 4, 5).flatten(0, 1)


def shift(images: Tensor, offsets: Tensor) -> Tensor:
    """Return images (B, C, H, W) moved by offsets (B, 2), px up and left, edges repeated."""
    batch, _, height, width = images.shape
    rows = torch.arange(height, device=images.device) + offsets[:, :1]
    columns = torch.arange(width, device=images.device) + offsets[:, 1:]
    rows = rows.clamp(0, height - 1)[:, :, None]
    columns = columns.clamp(0, width - 1)[:, None, :]
    index = torch.arange(batch, device=images.device)[:, None, None]
    return images.movedim(1, -1)[index, rows, columns].movedim(-1, 1)
