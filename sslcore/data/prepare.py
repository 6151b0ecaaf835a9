"""Data sets made ready: all images in one form, and the place where they are read from.

Images of a source are kept resized in a cache, or read as they are each time: see `Reading.cache`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sslcore.contract.reading import Reading
from sslcore.data import Data, Split
from sslcore.data.arrays import IN_MEMORY, ArrayImages
from sslcore.data.cache import Entry, Stored, digest, keep_below
from sslcore.data.decoding import color_of
from sslcore.data.form import UNIT, Form
from sslcore.data.originals import Originals
from sslcore.data.reader import MappedFile
from sslcore.data.sources import EncodedImages, Images
from sslcore.data.survey import Survey, common_size, form_of, range_of
from sslcore.data.unreadable import (
    at_least_one,
    listed,
    none_readable,
    readable,
    reason_of,
    squares_of,
    without_empty_classes,
)
from sslcore.errors import DataError, SourceError, UsageError
from sslcore.system.cache import cache_directory
from sslcore.system.watching import Watch, unwatched

#: Number of images that could not be read before to try again at each start.
_RETRIED = 16
_GB = 10**9


def prepared(
    data: Data, reading: Reading, *, boxes: bool = False, watch: Watch = unwatched
) -> tuple[Data, Reading]:
    """Return a data set whose images are read in one form, and the settings that lead to it.

    Args:
        data: the data set.
        reading: what the user chose.
        boxes: whether training takes boxes of the original images.
        watch: is told how many images are resized.

    Raises:
        DataError: the images can't be brought into one form, or too few of them can be read.
        UsageError: a setting is out of range, or the cache would exceed its limit.
    """
    if isinstance(data.train.images, Originals):
        return data, reading
    color_of(reading.background)
    if all(isinstance(split.images, Tensor) for split in data.splits):
        return _of_tensors(data, reading, watch)
    return _Preparation(data.with_splits(_as_source), reading, boxes, watch).made()


def _of_tensors(data: Data, reading: Reading, watch: Watch) -> tuple[Data, Reading]:
    """Return a data set of tensors, which need no reading."""
    images = data.train.images
    assert isinstance(images, Tensor)
    tensors = [split.images for split in data.splits if isinstance(split.images, Tensor)]
    if len({each.dtype for each in tensors}) > 1:
        raise DataError("the splits differ in the type of their values")
    shapes = {each.shape[1:] for each in tensors}
    square = images.shape[-1] == images.shape[-2] and len(shapes) == 1
    size = reading.image_size or images.shape[-1]
    channels = images.shape[-3] if reading.channels == "auto" else reading.channels
    if not square or (size, channels) != (images.shape[-1], images.shape[-3]):
        if images.dim() == 5:
            raise DataError(
                "clips must be square and all of one shape, since they are not resized; got "
                f"{', '.join(str(tuple(shape)) for shape in shapes)}"
            )
        sources = data.with_splits(_as_source)
        return _Preparation(sources, reading, boxes=False, watch=watch).made()
    found, notes = reading.range or data.train.range, data.notes
    of_bytes = images.dtype == torch.uint8
    if of_bytes and reading.scale_bytes is False:
        found = None
    if found is None and not of_bytes:
        rows = torch.linspace(0, len(images) - 1, min(64, len(images))).round().long()
        sample = images[rows].contiguous().numpy().reshape(len(rows), -1)
        found, note = range_of(sample[:, :: max(1, sample.shape[1] // 4096)].ravel())
        notes = (*notes, note)
    if found is None:
        return data, reading
    ranged = data.with_splits(lambda _, split: replace(split, range=found))
    scale_bytes = reading.scale_bytes if reading.range or of_bytes else False
    return replace(ranged, notes=notes), replace(reading, range=found, scale_bytes=scale_bytes)


def _as_source(_name: str, split: Split) -> Split:
    if not isinstance(split.images, Tensor):
        return split
    if split.images.dim() == 5:
        raise DataError("clips must be a tensor in each split, since they are not resized")
    return replace(split, images=ArrayImages(split.images, split.file), file=None)


class _Preparation:
    """The images of a data set of sources, on their way into one form."""

    def __init__(self, data: Data, reading: Reading, boxes: bool, watch: Watch) -> None:
        self.watch = watch
        self.data, self.reading, self.boxes = data, reading, boxes
        self.notes: list[str] = []
        self.unreadable: list[str] = []
        self.reason = ""
        self.kept: list[Entry] = []
        self.survey = Survey.of(_source(data.train))
        if not self.survey.readable:
            raise DataError(none_readable("train", data.train))
        train = data.train
        self.form, notes = form_of(reading, self.survey, _source(train), train.range, train.name_of)
        self.notes += notes
        side, equal = common_size(self.survey.readable)
        #: Of equal squares that keep their size, nothing is lost in the cache.
        self.lossless = equal and side == self.form.image_size

    def made(self) -> tuple[Data, Reading]:
        """Return the data set and the settings of its form."""
        ready = self.data.with_splits(self._split)
        if self.unreadable:
            total = sum(map(len, self.data.splits))
            names = sorted(self.unreadable)
            self.notes.append(
                f"{len(names)} of {total} images can't be read and are left out: "
                f"{listed(names)}"
                f"{f' ({self.reason})' if self.reason else ''}"
            )
        form = self.form
        reading = replace(
            self.reading,
            image_size=form.image_size,
            channels=form.channels,
            range=form.range,
            scale_bytes=None if form.range is None or form.scales_bytes else False,
        )
        notes = dict.fromkeys((*self.data.notes, *self.notes))
        made = replace(ready, notes=tuple(notes), state=_state(self.data))
        return without_empty_classes(made) if self.unreadable else made, reading

    def _split(self, name: str, split: Split) -> Split:
        source, form = _source(split), self.form
        limit = self.reading.cache_limit * _GB
        total = form.channels * form.image_size**2 * (4 if form.floats else 1) * len(source)
        choice = self.reading.cache
        boxes = self.boxes and name == "train" and not self.lossless
        if choice == "decoded" and total > limit:
            raise UsageError(
                f"data.cache: resized images would take {total / _GB:.2g} GB, and the limit is "
                f"{limit / _GB:g} GB; set data.cache_limit, or data.cache=none"
            )
        if choice == "none" or (choice == "auto" and (boxes or total > limit)):
            if name == "train":
                verb = "decoded" if isinstance(source, EncodedImages) else "read"
                what = "random crops of the originals" if boxes else "they"
                self.notes.append(
                    f"images are {verb} in each epoch, and {what} are resized to "
                    f"{form.image_size} px (data.image_size is the side; data.cache=decoded keeps "
                    "resized squares)"
                )
            return self._of_originals(name, split)
        if name == "train" and not self.lossless:
            self.notes.append(
                f"images are scaled to {form.image_size} px, and their centre is cropped "
                "(data.image_size is the side)"
            )
        return self._resized(name, split, total)

    def _of_originals(self, name: str, split: Split) -> Split:
        """Return the split with images that are decoded whenever they are needed."""
        survey = self.survey if name == "train" else Survey.of(_source(split))
        whole = replace(split, images=originals_of(split, self.form), file=None)
        return self._without(name, whole, survey.unreadable)

    def _without(self, name: str, split: Split, unreadable: Sequence[int]) -> Split:
        """Return a split without the images that can't be read, whose names are kept."""
        if not unreadable:
            return split
        if len(split) == len(unreadable):
            raise DataError(none_readable(name, split))
        self.unreadable += [split.name_of(row) for row in unreadable]
        self.reason = self.reason or reason_of(split, unreadable[0])
        keep = torch.ones(len(split), dtype=torch.bool)
        keep[list(unreadable)] = False
        return split.subset(keep.nonzero()[:, 0])

    def _resized(self, name: str, split: Split, total: int) -> Split:
        """Return the split with squares that are kept on disk, or in memory."""
        source, form = _source(split), self.form
        stored: Stored | None = None
        problem = ""
        fingerprint = getattr(source, "fingerprint", None)
        if fingerprint is not None:
            try:
                stored = self._stored(name, split, str(fingerprint))
            except SourceError:
                # It is an OSError too, and no fault of the cache.
                raise
            except OSError as error:
                problem = str(error)
        file: MappedFile | None = None
        if stored is not None:
            images, file, unreadable = stored.images, stored.file, stored.unreadable
        else:
            if total > IN_MEMORY:
                if name == "train":
                    why = problem or "their data set has no fingerprint"
                    what_next = "; set SSLCORE_CACHE to a folder with room" if problem else ""
                    self.notes.append(
                        "images are decoded again in each epoch, because resized images are too "
                        f"large for memory and can't be cached ({why}){what_next}"
                    )
                return self._of_originals(name, split)
            if problem:
                self.notes.append(
                    f"resized images are kept in memory because they can't be cached ({problem}); "
                    "set SSLCORE_CACHE to a folder with room"
                )
            squares = list(squares_of(split, form, 0, self.watch))
            unreadable = [row for row, square in enumerate(squares) if square is None]
            if len(unreadable) == len(split):
                raise DataError(none_readable(name, split))
            images = torch.from_numpy(np.stack([each for each in squares if each is not None]))
        whole = replace(split, images=originals_of(split, form), file=None)
        left = self._without(name, whole, unreadable)
        return replace(left, images=images, file=file, range=UNIT if form.floats else None)

    def _stored(self, name: str, split: Split, fingerprint: str) -> Stored | None:
        source, form = _source(split), self.form
        cache = cache_directory() / "images"
        entry = Entry.of(cache, str(getattr(source, "place", fingerprint)), fingerprint, form)
        stored = entry.load()
        if stored is not None and stored.unreadable:
            # They may have been missing for a while, which a fingerprint does not always show.
            retried = readable(originals_of(split, form), stored.unreadable[:_RETRIED])
            if any(square is not None for square in retried):
                entry.remove()
                stored = None
        if stored is None:

            def squares(first: int) -> Iterator[np.ndarray | None]:
                found = squares_of(split, form, first, self.watch)
                return found if first else at_least_one(name, split, found)

            entry.store(squares, form)
            stored = entry.load()
            limit = int(self.reading.cache_limit * _GB)
            keep_below(cache, limit, [*(kept.path for kept in self.kept), entry.path])
        self.kept.append(entry)
        return stored


def _state(data: Data) -> str:
    """Return a text that changes with the images of a data set of sources, or an empty one."""
    found = [getattr(split.images, "fingerprint", None) for split in data.splits]
    return "" if None in found else digest(" ".join(map(str, found)))


def _source(split: Split) -> Images | EncodedImages:
    assert not isinstance(split.images, (Tensor, Originals))
    return split.images


def originals_of(split: Split, form: Form) -> Originals:
    """Return the images of a split of a source as originals of a form."""
    return Originals(_source(split), form, None, split.name_of)
