"""The augmentation for fine-tuning: one view of each image, changed a little."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Boxes, Views

Probability = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]


class Light(nn.Module):
    """One random view of each image: a crop, mirrored, rotated, moved and recoloured a little.

    The crop and the mirror are those of Szegedy et al. 2015, section 6, with a larger least area.
    In eval mode the view is the whole image, resized and normalised.

    Args:
        image_size: side of the images, px.
        channels: channels of the images.
        size: side of a view, px; none means the side of the images.
        crop_scale: least and greatest area of a crop, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        flip: probability that a view is mirrored left to right.
        degrees: largest angle by which a view is rotated, in either direction.
        translate: largest distance by which a view is moved along each axis, as a fraction of its
            side.
        brightness: strength of the jitter; the factor lies in 1 ± brightness.
        contrast: strength of the jitter; the factor lies in 1 ± contrast.
        jitter_channels: shared gives all channels the same brightness and contrast; each draws
            them for each channel, which suits channels that are not colours.
        mean: subtracted from the values of a view, one for all channels or one for each; none
            means 0.5.
        std: divisor of the centred values, one for all channels or one for each; none means
            0.25.

    Raises:
        ValueError: a range is empty, or `mean` or `std` has neither 1 nor `channels` numbers.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        size: Annotated[int, Ge(1)] | None = None,
        crop_scale: tuple[Positive, Positive] = (0.5, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        flip: Probability = 0.5,
        degrees: Annotated[float, Ge(0), Le(180)] = 0.0,
        translate: Annotated[float, Ge(0), Le(1)] = 0.0,
        brightness: Annotated[float, Ge(0)] = 0.0,
        contrast: Annotated[float, Ge(0)] = 0.0,
        jitter_channels: Literal["shared", "each"] = "shared",
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        self.random_views = transforms.RandomViews(
            size=size or image_size,
            channels=channels,
            views=1,
            crop_scale=crop_scale,
            crop_ratio=crop_ratio,
            flip=flip,
            degrees=degrees,
            translate=translate,
            jitter=1.0 if brightness or contrast else 0.0,
            brightness=brightness,
            contrast=contrast,
            saturation=0.0,
            hue=0.0,
            jitter_channels=jitter_channels,
            grayscale=0.0,
            mean=(0.5,) if mean is None else tuple(mean),
            std=(0.25,) if std is None else tuple(std),
        )

    def boxes(self, sizes: Tensor, random: BatchRandom) -> dict[str, Boxes]:
        """Return the boxes of original images, of heights and widths (B, 2), to make views of."""
        return {"crops": self.random_views.boxes(sizes, random)}

    def forward(
        self,
        images: Tensor | None = None,
        random: BatchRandom | None = None,
        crops: Tensor | None = None,
    ) -> Views:
        """Return `views` (1, B, C, size, size) of `images` (B, C, H, W) in [0, 1].

        Args:
            images: the whole images; in eval mode, and where there are no `crops`.
            random: the step's random numbers; not used in eval mode.
            crops: the boxes of original images that `boxes` asked for, (1, B, C, size, size).

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            assert images is not None
            return {"views": self.random_views.whole(images)}
        if random is None:
            raise ValueError("light needs random numbers in training mode; pass `random`")
        return {"views": self.random_views(images, random, crops)}

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> dict[str, list[list[str]]]:
        """Describe the draws for each image, for previews."""
        return {"views": self.random_views.describe(images, random, sizes)}
