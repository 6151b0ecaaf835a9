"""A convolutional encoder that keeps its feature maps for a decoder."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt, MinLen
from torch import Tensor, nn

from sslcore.signals import FeaturesAndMaps


class ConvEncoder(nn.Module):
    """Convolutions (4×4, stride 2, padding 1) with ReLU, each halving the side.

    The features are the last feature maps, flattened.

    Args:
        image_size: side of the views, px.
        channels: channels of the views.
        widths: output channels of each convolution, first to last; their number is the depth.

    Raises:
        ValueError: the image is too small to be halved that often.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        widths: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128),
    ) -> None:
        super().__init__()
        if image_size < 2 ** len(widths):
            raise ValueError(
                f"{len(widths)} widths halve the side {len(widths)} times, which needs images of "
                f"{2 ** len(widths)} px or more, not {image_size} px; give fewer widths"
            )
        layers: list[nn.Module] = []
        for width_in, width_out in zip((channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(width_in, width_out, 4, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        """Turn views (N, C, h, w) into feature maps (N, F', h', w') and features (N, F'·h'·w')."""
        feature_maps = self.layers(views)
        return {"features": feature_maps.flatten(1), "feature_maps": feature_maps}
