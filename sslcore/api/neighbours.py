"""The images nearest to an image, and groups of near-duplicates."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sslcore.api.features import progress, splits_for
from sslcore.api.images import open_image
from sslcore.api.loading import load_encoder
from sslcore.compute.device import pick_device
from sslcore.data import Split
from sslcore.errors import UsageError
from sslcore.evaluation.duplicates import Duplicate, find_duplicates
from sslcore.evaluation.neighbours import Neighbour, nearest_images
from sslcore.recipe.request import Settings
from sslcore.registry.registry import Registry, default_registry
from sslcore.reports.neighbours import draw_duplicates, draw_nearest
from sslcore.runs.folder import Run
from sslcore.system.terminal import stderr_console

if TYPE_CHECKING:
    from rich.console import Console

#: The least similarity of near-duplicates, found by planting copies (docs/use.md).
ABOVE = 0.9


@dataclass(frozen=True)
class Neighbours:
    """The images nearest to an image, the nearest first.

    Attributes:
        image: the image searched for, a split of one.
        nearest: the images.
        splits: the images searched in, by split.
    """

    image: Split
    nearest: tuple[Neighbour, ...]
    splits: Mapping[str, Split]

    def records(self) -> list[dict[str, object]]:
        """Return for each image a dict: rank, similarity, split, name, label, same_image."""
        return [
            {
                "rank": rank,
                "similarity": round(near.similarity, 6),
                "split": near.split,
                "name": near.name,
                "label": near.label,
                "same_image": near.same,
            }
            for rank, near in enumerate(self.nearest, 1)
        ]

    def to_csv(self) -> str:
        """Return the images as CSV, with the columns of `records`."""
        return _csv(self.records())

    def to_png(self) -> bytes:
        """Return a picture of the image and its nearest images."""
        return draw_nearest(self.image, self.nearest, self.splits)


@dataclass(frozen=True)
class Duplicates:
    """Groups of near-duplicates, the most similar first.

    Attributes:
        groups: the images of each group, two at least, in the order of the data set.
        splits: the images searched in, by split.
    """

    groups: tuple[tuple[Duplicate, ...], ...]
    splits: Mapping[str, Split]

    def records(self) -> list[dict[str, object]]:
        """Return for each image a dict: group, similarity, split, name, label."""
        return [
            {
                "group": number,
                "similarity": round(each.similarity, 6),
                "split": each.split,
                "name": each.name,
                "label": each.label,
            }
            for number, group in enumerate(self.groups, 1)
            for each in group
        ]

    def to_csv(self) -> str:
        """Return the images as CSV, with the columns of `records`."""
        return _csv(self.records(), ["group", "similarity", "split", "name", "label"])

    def to_png(self) -> bytes:
        """Return a picture of the first groups.

        Raises:
            UsageError: there are no groups.
        """
        if not self.groups:
            raise UsageError("there are no near-duplicates to draw")
        return draw_duplicates(self.groups, self.splits)


def search(
    run: str | Path,
    image: str | Path,
    *,
    data: str | Path | None = None,
    settings: Settings = (),
    split: Literal["all", "train", "test"] = "all",
    top: int = 10,
    teacher: bool = False,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Neighbours:
    """Return the images of a data set nearest to an image, by the features of a run's encoder.

    Args:
        run: the run whose encoder makes the features.
        image: an image file.
        data: a data set's name, or the path of a folder; that of the run by default.
        settings: of the section `data`.
        split: the images to search in.
        top: how many images to return, at most.
        teacher: whether to take the encoder of the run's teacher.
        device: where to compute.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run, image or data.
    """
    if top < 1:
        raise UsageError(f"top: expected a number of at least 1, got {top}")
    console, registry = console or stderr_console(), registry or default_registry()
    opened, where = Run.open(run), pick_device(device)
    query = open_image(opened.path, image, registry)
    extract = load_encoder(opened.path, teacher=teacher, device=device, registry=registry)
    splits, classes = splits_for(opened, data, settings, split, console, registry)
    with progress(console, sum(map(len, splits.values()))) as advance:
        found = nearest_images(
            extract, query, splits, classes, top=top, device=where, progress=advance
        )
    return Neighbours(query, tuple(found), splits)


def dedupe(
    run: str | Path,
    *,
    data: str | Path | None = None,
    settings: Settings = (),
    split: Literal["all", "train", "test"] = "all",
    above: float = ABOVE,
    teacher: bool = False,
    device: str = "auto",
    console: Console | None = None,
    registry: Registry | None = None,
) -> Duplicates:
    """Return groups of near-duplicates among the images of a data set; no file is deleted.

    Args:
        run: the run whose encoder makes the features.
        data: a data set's name, or the path of a folder; that of the run by default.
        settings: of the section `data`.
        split: the images to compare.
        above: the least cosine similarity of the whitened features of two near-duplicates, in
            (0, 1].
        teacher: whether to take the encoder of the run's teacher.
        device: where to compute.
        console: where progress is printed; stderr by default.
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: there is no such run or data, there are fewer than two images, or all have the
            same features.
        DiskError: the features can't be written to a temporary file.
    """
    if not 0 < above <= 1:
        raise UsageError(f"above: expected a similarity in (0, 1], got {above}")
    console, registry = console or stderr_console(), registry or default_registry()
    opened, where = Run.open(run), pick_device(device)
    extract = load_encoder(opened.path, teacher=teacher, device=device, registry=registry)
    splits, classes = splits_for(opened, data, settings, split, console, registry)
    # Each image is embedded, and then compared.
    total = sum(map(len, splits.values()))
    with progress(console, 2 * total) as advance:
        groups = find_duplicates(
            extract,
            splits,
            classes,
            above=above,
            device=where,
            embedded=advance,
            compared=lambda done: advance(total + done),
        )
    return Duplicates(tuple(map(tuple, groups)), splits)


def _csv(records: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> str:
    file = io.StringIO()
    rows = csv.DictWriter(file, columns or list(records[0]), lineterminator="\n")
    rows.writeheader()
    rows.writerows(records)
    return file.getvalue()
