"""Multi-crop: crops of two sizes, so that small parts are matched with the whole."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Boxes, ViewsOfTwoSizes

Probability = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]

#: Side of a local view in parts of a global one: 96 px of 224 px (section 3.1).
_LOCAL_PART = 3 / 7


class MultiCrop(nn.Module):
    """Two global views and several local ones of each image (DINO, section 3.1).

    `views` (2, B, C, size, size) are crops of much of the image, disturbed as in BYOL (Grill et
    al. 2020, table 6): blurred with probability 1 and 0.1, the second one solarized with
    probability 0.2. `local_views` (local_views, B, C, local_size, local_size) are crops of little
    of it, blurred with probability 0.5. In eval mode there is one view, the image itself.

    Args:
        image_size: side of the images, px.
        channels: channels of the images.
        size: side of a global view, px; none means the side of the images.
        local_views: local views of each image.
        local_size: side of a local view, px; none means about 3/7 of a global view's (96 px of
            224 px), a multiple of 4, or of 16 where global views are above 64 px.
        crop_scale: least and greatest area of a global view, as fractions of the image's area.
        local_scale: least and greatest area of a local view, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        interpolation: how crops are resized; bicubic, as in the paper's code, keeps edges sharper
            and takes longer.
        flip: probability that a view is mirrored left to right.
        degrees: largest angle by which a view is rotated, in either direction.
        jitter: probability that the colours of a view are jittered.
        brightness: strength of the jitter; the factor lies in 1 ± brightness.
        contrast: strength of the jitter; the factor lies in 1 ± contrast.
        saturation: strength of the jitter; the factor lies in 1 ± saturation. Grey images do not
            change.
        hue: largest shift of the hue in either direction, as a fraction of a full turn, at most
            0.5.
        jitter_channels: shared gives all channels the same brightness and contrast; each draws
            them for each channel, which suits channels that are not colours.
        grayscale: probability that a view is made grey.
        blur: probability that a view is blurred; none means the probabilities of the paper for
            views of 64 px or more, else 0.
        solarize: probability that a global view is solarized; none means the
            probabilities of the paper.
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
        local_views: Annotated[int, Ge(0)] = 8,
        local_size: Annotated[int, Ge(1)] | None = None,
        crop_scale: tuple[Positive, Positive] = (0.4, 1.0),
        local_scale: tuple[Positive, Positive] = (0.05, 0.4),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        flip: Probability = 0.5,
        degrees: Annotated[float, Ge(0), Le(180)] = 0.0,
        jitter: Probability = 0.8,
        brightness: Annotated[float, Ge(0)] = 0.4,
        contrast: Annotated[float, Ge(0)] = 0.4,
        saturation: Annotated[float, Ge(0)] = 0.2,
        hue: Annotated[float, Ge(0), Le(0.5)] = 0.1,
        jitter_channels: Literal["shared", "each"] = "shared",
        grayscale: Probability = 0.2,
        blur: Probability | None = None,
        solarize: Probability | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        side = size or image_size
        local_side = local_size or _local_size(side)

        def crops(
            size: int,
            views: int,
            scale: tuple[float, float],
            blurred: float | tuple[float, ...],
            solarized: float | tuple[float, ...],
        ) -> transforms.RandomViews:
            if size < transforms.BLURRED_FROM:
                blurred = 0.0
            return transforms.RandomViews(
                size=size,
                channels=channels,
                views=views,
                crop_scale=scale,
                crop_ratio=crop_ratio,
                interpolation=interpolation,
                flip=flip,
                degrees=degrees,
                jitter=jitter,
                brightness=brightness,
                contrast=contrast,
                saturation=saturation,
                hue=hue,
                jitter_channels=jitter_channels,
                grayscale=grayscale,
                blur=blurred if blur is None else blur,
                solarize=solarized if solarize is None else solarize,
                mean=(0.5,) if mean is None else tuple(mean),
                std=(0.25,) if std is None else tuple(std),
            )

        self.whole = crops(side, 2, crop_scale, (1.0, 0.1), (0.0, 0.2))
        self.parts = crops(local_side, local_views, local_scale, 0.5, 0.0)
        self.notes = self.whole.notes

    def boxes(self, sizes: Tensor, random: BatchRandom) -> dict[str, Boxes]:
        """Return the boxes of original images, of heights and widths (B, 2), to make views of."""
        boxes = {"crops": self.whole.boxes(sizes, random.fork("global"))}
        if self.parts.views:
            boxes["local_crops"] = self.parts.boxes(sizes, random.fork("local"))
        return boxes

    def forward(
        self,
        images: Tensor | None = None,
        random: BatchRandom | None = None,
        crops: Tensor | None = None,
        local_crops: Tensor | None = None,
    ) -> ViewsOfTwoSizes:
        """Return the views of `images` (B, C, H, W) in [0, 1].

        Args:
            images: the whole images; in eval mode, and where there are no `crops`.
            random: the step's random numbers; not used in eval mode.
            crops: the boxes of original images that `boxes` asked for, (2, B, C, size, size).
            local_crops: the smaller ones, (local_views, B, C, local_size, local_size).

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            assert images is not None
            return {"views": self.whole.whole(images)}
        if random is None:
            raise ValueError("multi-crop needs random numbers in training mode; pass `random`")
        made: ViewsOfTwoSizes = {"views": self.whole(images, random.fork("global"), crops)}
        if self.parts.views:
            made["local_views"] = self.parts(images, random.fork("local"), local_crops)
        return made

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> dict[str, list[list[str]]]:
        """Describe the draws for each view of each image, for previews."""
        words = {"views": self.whole.describe(images, random.fork("global"), sizes)}
        if self.parts.views:
            words["local_views"] = self.parts.describe(images, random.fork("local"), sizes)
        return words


def _local_size(size: int) -> int:
    step = 4 if size <= 64 else 16
    return max(step, round(_LOCAL_PART * size / step) * step) if size > step else size
