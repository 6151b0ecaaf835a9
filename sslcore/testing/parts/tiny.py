"""Data sets of a few images that methods are checked on."""

from __future__ import annotations

import torch
from torch import Tensor

from sslcore.contract.records import Dataset, Sections
from sslcore.data import Data, Split
from sslcore.registry.loading import Entry, PluginStatus
from sslcore.registry.origin import Origin
from sslcore.registry.registry import Registry
from sslcore.testing.parts.pictures import example_images

#: A distribution name that no plugin has.
_DISTRIBUTION = "sslcore-conformance"

IMAGES, CLIPS = "conformance-images", "conformance-clips"

#: Widths for heads with thousands of units in their papers, unless a method sets them.
_NARROW: Sections = {"head": {"hidden": (32,), "predictor_hidden": (32,), "dim": 16}}

_CLASSES = ("one", "two", "three")
_FRAMES = 6


def images(*, image_size: int = 16, channels: int = 1, count: int = 18) -> Data:
    """Return images in three meaningless classes.

    Args:
        image_size: side, px.
        channels: of each image.
        count: images to train on; there are half as many to test on, and 12 at least.
    """
    return _data(count, image_size, channels, None)


def clips(*, image_size: int = 16, channels: int = 1, count: int = 18) -> Data:
    """Return clips of six frames in three meaningless classes.

    Args:
        image_size: side, px.
        channels: of each frame.
        count: clips to train on; there are half as many to test on, and 12 at least.
    """
    return _data(count, image_size, channels, _FRAMES)


def _data(count: int, size: int, channels: int, frames: int | None) -> Data:
    tested = max(12, count // 2)
    drawn = example_images(count + tested, channels, size, "smooth", frames)
    pictures = (drawn * 255).round().to(torch.uint8)
    labels = torch.arange(len(pictures)) % len(_CLASSES)
    return Data(
        train=_split(pictures[:count], labels[:count]),
        test=_split(pictures[count:], labels[count:]),
        classes=_CLASSES,
    )


def _split(pictures: Tensor, labels: Tensor) -> Split:
    return Split(pictures, labels)


def with_tiny_data(registry: Registry) -> Registry:
    """Return a registry that offers these data sets as well."""
    records = (
        Dataset(
            name=IMAGES,
            summary="A few images in three meaningless classes",
            build=f"{__name__}:images",
            preset="quick",
            defaults=_NARROW,
        ),
        Dataset(
            name=CLIPS,
            summary="A few clips in three meaningless classes",
            build=f"{__name__}:clips",
            clips=True,
            preset="quick",
            defaults=_NARROW,
        ),
    )
    origin = Origin("conformance", _DISTRIBUTION, "0")
    entries = tuple(Entry(record, origin) for record in records)
    return Registry([*registry.plugins, PluginStatus(origin, entries)])
