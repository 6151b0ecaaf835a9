"""Random views of images, for augmentations that crop, recolour and blur."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from sslcore.random import BatchRandom
from sslcore.signals import Boxes
from sslcore.transforms._blocks import ViewDraws, views_in_blocks
from sslcore.transforms._describe import in_words
from sslcore.transforms._taps import FILTERS, Interpolation
from sslcore.transforms.color import color_jitter, grayscale, solarize
from sslcore.transforms.filters import gaussian_blur
from sslcore.transforms.geometry import affine, resize, resized_crop
from sslcore.transforms.pixels import cutout, normalize
from sslcore.transforms.sampling import (
    ColorJitterParameters,
    CropParameters,
    color_jitter_parameters,
    crop_parameters,
)

#: Sides from which on views are blurred by default; smaller images have no detail to lose.
BLURRED_FROM = 64


@dataclass(frozen=True, kw_only=True)
class RandomViews:
    """Random views of each image, all of one size.

    Each view is a random crop, mirrored, rotated and moved, with its colours jittered, made grey,
    blurred and solarized, in this order and each with its probability, then normalised; holes
    are cut into it last. Each operation has a random stream of its own, so changing one operation
    does not change the draws of the others. Saturation, hue and grayscale need colours: images of
    other than 1 or 3 channels go without, and `notes` says so.

    Attributes:
        size: side of a view, px.
        channels: channels of the images.
        views: views of each image.
        crop_scale: least and greatest area of a crop, as fractions of the image's area.
        crop_ratio: least and greatest width / height of a crop.
        interpolation: how crops are resized, "bilinear" or "bicubic".
        flip: probability that a view is mirrored left to right.
        degrees: largest angle by which a view is rotated, in either direction.
        translate: largest distance by which a view is moved along each axis, as a fraction of its
            side.
        jitter: probability that the colours of a view are jittered.
        brightness, contrast, saturation: strengths of the jitter; a factor lies in 1 ± strength.
        hue: largest shift of the hue in either direction, as a fraction of a full turn, at most
            0.5.
        jitter_order: "random" draws the order of the four jitters for each view; "fixed" keeps the
            order above.
        jitter_channels: "shared" gives all channels of a view the same brightness and contrast;
            "each" draws them for each channel, and applies them before saturation and hue.
        grayscale: probability that a view is made grey.
        blur: probability that a view is blurred, one for all views or one for each.
        blur_sigma: least and greatest standard deviation of the blur, px.
        blur_kernel: side of the blur's kernel, px, odd; None means about a tenth of the side of
            the view.
        solarize: probability that the bright half of a view's values is inverted, one for all
            views or one for each.
        cutout_holes: number of square holes cut into each view.
        cutout_length: side of a hole, px; None means half the side of the view.
        mean, std: subtracted from the values of a view, and divisor of the result; one number for
            all channels, or one for each.

    Raises:
        ValueError: a range is empty, `mean`, `std` or a probability has the wrong number of
            entries, or the kernel of the blur is even or too large.
    """

    size: int
    channels: int
    views: int = 2
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: Interpolation = "bilinear"
    flip: float = 0.5
    degrees: float = 0.0
    translate: float = 0.0
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter_order: Literal["random", "fixed"] = "random"
    jitter_channels: Literal["shared", "each"] = "shared"
    grayscale: float = 0.2
    blur: float | tuple[float, ...] = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int | None = None
    solarize: float | tuple[float, ...] = 0.0
    cutout_holes: int = 0
    cutout_length: int | None = None
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)

    def __post_init__(self) -> None:
        for name in ("crop_scale", "crop_ratio", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name}: expected 0 < low ≤ high, got {(low, high)}")
        if self.interpolation not in FILTERS:
            raise ValueError(
                f"interpolation: expected one of {', '.join(FILTERS)}, got {self.interpolation!r}"
            )
        for name in ("mean", "std"):
            given = getattr(self, name)
            if len(given) not in (1, self.channels):
                raise ValueError(
                    f"{name}: expected 1 or {self.channels} numbers, one per channel, "
                    f"got {len(given)}"
                )
        for name in ("blur", "solarize"):
            given = getattr(self, name)
            if isinstance(given, tuple) and len(given) != self.views:
                raise ValueError(
                    f"{name}: expected one probability, or one for each of {self.views} views, "
                    f"got {len(given)}"
                )
        if min(self.std) <= 0:
            raise ValueError(f"std: expected numbers > 0, got {self.std}")
        kernel, largest = self.kernel, 2 * self.size - 1
        if _happens(self.blur) and not (kernel % 2 and kernel <= largest):
            raise ValueError(
                f"blur_kernel: expected an odd number up to {largest} for views of "
                f"{self.size} px, got {kernel}"
            )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: which of the operations are left out, and why."""
        asked = {
            "saturation": self.jitter and self.saturation,
            "hue": self.jitter and self.hue,
            "grayscale": self.grayscale,
        }
        left_out = [name for name, wanted in asked.items() if wanted]
        if self._colored or not left_out:
            return ()
        return (
            f"{self.channels} channels are neither grey nor RGB, so views are made without "
            f"{', '.join(left_out)}",
        )

    @property
    def _colored(self) -> bool:
        return self.channels in (1, 3)

    @property
    def kernel(self) -> int:
        """Side of the blur's kernel, px."""
        return self.size // 20 * 2 + 1 if self.blur_kernel is None else self.blur_kernel

    def whole(self, images: Tensor) -> Tensor:
        """Return the one view (1, B, C, size, size) that evaluators see: the image, normalised."""
        return normalize(resize(images, self.size), self.mean, self.std).unsqueeze(0)

    def __call__(
        self, images: Tensor | None, random: BatchRandom, crops: Tensor | None = None
    ) -> Tensor:
        """Return views (V, B, C, size, size) of images (B, C, H, W) in [0, 1].

        Args:
            images: whole images; not used where there are `crops`.
            random: a source of random numbers.
            crops: the boxes that `boxes` asked for, as for `of_crops`.
        """
        if crops is not None:
            return self.of_crops(crops, random)
        assert images is not None
        return self._make(images, self.draw(images, random), random)

    def boxes(self, sizes: Tensor, random: BatchRandom) -> Boxes:
        """Return the boxes of original images that the views are made of.

        Args:
            sizes: heights and widths of the originals, int64 (B, 2).
            random: the same source as for the views.
        """
        crop = random.fork("crop")
        boxes = self._draw_crops(crop, sizes)
        top, left, height, width = (value.transpose(0, 1).contiguous() for value in boxes)
        return Boxes(top, left, height, width, self.size, self.interpolation)

    def of_crops(self, crops: Tensor, random: BatchRandom) -> Tensor:
        """Return views (V, B, C, size, size) of the boxes that `boxes` asked for.

        Args:
            crops: (V, B, C, size, size), in [0, 1].
            random: the same source as for the boxes.
        """
        draws = self.draw(crops[0], random)
        none = torch.zeros_like(draws.owner)
        whole = torch.full_like(draws.owner, self.size)
        own = torch.arange(len(draws.owner), device=crops.device)
        draws = replace(draws, owner=own, boxes=CropParameters(none, none, whole, whole))
        return self._make(crops.flatten(0, 1), draws, random)

    def _make(self, images: Tensor, draws: ViewDraws, random: BatchRandom) -> Tensor:
        if _fit_for_blocks(images):
            batch = self.in_blocks(images, draws)
        else:
            batch = self.at_once(images, draws)
        if self.cutout_holes:
            batch = self._cutout(batch, random.fork("holes"))
        result: Tensor = batch.unflatten(0, (self.views, -1))
        return result

    def _draw_crops(self, crop: BatchRandom, size: tuple[int, int] | Tensor) -> CropParameters:
        return crop_parameters(crop, size, self.views, scale=self.crop_scale, ratio=self.crop_ratio)

    def draw(self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None) -> ViewDraws:
        """Draw what happens to each view, in the order of a batch (V·B,).

        Args:
            images: (B, C, H, W).
            random: a source of random numbers.
            sizes: heights and widths of the originals, int64 (B, 2), where boxes are to be those
                of originals.
        """
        drawn: dict[str, Any] = {}
        crop = random.fork("crop")
        size = (images.shape[-2], images.shape[-1]) if sizes is None else sizes
        boxes = self._draw_crops(crop, size)
        flip = crop.bernoulli(self.flip, self.views)
        if self.degrees or self.translate:
            move = random.fork("affine")
            degrees = move.uniform(self.views, low=-self.degrees, high=self.degrees)
            furthest = self.translate * self.size
            moves = move.uniform(self.views, 2, low=-furthest, high=furthest)
            drawn |= {"degrees": _by_view(degrees), "translate": _by_view(moves)}
        if self.jitter:
            drawn |= self._draw_jitter(random.fork("jitter"))
        if self.grayscale and self.channels == 3:
            drawn["grey"] = self._chosen(random.fork("grayscale"), self.grayscale)
        if _happens(self.blur):
            blur = random.fork("blur")
            drawn["blurred"] = self._chosen(blur, self.blur)
            low, high = self.blur_sigma
            drawn["sigma"] = _by_view(blur.uniform(self.views, low=low, high=high))
        if _happens(self.solarize):
            drawn["solarized"] = self._chosen(random.fork("solarize"), self.solarize)
        return ViewDraws(
            owner=torch.arange(len(images), device=images.device).repeat(self.views),
            boxes=CropParameters(*(_by_view(value) for value in boxes)),
            flip=_by_view(flip),
            **drawn,
        )

    def describe(
        self, images: Tensor, random: BatchRandom, sizes: Tensor | None = None
    ) -> list[list[str]]:
        """Return for each view and each image what is drawn for it, in words.

        Args:
            images: (B, C, H, W), as they are given to the views.
            random: a source in the same state as the one that the views are drawn from.
            sizes: heights and widths of the originals, int64 (B, 2), where the views are made of
                boxes of them.
        """
        return in_words(self.draw(images, random, sizes), len(images))

    def _draw_jitter(self, random: BatchRandom) -> dict[str, Any]:
        jittered = self._chosen(random, self.jitter)
        factors = color_jitter_parameters(
            random,
            self.views,
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
        )
        if self.channels != 3:
            # Grey images would not change.
            factors = factors._replace(saturation=None, hue=None)
        if self.jitter_channels == "each":
            own = color_jitter_parameters(
                random.fork("channels"),
                self.views,
                self.channels,
                brightness=self.brightness,
                contrast=self.contrast,
            )
            factors = factors._replace(brightness=own.brightness, contrast=own.contrast)
        order = None
        if self.jitter_order == "random":
            order = _by_view(random.permutations(4, self.views))
        by_view = (None if value is None else _by_view(value) for value in factors)
        return {"jittered": jittered, "factors": ColorJitterParameters(*by_view), "order": order}

    def _chosen(self, random: BatchRandom, probability: float | tuple[float, ...]) -> Tensor:
        drawn = random.uniform(self.views)
        if not isinstance(probability, tuple):
            return _by_view(drawn < probability)
        each = [column < one for column, one in zip(drawn.unbind(1), probability, strict=True)]
        return _by_view(torch.stack(each, 1))

    def in_blocks(self, images: Tensor, draws: ViewDraws) -> Tensor:
        """Make all views of images in main memory, block by block: (V·B, C, size, size)."""
        return views_in_blocks(
            images,
            draws,
            size=self.size,
            interpolation=self.interpolation,
            kernel=self.kernel,
            mean=self.mean,
            std=self.std,
        )

    def at_once(self, images: Tensor, draws: ViewDraws) -> Tensor:
        """Make all views in one pass for each operation, without waiting for the device."""
        # Boxes of originals are images of their own, one for each view.
        views = len(draws.owner) // len(images)
        boxes = (value.unflatten(0, (views, -1)) for value in (*draws.boxes, draws.flip))
        top, left, height, width, flip = boxes
        batch = resized_crop(
            images, top, left, height, width, self.size, flip, interpolation=self.interpolation
        ).flatten(0, 1)
        if draws.degrees is not None and draws.translate is not None:
            batch = affine(batch, draws.degrees, draws.translate)
        if draws.jittered is not None:
            batch = color_jitter(batch, *draws.factors, order=draws.order, apply=draws.jittered)
        if draws.grey is not None:
            batch = grayscale(batch, draws.grey)
        if draws.sigma is not None:
            batch = gaussian_blur(batch, draws.sigma, self.kernel, draws.blurred)
        if draws.solarized is not None:
            threshold = torch.full((len(batch),), 0.5, device=batch.device)
            batch = solarize(batch, threshold, draws.solarized)
        return normalize(batch, self.mean, self.std)

    def _cutout(self, batch: Tensor, random: BatchRandom) -> Tensor:
        centres = random.integers(0, self.size, self.views, self.cutout_holes, 2)
        centre_y, centre_x = _by_view(centres).unbind(-1)
        length = self.cutout_length
        return cutout(
            batch, centre_y, centre_x, max(1, self.size // 2) if length is None else length
        )


def _fit_for_blocks(images: Tensor) -> bool:
    """Return whether the images are float32 on the CPU and need no gradient."""
    differentiated = images.requires_grad and torch.is_grad_enabled()
    return images.device.type == "cpu" and images.dtype == torch.float32 and not differentiated


def _happens(probability: float | tuple[float, ...]) -> bool:
    return any(probability) if isinstance(probability, tuple) else bool(probability)


def _by_view(drawn: Tensor) -> Tensor:
    """Return draws per image and view, (B, V, *), in the order of a batch, (V·B, *)."""
    return drawn.transpose(0, 1).flatten(0, 1)
