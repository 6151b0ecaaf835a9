"""Data sets of a few images that methods are checked on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import torch

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Dataset, Method
from sslcore.data import Data, Split
from sslcore.errors import SslcoreError
from sslcore.pipeline.training_images import first_extras
from sslcore.registry.loading import Entry, PluginStatus
from sslcore.registry.origin import Origin
from sslcore.registry.registry import Registry
from sslcore.testing.parts.pictures import example_images

#: A distribution name that no plugin has.
_DISTRIBUTION = "sslcore-conformance"

IMAGES, CLIPS = "conformance-images", "conformance-clips"

#: Widths for heads with thousands of units in their papers, unless a method sets them.
_NARROW = {"hidden": (32,), "predictor_hidden": (32,), "dim": 16}

_CLASSES = ("one", "two", "three")
_FRAMES = 6


def images(
    *, image_size: int = 16, channels: int = 1, count: int = 18, extras_of: str = ""
) -> Data:
    """Return images in three meaningless classes.

    Args:
        image_size: side, px.
        channels: of each image.
        count: images to train on; there are half as many to test on, and 12 at least.
        extras_of: the function of a data set whose first extras the images have.
    """
    return _data(count, image_size, channels, None, extras_of)


def clips(*, image_size: int = 16, channels: int = 1, count: int = 18, extras_of: str = "") -> Data:
    """Return clips of six frames in three meaningless classes.

    Args:
        image_size: side, px.
        channels: of each frame.
        count: clips to train on; there are half as many to test on, and 12 at least.
        extras_of: the function of a data set whose first extras the images have.
    """
    return _data(count, image_size, channels, _FRAMES, extras_of)


def _data(count: int, size: int, channels: int, frames: int | None, extras_of: str) -> Data:
    tested = max(12, count // 2)
    drawn = example_images(count + tested, channels, size, "smooth", frames)
    pictures = (drawn * 255).round().to(torch.uint8)
    labels = torch.arange(len(pictures)) % len(_CLASSES)
    whole = Split(pictures, labels)
    if extras_of:
        like = load_reference(extras_of)().train
        whole = replace(whole, extras=first_extras(like, len(pictures)))
    rows = torch.arange(len(pictures))
    return Data(whole.subset(rows[:count]), whole.subset(rows[count:]), classes=_CLASSES)


def dataset_with_extras(registry: Registry, method: Method) -> Entry | None:
    """Return the data set of a method whose images come with extras; None if it has none."""
    if not method.data:
        return None
    entry = registry.resolve("dataset", method.data)
    assert isinstance(entry.record, Dataset)
    return entry if entry.record.provides else None


def with_tiny_data(registry: Registry, like: Entry | None = None) -> Registry:
    """Return a registry that offers these data sets as well.

    Args:
        registry: the registry.
        like: the data set whose extras the images come with, by their setting `extras_of`.
    """
    provides: tuple[str, ...] = () if like is None else getattr(like.record, "provides", ())
    narrow = {f"head:{entry.qualified}": _narrow(entry) for entry in registry.entries("head")}
    records = (
        Dataset(
            name=IMAGES,
            summary="A few images in three meaningless classes",
            build=f"{__name__}:images",
            preset="quick",
            provides=provides,
            defaults=narrow,
        ),
        Dataset(
            name=CLIPS,
            summary="A few clips in three meaningless classes",
            build=f"{__name__}:clips",
            clips=True,
            preset="quick",
            provides=provides,
            defaults=narrow,
        ),
    )
    origin = Origin("conformance", _DISTRIBUTION, "0")
    entries = tuple(Entry(record, origin) for record in records)
    return Registry([*registry.plugins, PluginStatus(origin, entries)])


def _narrow(entry: Entry) -> dict[str, object]:
    """Return the widths that a head has of those that are known."""
    found: dict[str, object] = {}
    with suppress(SslcoreError):
        for name, setting in entry.interface().settings.items():
            if name in _NARROW:
                with suppress(ValueError):
                    found[name] = setting.validate(_NARROW[name])
    return found
