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
from sslcore.data.cache import Entry, Stored, keep_below
from sslcore.data.form import UNIT, Form
from sslcore.data.originals import Originals, in_threads
from sslcore.data.sources import EncodedImages, Images
from sslcore.data.survey import Survey, common_size, form_of, range_of
from sslcore.errors import DataError, UsageError
from sslcore.system.cache import cache_directory

#: Images without a place on disk are kept in memory up to this many bytes.
_IN_MEMORY = 2**30
#: Images read between two looks at whether enough of them can be read.
_AT_A_TIME = 1024
#: Number of unreadable images to name; the others are only counted.
_NAMED = 3
_GB = 10**9


class TensorImages:
    """Images of a tensor (N, C, H, W), for those that have to be resized.

    Args:
        images: any type.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: list[int]) -> list[Tensor]:
        """Return images (C, H, W)."""
        return [self.images[row] for row in rows]


def prepared(data: Data, reading: Reading, *, boxes: bool = False) -> tuple[Data, Reading]:
    """Return a data set whose images are read in one form, and the settings that lead to it.

    Args:
        data: the data set.
        reading: what the user chose.
        boxes: whether training takes boxes of the original images.

    Raises:
        DataError: the images can't be brought into one form, or too few of them can be read.
    """
    train = data.train.images
    if isinstance(train, Originals):
        return data, reading
    if isinstance(train, Tensor):
        return _of_tensors(data, reading)
    return _Preparation(data, reading, boxes).made()


def _of_tensors(data: Data, reading: Reading) -> tuple[Data, Reading]:
    """Return a data set of tensors, which need no reading."""
    images = data.train.images
    assert isinstance(images, Tensor)
    square = images.shape[-1] == images.shape[-2]
    size = reading.image_size or images.shape[-1]
    channels = images.shape[-3] if reading.channels == "auto" else reading.channels
    if not square or (size, channels) != (images.shape[-1], images.shape[-3]):
        if images.dim() == 5:
            raise DataError(
                f"clips must be square and are not resized, got {tuple(images.shape[-2:])} px"
            )
        sources = {
            name: None
            if split is None
            else replace(split, images=TensorImages(split.images), file=None)
            for name, split in _splits(data).items()
        }
        return _Preparation(replace(data, **sources), reading, boxes=False).made()
    found, notes = reading.range or data.train.range, data.notes
    if found is None and images.dtype != torch.uint8:
        rows = torch.linspace(0, len(images) - 1, min(64, len(images))).round().long()
        sample = images[rows].contiguous().numpy().reshape(len(rows), -1)
        found, note = range_of(sample[:, :: max(1, sample.shape[1] // 4096)].ravel())
        notes = (*notes, note)
    if found is None:
        return data, reading
    splits = {
        name: None if split is None else replace(split, range=found)
        for name, split in _splits(data).items()
    }
    return replace(data, **splits, notes=notes), replace(reading, range=found)


def _splits(data: Data) -> dict[str, Split | None]:
    return {"train": data.train, "test": data.test, "probe": data.probe}


class _Preparation:
    """The images of a data set of sources, on their way into one form."""

    def __init__(self, data: Data, reading: Reading, boxes: bool) -> None:
        self.data, self.reading, self.boxes = data, reading, boxes
        self.notes: list[str] = []
        self.kept: list[Entry] = []

    def made(self) -> tuple[Data, Reading]:
        """Return the data set and the settings of its form."""
        form = self._form()
        splits = {
            name: None if split is None else self._split(split, form, train=name == "train")
            for name, split in _splits(self.data).items()
        }
        reading = replace(
            self.reading, image_size=form.image_size, channels=form.channels, range=form.range
        )
        notes = (*self.data.notes, *self.notes)
        return replace(self.data, **splits, notes=notes), reading

    def _form(self) -> Form:
        """Return the form of all splits, found in the training images."""
        source = _source(self.data.train)
        survey = Survey.of(source)
        if not survey.readable:
            raise DataError("no training image can be read")
        self.survey = survey
        form, notes = form_of(self.reading, survey, source, self.data.train.range)
        self.notes += notes
        _, self.equal = common_size(survey.readable)
        return form

    def _split(self, split: Split, form: Form, *, train: bool) -> Split:
        source = _source(split)
        limit = self.reading.cache_limit * _GB
        each = form.channels * form.image_size**2 * (4 if form.floats else 1)
        total = each * len(source)
        choice = self.reading.cache
        # Of equal squares that keep their size, nothing is lost in the cache.
        whole = (
            self.boxes
            and train
            and not (self.equal and common_size(self.survey.readable)[0] == form.image_size)
        )
        if choice == "decoded" and total > limit:
            raise UsageError(
                f"data.cache: resized images would take {total / _GB:.0f} GB, and the limit is "
                f"{limit / _GB:g} GB; set data.cache_limit, or data.cache=none"
            )
        original = choice == "none" or (choice == "auto" and (whole or total > limit))
        if original:
            kept = self._of_originals(split, source, form)
            if train:
                shown = (
                    "boxes of the originals" if self.boxes else f"squares of {form.image_size} px"
                )
                self.notes.append(
                    f"images are read anew in each epoch: {shown} "
                    "(data.cache=decoded keeps resized squares instead)"
                )
            return kept
        return self._resized(split, source, form, total)

    def _of_originals(self, split: Split, source: Images | EncodedImages, form: Form) -> Split:
        survey = self.survey if source is _source(self.data.train) else Survey.of(source)
        images = Originals(source, form, None, split.name_of)
        whole = Split(images, split.labels, names=split.names)
        if not survey.unreadable:
            return whole
        return self._without(whole, survey.unreadable)

    def _without(self, split: Split, unreadable: list[int] | tuple[int, ...]) -> Split:
        """Return a split without the images that can't be read, and note their names."""
        names = ", ".join(split.name_of(row) for row in unreadable[:_NAMED])
        more = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
        if len(split) - len(unreadable) < 1:
            raise DataError(f"none of {len(split)} images can be read: {names}{more}")
        self.notes.append(
            f"{len(unreadable)} of {len(split)} images can't be read and are left out: "
            f"{names}{more}"
        )
        keep = torch.ones(len(split), dtype=torch.bool)
        keep[list(unreadable)] = False
        return split.subset(keep.nonzero()[:, 0])

    def _resized(
        self, split: Split, source: Images | EncodedImages, form: Form, total: int
    ) -> Split:
        """Return the split with squares that are kept on disk, or in memory."""
        stored: Stored | None = None
        problem = ""
        fingerprint = getattr(source, "fingerprint", None)
        if fingerprint is not None:
            try:
                stored = self._stored(source, form, str(fingerprint))
            except OSError as error:
                problem = str(error)
        if stored is not None:
            images, file, unreadable = stored.images, stored.file, stored.unreadable
        else:
            if total > _IN_MEMORY:
                return self._of_originals(split, source, form)
            if problem:
                self.notes.append(
                    f"resized images are kept in memory because they can't be cached ({problem}); "
                    "set SSLCORE_CACHE to a folder with room"
                )
            squares = list(_squares(source, form))
            unreadable = [row for row, square in enumerate(squares) if square is None]
            readable = [square for square in squares if square is not None]
            if not readable:
                raise DataError(f"none of {len(split)} images can be read")
            images, file = torch.from_numpy(np.stack(readable)), None
        whole = Split(Originals(source, form, None, split.name_of), split.labels, names=split.names)
        left = self._without(whole, unreadable) if unreadable else whole
        range_ = UNIT if form.floats else None
        return Split(images, left.labels, file, left.names, range_)

    def _stored(
        self, source: Images | EncodedImages, form: Form, fingerprint: str
    ) -> Stored | None:
        cache = cache_directory() / "images"
        place = str(getattr(source, "place", fingerprint))
        entry = Entry.of(cache, place, fingerprint, form)
        stored = entry.load()
        if stored is None:
            entry.store(_squares(source, form), form)
            stored = entry.load()
            self.kept.append(entry)
            limit = int(self.reading.cache_limit * _GB)
            keep_below(cache, limit, [kept.path for kept in self.kept])
        return stored


def _source(split: Split) -> Images | EncodedImages:
    if isinstance(split.images, (Tensor, Originals)):
        raise DataError("the splits of a data set are tensors in part, and in part sources")
    return split.images


def originals_of(split: Split, form: Form) -> Originals:
    """Return the images of a split of a source as originals of a form."""
    return Originals(_source(split), form, None, split.name_of)


def readable(originals: Originals, rows: Sequence[int]) -> list[Tensor | None]:
    """Return the squares (C, S, S) of some rows of a source; None for one that can't be read."""

    def square(row: int) -> Tensor | None:
        try:
            return originals.square(row).contiguous()
        except (DataError, OSError):
            return None

    return in_threads(square, rows)


def _squares(source: Images | EncodedImages, form: Form) -> Iterator[np.ndarray | None]:
    """Yield the squares of all images in order; None for one that can't be read."""
    originals = Originals(source, form)
    for start in range(0, len(source), _AT_A_TIME):
        rows = range(start, min(start + _AT_A_TIME, len(source)))
        for square in readable(originals, rows):
            yield None if square is None else square.numpy()
