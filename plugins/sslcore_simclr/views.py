"""The augmentation of SimCLR: several views of each image, each disturbed in its own way."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from sslcore import BatchRandom, transforms
from sslcore.signals import Views

Probability = Annotated[float, Ge(0), Le(1)]
Positive = Annotated[float, Gt(0)]

#: Sides from which on views are blurred by default; smaller images have no detail to lose.
_BLURRED_FROM = 64


class TwoViews(nn.Module):
    """Random views of each image (SimCLR, Chen et al. 2020, appendix A).

    Each view is a random crop, mirrored, rotated and moved, with its colours jittered, made grey,
    blurred and solarized, in this order and each with its probability, then normalised and cut
    holes into. In eval mode there is one view: the image itself, resized if need be, normalised.

    Args:
        image_size: side of the images, px.
        channels: channels of the images.
        views: views of each image.
        size: side of a view, px; none means that of the images.
        crop_scale: least and greatest area of a crop, as parts of the image's.
        crop_ratio: least and greatest width / height of a crop.
        flip: probability that a view is mirrored left to right.
        degrees: a view is rotated by up to this angle in either direction.
        translate: a view is moved by up to this part of its side, along each axis.
        jitter: probability that the colours of a view are jittered.
        brightness: strength of the jitter; the factor lies in 1 ± brightness.
        contrast: as brightness.
        saturation: as brightness; nothing happens to grey images.
        hue: the hue is turned by up to this part of a full turn, at most 0.5, either way; nothing
            happens to grey images.
        jitter_order: whether the four are applied in another random order for each view, or in
            the order above, which is faster.
        grayscale: probability that a view is made grey.
        blur: probability that a view is blurred; none means 0.5 for views of 64 px or more,
            else 0.
        blur_sigma: least and greatest standard deviation of the blur, px.
        blur_kernel: side of the blur's kernel, px, odd; none means about a tenth of the view's.
        solarize: probability that the bright half of a view's values is inverted.
        cutout_holes: square holes cut into each view.
        cutout_length: side of a hole, px; none means half the view's.
        mean: subtracted from the values of a view, one for all channels or one each; none
            means 0.5.
        std: what they are divided by then, likewise; none means 0.25.

    Raises:
        ValueError: a range is empty, `mean` or `std` has neither 1 nor `channels` numbers, the
            kernel of the blur is even or too large, or colours are asked for where the channels
            are neither grey nor RGB.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        *,
        views: Annotated[int, Ge(2)] = 2,
        size: Annotated[int, Ge(1)] | None = None,
        crop_scale: tuple[Positive, Positive] = (0.08, 1.0),
        crop_ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3),
        flip: Probability = 0.5,
        degrees: Annotated[float, Ge(0), Le(180)] = 0.0,
        translate: Annotated[float, Ge(0), Le(1)] = 0.0,
        jitter: Probability = 0.8,
        brightness: Annotated[float, Ge(0)] = 0.4,
        contrast: Annotated[float, Ge(0)] = 0.4,
        saturation: Annotated[float, Ge(0)] = 0.4,
        hue: Annotated[float, Ge(0), Le(0.5)] = 0.1,
        jitter_order: Literal["random", "fixed"] = "random",
        grayscale: Probability = 0.2,
        blur: Probability | None = None,
        blur_sigma: tuple[Positive, Positive] = (0.1, 2.0),
        blur_kernel: Annotated[int, Ge(1)] | None = None,
        solarize: Probability = 0.0,
        cutout_holes: Annotated[int, Ge(0)] = 0,
        cutout_length: Annotated[int, Ge(1)] | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[Positive, ...] | None = None,
    ) -> None:
        super().__init__()
        self.views = views
        self.size = size or image_size
        self.crop_scale, self.crop_ratio = crop_scale, crop_ratio
        self.flip = flip
        self.degrees, self.translate = degrees, translate
        self.jitter, self.jitter_order = jitter, jitter_order
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue = hue
        self.grayscale = grayscale
        self.blur = (0.5 if self.size >= _BLURRED_FROM else 0.0) if blur is None else blur
        self.blur_sigma = blur_sigma
        self.blur_kernel = self.size // 20 * 2 + 1 if blur_kernel is None else blur_kernel
        self.solarize = solarize
        self.cutout_holes = cutout_holes
        self.cutout_length = max(1, self.size // 2) if cutout_length is None else cutout_length
        self.mean = (0.5,) if mean is None else tuple(mean)
        self.std = (0.25,) if std is None else tuple(std)
        self._check(channels)

    def _check(self, channels: int) -> None:
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected 0 < low ≤ high, got {(low, high)}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, channels):
                raise ValueError(
                    f"{name}: expected 1 or {channels} numbers, one per channel, "
                    f"got {len(getattr(self, name))}"
                )
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers > 0, got {self.std}")
        largest = 2 * self.size - 1
        if self.blur and not (self.blur_kernel % 2 and self.blur_kernel <= largest):
            raise ValueError(
                f"blur_kernel: expected an odd number up to {largest} for views of "
                f"{self.size} px, got {self.blur_kernel}"
            )
        recolored = self.grayscale or (self.jitter and (self.saturation or self.hue))
        if channels not in (1, 3) and recolored:
            raise ValueError(
                f"saturation, hue and grayscale need grey or RGB images, got {channels} channels; "
                "set them to 0"
            )

    def forward(self, images: Tensor, random: BatchRandom | None = None) -> Views:
        """Return `views` (V, B, C, size, size) of `images` (B, C, H, W) in [0, 1].

        Raises:
            ValueError: `random` is missing in training mode.
        """
        if not self.training:
            whole = transforms.resize(images, self.size)
            return {"views": transforms.normalize(whole, self.mean, self.std).unsqueeze(0)}
        if random is None:
            raise ValueError("two-views needs random numbers in training mode; pass `random`")
        # Every part draws from a source of its own, so that changing one leaves the others' draws.
        batch = self._crop(images, random.fork("crop"))
        if self.degrees or self.translate:
            batch = self._move(batch, random.fork("affine"))
        if self.jitter:
            batch = self._jitter(batch, random.fork("jitter"))
        if self.grayscale:
            batch = transforms.grayscale(
                batch, self._chosen(random.fork("grayscale"), self.grayscale)
            )
        if self.blur:
            batch = self._blur(batch, random.fork("blur"))
        if self.solarize:
            chosen = self._chosen(random.fork("solarize"), self.solarize)
            threshold = torch.full((len(batch),), 0.5, device=batch.device)
            batch = transforms.solarize(batch, threshold, chosen)
        batch = transforms.normalize(batch, self.mean, self.std)
        if self.cutout_holes:
            batch = self._cutout(batch, random.fork("cutout"))
        return {"views": batch.unflatten(0, (self.views, len(images)))}

    def _chosen(self, random: BatchRandom, probability: float) -> Tensor:
        return _by_view(random.bernoulli(probability, self.views))

    def _crop(self, images: Tensor, random: BatchRandom) -> Tensor:
        boxes = transforms.crop_parameters(
            random,
            (images.shape[-2], images.shape[-1]),
            self.views,
            scale=self.crop_scale,
            ratio=self.crop_ratio,
        )
        flip = random.bernoulli(self.flip, self.views)
        boxes = transforms.CropParameters(*(values.T for values in boxes))
        return transforms.resized_crop(images, *boxes, size=self.size, flip=flip.T).flatten(0, 1)

    def _move(self, batch: Tensor, random: BatchRandom) -> Tensor:
        degrees = random.uniform(self.views, low=-self.degrees, high=self.degrees)
        furthest = self.translate * self.size
        translate = random.uniform(self.views, 2, low=-furthest, high=furthest)
        return transforms.affine(batch, _by_view(degrees), _by_view(translate))

    def _jitter(self, batch: Tensor, random: BatchRandom) -> Tensor:
        chosen = self._chosen(random, self.jitter)
        drawn = transforms.color_jitter_parameters(
            random,
            self.views,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
        )
        order = None
        if self.jitter_order == "random":
            order = _by_view(random.permutations(4, self.views))
        values = (None if value is None else _by_view(value) for value in drawn)
        return transforms.color_jitter(batch, *values, order=order, apply=chosen)

    def _blur(self, batch: Tensor, random: BatchRandom) -> Tensor:
        chosen = self._chosen(random, self.blur)
        sigma = random.uniform(self.views, low=self.blur_sigma[0], high=self.blur_sigma[1])
        return transforms.gaussian_blur(batch, _by_view(sigma), self.blur_kernel, chosen)

    def _cutout(self, batch: Tensor, random: BatchRandom) -> Tensor:
        centres = random.integers(0, self.size, self.views, self.cutout_holes, 2)
        centre_y, centre_x = _by_view(centres).unbind(-1)
        return transforms.cutout(batch, centre_y, centre_x, self.cutout_length)


def _by_view(drawn: Tensor) -> Tensor:
    """Bring what was drawn per image and view, (B, V, *), into the order of a batch (V·B, *)."""
    return drawn.transpose(0, 1).flatten(0, 1)
