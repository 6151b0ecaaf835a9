"""Handwritten digits that come with scikit-learn, as images and as clips of moving digits."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from sslcore.data import Data, Split
from sslcore.random import generator_for

_CLASSES = tuple("0123456789")
_BRIGHTEST = 16
_NATIVE_SIZE = 8


def digits(*, image_size: Annotated[int, Ge(_NATIVE_SIZE)] = 16) -> Data:
    """Return 1,797 grey digits in ten classes: 1,347 to train on and 450 to test.

    Images are (N, 1, image_size, image_size). The split is fixed: of the images sorted by class,
    every fourth is a test image.

    Args:
        image_size: side of the images, px; the original 8 px are scaled bilinearly.
    """
    images, labels = _digits(image_size)
    train, test = _split(labels)
    return Data(
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        classes=_CLASSES,
    )


def moving_digits(
    *,
    frames: Annotated[int, Ge(2)] = 8,
    image_size: Annotated[int, Ge(_NATIVE_SIZE)] = 24,
    digit_size: Annotated[int, Ge(_NATIVE_SIZE)] = 14,
) -> Data:
    """Return a clip for each of the `digits`, which moves over the frame and bounces off its sides.

    Clips are (N, frames, 1, image_size, image_size) with the digit's class as label; a test clip
    shows a test digit. Start and velocity (up to 3 px a frame each way) are fixed: two calls give
    the same clips.

    Args:
        frames: frames in a clip.
        image_size: side of a frame, px.
        digit_size: side of the digit in the frame, px.

    Raises:
        ValueError: the digit is larger than the frame.
    """
    if digit_size > image_size:
        raise ValueError(
            f"a digit of {digit_size} px does not fit in a frame of {image_size} px; "
            "make digit_size smaller or image_size larger"
        )
    images, labels = _digits(digit_size)
    clips = _moving(images[:, 0], frames, image_size).unsqueeze(2)
    train, test = _split(labels)
    return Data(
        train=Split(clips[train], labels[train]),
        test=Split(clips[test], labels[test]),
        classes=_CLASSES,
    )


def _digits(size: int) -> tuple[Tensor, Tensor]:
    """Return all digits (N, 1, size, size) in scikit-learn's order, and their classes (N,)."""
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.float32).unsqueeze(1) * (255 / _BRIGHTEST)
    scaled = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return scaled.round().to(torch.uint8), torch.from_numpy(bunch.target).to(torch.int64)


def _split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of the train and of the test images, in their order."""
    by_class = labels.argsort(stable=True)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[by_class[::4]] = True
    return (~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]


def _moving(digits: Tensor, frames: int, size: int) -> Tensor:
    """Return clips (N, frames, size, size) of the digits (N, d, d) on black."""
    count, side = len(digits), digits.shape[-1]
    random = generator_for("moving-digits")
    room = size - side
    start = torch.rand(count, 1, 2, generator=random) * room
    velocity = torch.rand(count, 1, 2, generator=random) * 6 - 3
    path = start + velocity * torch.arange(frames)[:, None]
    # Bouncing between 0 and `room` is a triangle wave of the position on an endless line.
    bounced = room - (path.remainder(max(2 * room, 1)) - room).abs()
    corner = bounced.clamp(0, room).round().to(torch.int64)
    within = torch.arange(size) - corner[..., None]
    rows, columns = within[:, :, 0, :, None], within[:, :, 1, None, :]
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    which = torch.arange(count)[:, None, None, None]
    return digits[which, rows.clamp(0, side - 1), columns.clamp(0, side - 1)] * inside
