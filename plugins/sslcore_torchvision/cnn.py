"""Small convolutional networks: four plain blocks, and a fast one for images of 8 to 32 px."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from annotated_types import Gt, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.signals import FeaturesAndMaps

#: Maps of this side or more are halved by `SmallCNN`; smaller ones hold too few positions.
_LEAST_HALVED = 8


class CNN4(nn.Module):
    """Blocks of a 3×3 convolution, ReLU and 2×2 max-pooling; the features keep every position.

    `views` (N, C, h, w) become `feature_maps` (N, F', h', w') with h' = ⌊h / 2^blocks⌋, and
    `features`, the same numbers as one vector of length F'·h'·w'.

    Args:
        batch_norm: whether to add batch normalisation after each convolution.
        widths: channels after each block; one block per width.

    Raises:
        ValueError: the views are too small for that many halvings.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        batch_norm: bool = False,
        widths: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128, 256, 512),
    ) -> None:
        super().__init__()
        least = 2 ** len(widths)
        if image_size < least:
            raise ValueError(
                f"{len(widths)} blocks halve the side {len(widths)} times and need views of at "
                f"least {least} px, these have {image_size}; give fewer widths or larger images"
            )
        blocks: list[nn.Module] = []
        for before, after in pairwise((channels, *widths)):
            # Batch normalisation has a bias of its own.
            blocks.append(nn.Conv2d(before, after, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                blocks.append(nn.BatchNorm2d(after))
            # Max-pooling before ReLU does a quarter of the work, with bit-identical maps and
            # gradients.
            blocks += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        """Return the last block's maps, and the same flattened as features."""
        maps = self.blocks(views)
        return {"features": maps.flatten(1), "feature_maps": maps}


class SmallCNN(nn.Module):
    """Blocks of a 3×3 convolution, batch normalisation and ReLU, then the mean over positions.

    Every block but the last halves its maps by max-pooling if their side is at least 8 px, so views
    of any size work. `views` (N, C, h, w) become `feature_maps` (N, F, h', w') and, their
    mean over h' and w', `features` (N, F); F is the last width.

    Args:
        widths: channels after each block; one block per width.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        widths: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (32, 64, 128, 128),
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        side = image_size
        for index, (before, after) in enumerate(pairwise((channels, *widths)), start=1):
            blocks.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
            if index < len(widths) and side >= _LEAST_HALVED:
                # Pooling before normalisation leaves a quarter of the numbers to normalise.
                blocks.append(nn.MaxPool2d(2))
                side //= 2
            blocks += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        """Return the last block's maps, and their means as features."""
        maps = self.blocks(views)
        # Its gradient has the memory layout of the maps; the gradient of `mean` is an expanded
        # number.
        return {"features": F.adaptive_avg_pool2d(maps, 1).flatten(1), "feature_maps": maps}
