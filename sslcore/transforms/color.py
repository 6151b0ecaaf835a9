"""Operations on colour, equal to those of torchvision.

Images are float (N, C, H, W) in [0, 1], in RGB order where C = 3. Each function equals the function
of the same name in torchvision on each image, to within 1e-5 in float32. Images of one channel are
grey: saturation and hue do not change them. For other numbers of channels, saturation, hue and
`grayscale` raise ValueError.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.transforms._batch import check_images, per_sample

#: Weights of red, green and blue in the grey level (ITU-R 601-2, rounded as torchvision does).
GREY_WEIGHTS = (0.2989, 0.587, 0.114)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image by its `factor` (N,), ≥ 0; 1 changes nothing."""
    check_images(images)
    return (images * per_sample(factor, images, "factor")).clamp_(0.0, 1.0)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each image's distance from its mean grey level by `factor` (N,), ≥ 0."""
    check_images(images)
    factor = per_sample(factor, images, "factor")
    mean = _grey_level(images).mean((-2, -1), keepdim=True)
    return torch.addcmul(mean * (1.0 - factor), images, factor).clamp_(0.0, 1.0)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale each pixel's distance from its grey level by `factor` (N,), ≥ 0; 0 is grey."""
    if not _has_color(images, "saturation"):
        return images
    factor = per_sample(factor, images, "factor")
    return torch.addcmul(_grey_level(images) * (1.0 - factor), images, factor).clamp_(0.0, 1.0)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of each image (the H of HSV) by `shift` (N,), in [-0.5, 0.5] of a full turn."""
    if not _has_color(images, "hue"):
        return images
    turn = per_sample(shift, images, "shift").flatten() * 6.0
    # Whole thirds of a turn pass the channels on; what is left is at most a sixth.
    thirds = (turn / 2.0).round_()
    channel = torch.arange(3, device=images.device)
    source = (channel - thirds.to(torch.int64).unsqueeze(-1)) % 3
    source += 3 * torch.arange(len(images), device=images.device).unsqueeze(-1)
    passed = images.flatten(0, 1).index_select(0, source.flatten()).view_as(images)
    return turn_hue(passed, (turn - 2.0 * thirds).view(-1, 1, 1), dim=1)


def turn_hue(images: Tensor, turn: Tensor, dim: int, out: Tensor | None = None) -> Tensor:
    """Return RGB `images` with their hue turned by `turn` sixths of a full turn, in [-1, 1].

    On its way round the hues, a primary rises from m to v, the least and the greatest of a
    pixel's values, stays at v, falls, and stays at m. If it went on rising and falling where it
    stays, it would be at 2·red - mid, with mid the value between m and v: so it is at v, at m and
    between. To turn the hue by t sixths is to add t·(v - m) to that on the way up, which for red
    is where blue exceeds green, to subtract it on the way down, and to clamp the sum to [m, v].

    Args:
        images: in RGB order along `dim`.
        turn: broadcast against one channel.
        dim: the dimension of the channels.
        out: what the result is written to, without graph; it may be the images.
    """
    red, green, blue = images.unbind(dim)
    low, high = torch.minimum(green, blue), torch.maximum(green, blue)
    mid = torch.clamp(red, low, high).unsqueeze(dim)
    low, high = torch.minimum(red, low), torch.maximum(red, high)
    step = (high - low).mul_(turn).unsqueeze(dim)
    if out is None:
        rising = torch.stack((blue - green, red - blue, green - red), dim)
    else:
        rising = torch.empty_like(images)
        for channel, (one, other) in enumerate(((blue, green), (red, blue), (green, red))):
            torch.sub(one, other, out=rising.select(dim, channel))
    turned = torch.addcmul(mid.neg_(), rising.sign_(), step).add_(images, alpha=2.0)
    return torch.clamp(turned, low.unsqueeze(dim), high.unsqueeze(dim), out=out)


def color_jitter(
    images: Tensor,
    brightness: Tensor | None = None,
    contrast: Tensor | None = None,
    saturation: Tensor | None = None,
    hue: Tensor | None = None,
    *,
    order: Tensor | None = None,
    apply: Tensor | None = None,
) -> Tensor:
    """Adjust brightness, contrast, saturation and hue, in the given order.

    Args:
        images: float (N, C, H, W) in [0, 1].
        brightness: (N,) factors, as in `adjust_brightness`; None skips it. Factors (N, C) adjust
            each channel as an image of its own, before saturation and hue.
        contrast: likewise, as in `adjust_contrast`.
        saturation: (N,) factors, as in `adjust_saturation`; None skips it.
        hue: (N,) shifts, as in `adjust_hue`; None skips it.
        order: int64 (N, 4), each row a permutation of 0 (brightness), 1 (contrast),
            2 (saturation), 3 (hue), in the order of application. None means 0, 1, 2, 3 for all
            images, which takes about half the time.
        apply: bool (N,), which images to adjust; None means all. The other images are unchanged (up
            to rounding, if a hue is given).

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: a shape is not as above, or the images are neither grey nor RGB and saturation
            or hue is given.
    """
    check_images(images)
    if any(factor is not None and factor.dim() == 2 for factor in (brightness, contrast)):
        images = _jitter_channels(images, brightness, contrast, order, apply)
        brightness = contrast = None
    if saturation is not None and not _has_color(images, "saturation"):
        saturation = None
    if hue is not None and not _has_color(images, "hue"):
        hue = None
    if order is not None and order.shape != (len(images), 4):
        raise ValueError(f"order: expected shape ({len(images)}, 4), got {tuple(order.shape)}")
    if apply is not None:
        per_sample(apply, images, "apply")
        brightness, contrast, saturation = (
            None if factor is None else torch.where(apply, factor, 1.0)
            for factor in (brightness, contrast, saturation)
        )
        hue = None if hue is None else torch.where(apply, hue, 0.0)
    if order is not None:
        return _jitter_in_order(images, (brightness, contrast, saturation), hue, order)
    if brightness is not None:
        images = adjust_brightness(images, brightness)
    if contrast is not None:
        images = adjust_contrast(images, contrast)
    if saturation is not None:
        images = adjust_saturation(images, saturation)
    return images if hue is None else adjust_hue(images, hue)


def _jitter_channels(
    images: Tensor,
    brightness: Tensor | None,
    contrast: Tensor | None,
    order: Tensor | None,
    apply: Tensor | None,
) -> Tensor:
    """Adjust brightness and contrast by factors (N, C), each channel as a grey image."""
    channels = images.shape[1]
    for name, factor in (("brightness", brightness), ("contrast", contrast)):
        if factor is not None and factor.shape != images.shape[:2]:
            raise ValueError(
                f"{name}: expected one value for each of {len(images)} images and {channels} "
                f"channels, got shape {tuple(factor.shape)}"
            )
    jittered = color_jitter(
        images.reshape(-1, 1, *images.shape[2:]),
        None if brightness is None else brightness.flatten(),
        None if contrast is None else contrast.flatten(),
        order=None if order is None else order.repeat_interleave(channels, 0),
        apply=None if apply is None else apply.repeat_interleave(channels, 0),
    )
    return jittered.view_as(images)


def _jitter_in_order(
    images: Tensor, factors: tuple[Tensor | None, ...], hue: Tensor | None, order: Tensor
) -> Tensor:
    """Do what `color_jitter` does, each image in its own order.

    Brightness, contrast and saturation are weighted sums of image, grey level and mean grey level,
    so one operation with weights per image covers all three. Turning the hue is expensive, so it
    runs once: the operations that precede it for an image run before, the others after.
    """
    mixes = _mixes(images, factors)
    if not mixes:
        return images if hue is None else adjust_hue(images, hue)
    place = order.argsort(-1)
    weights = torch.stack([mix for _, mix in mixes], dim=1)
    places = torch.stack([place[:, index] for index, _ in mixes], dim=1)
    sequence = places.argsort(-1).unsqueeze(-1).expand_as(weights)
    if hue is None:
        return _mix_in_turn(images, weights.gather(1, sequence))
    neutral = torch.zeros_like(weights)
    neutral[..., 0] = 1.0
    early = (places < place[:, 3:]).unsqueeze(-1)
    images = _mix_in_turn(images, torch.where(early, weights, neutral).gather(1, sequence))
    images = adjust_hue(images, hue)
    return _mix_in_turn(images, torch.where(early, neutral, weights).gather(1, sequence))


def _mixes(images: Tensor, factors: tuple[Tensor | None, ...]) -> list[tuple[int, Tensor]]:
    """Return, for each factor that is given, its index and weights (N, 3).

    The weights are those of the image, of the grey level and of the mean grey level.
    """
    found = []
    for index, factor in enumerate(factors):
        if factor is not None:
            own = per_sample(factor, images, "factor").flatten()
            rest, none = 1.0 - own, torch.zeros_like(own)
            columns = ((own, none, none), (own, none, rest), (own, rest, none))[index]
            found.append((index, torch.stack(columns, dim=-1)))
    return found


def _mix_in_turn(images: Tensor, weights: Tensor) -> Tensor:
    """Mix each image with its grey level and the mean of that, by weights (N, K, 3), K times."""
    for step in weights.unbind(1):
        own, level, mean = step.view(-1, 3, 1, 1, 1).unbind(1)
        grey = _grey_level(images)
        offset = grey.mean((-2, -1), keepdim=True).mul_(mean)
        offset = torch.addcmul(offset, grey, level)
        images = torch.addcmul(offset, images, own).clamp_(0.0, 1.0)
    return images


def grayscale(images: Tensor, apply: Tensor | None = None) -> Tensor:
    """Replace all three channels by the grey level, where `apply` (N,), bool, is True.

    `apply` None means all images. Images of one channel are returned unchanged.
    """
    if not _has_color(images, "grayscale"):
        return images
    grey = _grey_level(images)
    if apply is None:
        return grey.expand_as(images).contiguous()
    return torch.where(per_sample(apply, images, "apply"), grey, images)


def solarize(images: Tensor, threshold: Tensor, apply: Tensor | None = None) -> Tensor:
    """Invert the values at or above each image's `threshold` (N,), in [0, 1].

    `apply` (N,), bool, selects the images; None means all. Images may have any number of channels.
    """
    check_images(images)
    bright = images >= per_sample(threshold, images, "threshold")
    if apply is not None:
        bright &= per_sample(apply, images, "apply")
    return torch.where(bright, 1.0 - images, images)


def _has_color(images: Tensor, operation: str) -> bool:
    check_images(images)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"{operation} needs grey or RGB images (1 or 3 channels), got {images.shape[1]}"
        )
    return images.shape[1] == 3


def _grey_level(images: Tensor) -> Tensor:
    """Return the grey level of each pixel, (N, 1, H, W); the mean where the colours are unknown."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    grey = red * GREY_WEIGHTS[0]
    result: Tensor = grey.add_(green, alpha=GREY_WEIGHTS[1]).add_(blue, alpha=GREY_WEIGHTS[2])
    return result
