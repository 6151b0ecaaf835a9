"""The augmentation of SimCLR: several views of each image, each disturbed in its own way."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Boxes, ViewsOfTeacher

Probability = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]


class TwoViews(nn.Module):
    """Random views of each image (SimCLR, Chen et al. 2020, appendix A).

    Each view is a random crop, mirrored, rotated and moved, with its colours jittered, made grey,
    blurred and solarized, in this order and each with its probability, then normalised and cut
    holes into. In eval mode there is one view: the whole image, resized and normalised.

    Args:
        image_size: side of the images, px.
        channels: channels of the images.
        views: views of each image.
        teacher_apart: whether the student gets the first half of the views alone, and a teacher the
            second half alone, as MoCo's query and key (He et al. 2020, algorithm 1); if not, both
            get all views.
        size: side of a view, px; none means the side of the images.
        crop_scale: least and greatest area of a crop, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        interpolation: how crops are resized; bicubic keeps edges sharper and takes longer.
        flip: probability that a view is mirrored left to right.
        degrees: largest angle by which a view is rotated, in either direction.
        translate: largest distance by which a view is moved along each axis, as a fraction of its
            side.
        jitter: probability that the colours of a view are jittered.
        brightness: strength of the jitter; the factor lies in 1 ± brightness.
        contrast: strength of the jitter; the factor lies in 1 ± contrast.
        saturation: strength of the jitter; the factor lies in 1 ± saturation. Grey images do not
            change.
        hue: largest shift of the hue in either direction, as a fraction of a full turn, at most
            0.5. Grey images do not change.
        jitter_order: "random" draws the order of the four jitters for each view; "fixed" applies
            them in the order above.
        jitter_channels: shared gives all channels the same brightness and contrast; each draws
            them for each channel, which suits channels that are not colours.
        grayscale: probability that a view is made grey.
        blur: probability that a view is blurred, one for all views or one for each; none means
            0.5 for views of 64 px or more, else 0.
        blur_sigma: least and greatest standard deviation of the blur, px.
        blur_kernel: side of the blur's kernel, px, odd; none means about a tenth of the side of
            the view.
        solarize: probability that the bright half of a view's values is inverted, one for all views
            or one for each; none means 0.
        asymmetric: whether the first and the second view differ in the probability of blur (1 and
            0.1, for views of 64 px or more) and of solarize (0 and 0.2), as in BYOL (Grill et al.
            2020, table 6; set its saturation of 0.2 as well). It has an effect only where blur and
            solarize are none.
        cutout_holes: number of square holes cut into each view.
        cutout_length: side of a hole, px; none means half the side of the view.
        mean: subtracted from the values of a view, one for all channels or one for each; none
            means 0.5.
        std: divisor of the centred values, one for all channels or one for each; none means
            0.25.

    Raises:
        ValueError: a range is empty, `mean` or `std` has neither 1 nor `channels` numbers, `blur`
            or `solarize` has neither one number nor one for each view, the kernel of the blur is
            even or too large, other than two views are to be asymmetric, or an odd number of them
            is to be halved.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        views: Annotated[int, Ge(2)] = 2,
        teacher_apart: bool = False,
        size: Annotated[int, Ge(1)] | None = None,
        crop_scale: tuple[Positive, Positive] = (0.08, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        flip: Probability = 0.5,
        degrees: Annotated[float, Ge(0), Le(180)] = 0.0,
        translate: Annotated[float, Ge(0), Le(1)] = 0.0,
        jitter: Probability = 0.8,
        brightness: Annotated[float, Ge(0)] = 0.4,
        contrast: Annotated[float, Ge(0)] = 0.4,
        saturation: Annotated[float, Ge(0)] = 0.4,
        hue: Annotated[float, Ge(0), Le(0.5)] = 0.1,
        jitter_order: Literal["random", "fixed"] = "random",
        jitter_channels: Literal["shared", "each"] = "shared",
        grayscale: Probability = 0.2,
        blur: Probability | tuple[Probability, ...] | None = None,
        blur_sigma: tuple[Positive, Positive] = (0.1, 2.0),
        blur_kernel: Annotated[int, Ge(1)] | None = None,
        solarize: Probability | tuple[Probability, ...] | None = None,
        asymmetric: bool = False,
        cutout_holes: Annotated[int, Ge(0)] = 0,
        cutout_length: Annotated[int, Ge(1)] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        if asymmetric and views != 2:
            raise ValueError(f"asymmetric tells 2 views apart, and there are {views}")
        if teacher_apart and views % 2:
            raise ValueError(f"teacher_apart halves the views, and there are {views}")
        self.students = views // 2 if teacher_apart else views
        side = size or image_size
        if blur is None and side >= transforms.BLURRED_FROM:
            blurred: float | tuple[float, ...] = (1.0, 0.1) if asymmetric else 0.5
        else:
            blurred = blur or 0.0
        solarized = (0.0, 0.2) if solarize is None and asymmetric else solarize or 0.0
        self.random_views = transforms.RandomViews(
            size=side,
            channels=channels,
            views=views,
            crop_scale=crop_scale,
            crop_ratio=crop_ratio,
            interpolation=interpolation,
            flip=flip,
            degrees=degrees,
            translate=translate,
            jitter=jitter,
            brightness=brightness,
            contrast=contrast,
            saturation=saturation,
            hue=hue,
            jitter_order=jitter_order,
            jitter_channels=jitter_channels,
            grayscale=grayscale,
            blur=blurred,
            blur_sigma=blur_sigma,
            blur_kernel=blur_kernel,
            solarize=solarized,
            cutout_holes=cutout_holes,
            cutout_length=cutout_length,
            mean=(0.5,) if mean is None else tuple(mean),
            std=(0.25,) if std is None else tuple(std),
        )
        self.notes = self.random_views.notes

    def boxes(self, sizes: Tensor, random: BatchRandom) -> dict[str, Boxes]:
        """Return the boxes of original images, of heights and widths (B, 2), to make views of."""
        return {"crops": self.random_views.boxes(sizes, random)}

    def forward(
        self,
        images: Tensor | None = None,
        random: BatchRandom | None = None,
        crops: Tensor | None = None,
    ) -> ViewsOfTeacher:
        """Return `views` (V, B, C, size, size) of `images` (B, C, H, W) in [0, 1].

        With `teacher_apart` they are half of the views, and `teacher_views` the other half.

        Args:
            images: the whole images; in eval mode, and where there are no `crops`.
            random: the step's random numbers; not used in eval mode.
            crops: the boxes of original images that `boxes` asked for, (V, B, C, size, size).

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            assert images is not None
            return {"views": self.random_views.whole(images)}
        if random is None:
            raise ValueError("two-views needs random numbers in training mode; pass `random`")
        made = self.random_views(images, random, crops)
        found: ViewsOfTeacher = {"views": made[: self.students]}
        if self.students < len(made):
            found["teacher_views"] = made[self.students :]
        return found

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> dict[str, list[list[str]]]:
        """Describe the draws for each view of each image, for previews."""
        words = self.random_views.describe(images, random, sizes)
        students, teachers = words[: self.students], words[self.students :]
        return {"views": students, **({"teacher_views": teachers} if teachers else {})}
