"""Handwritten digits with captions that say which digit it is, and how it is drawn."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

from sslcore.data import Data, Split
from sslcore_clip.tokenizer import tokens_of

_BRIGHTEST = 16
_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PHRASES = ("a {stroke} handwritten {name}", "the digit {name} in {stroke} strokes")


def captioned_digits(
    *,
    image_size: Annotated[int, Ge(8)] = 16,
    length: Annotated[int, Ge(2)] = 40,
) -> Data:
    """Return 1,347 grey digits to train on and 450 to test, with a caption each.

    A caption names the digit and whether its strokes are thin, plain or bold, in one of two
    phrases. Its tokens are the extra `captions`, (N, length). The split is that of the data set
    `digits`.

    Args:
        image_size: side of the images, px; the original 8 px are scaled bilinearly.
        length: tokens of a caption, with its end and padding.
    """
    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).to(torch.float32)[:, None]
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    size = (image_size, image_size)
    scaled = F.interpolate(pixels * (255 / _BRIGHTEST), size, mode="bilinear", align_corners=False)
    captions = tokens_of(_captions(pixels, labels), length)
    images = scaled.round().to(torch.uint8)
    whole = Split(images, labels, extras={"captions": captions})
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[labels.argsort(stable=True)[::4]] = True
    return Data(
        whole.subset((~held_out).nonzero()[:, 0]),
        whole.subset(held_out.nonzero()[:, 0]),
        classes=tuple("0123456789"),
    )


def _captions(pixels: Tensor, labels: Tensor) -> list[str]:
    """Return the caption of each image (N, 1, 8, 8)."""
    ink = pixels.flatten(1).mean(1)
    thirds = torch.quantile(ink, torch.tensor([1 / 3, 2 / 3]))
    strokes = torch.bucketize(ink, thirds).tolist()
    return [
        _PHRASES[row % len(_PHRASES)].format(
            stroke=("thin", "plain", "bold")[stroke], name=_NAMES[label]
        )
        for row, (stroke, label) in enumerate(zip(strokes, labels.tolist(), strict=True))
    ]
