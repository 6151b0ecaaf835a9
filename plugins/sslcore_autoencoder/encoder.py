"""A convolutional encoder, with a short code or with its feature maps as features."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Gt, MinLen
from torch import Tensor, nn

from sslcore.signals import FeaturesAndMaps

#: Numbers in a code at the most: the layer that makes it grows with them.
_LONGEST_CODE = 256


class ConvEncoder(nn.Module):
    """Convolutions (4×4, stride 2, padding 1) with ReLU, each halving the side.

    The features are the code: a linear map of the last feature maps, as the central layer of
    Hinton & Salakhutdinov 2006 is linear. Without a code, they are the feature maps, flattened.

    Args:
        image_size: side of the views, px.
        channels: channels of the views.
        widths: output channels of each convolution, first to last; their number is the depth.
        compression: numbers of an image for each number of its code, which has 256 at the most;
            none leaves the feature maps as they are, which have more numbers than the image at
            the default widths.

    Raises:
        ValueError: the image is too small to be halved that often.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        widths: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1)] = (64, 128),
        compression: Annotated[float, Gt(1)] | None = None,
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
        self.code, self.image_size = None, image_size
        if compression is not None:
            numbers = channels * image_size**2
            code_size = max(1, min(_LONGEST_CODE, round(numbers / compression)))
            side = image_size >> len(widths)
            self.code = nn.Linear(widths[-1] * side * side, code_size)

    def forward(self, views: Tensor) -> FeaturesAndMaps:
        """Turn views (N, C, h, w) into feature maps (N, F', h', w') and features (N, F).

        F is the size of the code, or F'·h'·w' without one.

        Raises:
            ValueError: there is a code, and the views are of another size than it was made for.
        """
        feature_maps = self.layers(views)
        features = feature_maps.flatten(1)
        if self.code is not None:
            if features.shape[1] != self.code.in_features:
                raise ValueError(
                    f"its code is made of views of {self.image_size} px, got views of "
                    f"{views.shape[-1]} px; an encoder for views of several sizes averages over "
                    "positions"
                )
            features = self.code(features)
        return {"features": features, "feature_maps": feature_maps}
