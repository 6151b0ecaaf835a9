"""How the views of an augmentation are normalised, read off the views that it makes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sslcore.pipeline.build import ImageShape
from sslcore.pipeline.pipeline import augment

#: How far values within a channel may lie apart by rounding.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Normalization:
    """The views that an augmentation makes for evaluators.

    Attributes:
        mean: subtracted from the values of an image in [0, 1], by channel.
        std: divisor of the result, by channel.
        size: side of a view, px.
        views: number of views of an image.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    views: int


def normalization_of(augmentation: nn.Module, shape: ImageShape) -> Normalization | None:
    """Return how an augmentation normalises; None if it is not by a mean and a divisor.

    A black and a white image show it.

    Args:
        augmentation: the augmentation, in eval mode.
        shape: of the images.
    """
    grey = shape.dummy(1)
    views = augment(augmentation, torch.cat([torch.zeros_like(grey), torch.ones_like(grey)]))[
        "views"
    ]
    # (C, 2, values), black and white.
    values = views.permute(2, 1, 0, 3, 4).flatten(2).double()
    if not torch.allclose(values, values[..., :1].expand_as(values), atol=_ROUNDING):
        return None
    black, white = values[..., 0].unbind(1)
    if not (white > black).all():
        return None
    std = 1 / (white - black)
    return Normalization(
        tuple(round(value, 6) for value in (-black * std).tolist()),
        tuple(round(value, 6) for value in std.tolist()),
        views.shape[-1],
        len(views),
    )
