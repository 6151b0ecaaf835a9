"""Convolutional decoders: a code, or feature maps, back to images."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.signals import Reconstructions

_NARROWEST = 16


class ConvDecoder(nn.Module):
    """Transposed convolutions (4×4, stride 2, padding 1), ReLU between, Tanh at the end.

    Each doubles the side, as often as brings the maps nearest to the image's side; where that
    is not exact the result is interpolated to it before Tanh.

    Args:
        feature_map_shape: (F', h', w') of the encoder's feature maps.
        image_size: side of the views, px.
        channels: channels of the views.
        widths: output channels of each transposed convolution but the last; none halves the
            maps' channels each time, down to 16.

    Raises:
        ValueError: the encoder gives no feature maps, or `widths` has another length than the
            doublings call for.
    """

    def __init__(
        self,
        feature_map_shape: tuple[int, int, int] | None,
        image_size: int,
        channels: int,
        *,
        widths: tuple[Annotated[int, Gt(0)], ...] | None = None,
    ) -> None:
        super().__init__()
        if feature_map_shape is None:
            raise ValueError(
                "the encoder gives no feature maps to decode; choose one that does, "
                "such as conv-encoder"
            )
        self.upsample = _Upsampling(feature_map_shape, image_size, channels, widths)

    def forward(self, feature_maps: Tensor) -> Reconstructions:
        """Turn feature maps (V, B, F', h', w') into reconstructions (V, B, C, h, w) in (-1, 1)."""
        images = self.upsample(feature_maps.flatten(0, 1))
        return {"reconstructions": images.unflatten(0, feature_maps.shape[:2])}


class CodeDecoder(nn.Module):
    """A linear layer with ReLU from a code to feature maps, then the layers of `ConvDecoder`.

    The maps have a quarter of the image's side, rounded up.

    Args:
        feature_dim: numbers in the code, F.
        image_size: side of the views, px.
        channels: channels of the views.
        depth: channels of the feature maps.
    """

    def __init__(
        self,
        feature_dim: int,
        image_size: int,
        channels: int,
        *,
        depth: Annotated[int, Gt(0)] = 128,
    ) -> None:
        super().__init__()
        side = -(-image_size // 4)
        self.expand = nn.Sequential(
            nn.Linear(feature_dim, depth * side * side),
            nn.ReLU(),
            nn.Unflatten(1, (depth, side, side)),
        )
        self.upsample = _Upsampling((depth, side, side), image_size, channels)

    def forward(self, features: Tensor) -> Reconstructions:
        """Turn codes (V, B, F) into reconstructions (V, B, C, h, w) in (-1, 1)."""
        images = self.upsample(self.expand(features.flatten(0, 1)))
        return {"reconstructions": images.unflatten(0, features.shape[:2])}


class _Upsampling(nn.Module):
    """Feature maps (N, F', h', w') to images (N, C, h, w) in (-1, 1)."""

    def __init__(
        self,
        feature_map_shape: tuple[int, int, int],
        image_size: int,
        channels: int,
        widths: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        depth, *sides = feature_map_shape
        doublings = max(1, round(math.log2(image_size / max(sides))))
        if widths is None:
            widths = tuple(max(_NARROWEST, depth >> step) for step in range(1, doublings))
        if len(widths) != doublings - 1:
            raise ValueError(
                f"from maps of {max(sides)} px to images of {image_size} px the side doubles "
                f"{doublings} times, so widths needs {doublings - 1} entries, not {len(widths)}"
            )
        layers: list[nn.Module] = []
        for width_in, width_out in zip((depth, *widths), (*widths, channels), strict=True):
            layers += [nn.ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.image_size = image_size

    def forward(self, feature_maps: Tensor) -> Tensor:
        """Return images (N, C, h, w)."""
        images: Tensor = self.layers(feature_maps)
        size = (self.image_size, self.image_size)
        if images.shape[-2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return images.tanh()
