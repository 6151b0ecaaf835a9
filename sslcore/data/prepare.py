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
from sslcore.data.decoding import header_of
from sslcore.data.form import UNIT, Form, FormError
from sslcore.data.labels import renumbered
from sslcore.data.originals import Originals, in_threads
from sslcore.data.reader import MappedFile
from sslcore.data.sources import EncodedImages, Images
from sslcore.data.survey import Survey, common_size, form_of, range_of
from sslcore.errors import DataError, SourceError, UsageError, first_line
from sslcore.system.cache import cache_directory
from sslcore.system.watching import Watch, unwatched

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

    def read(self, rows: Sequence[int]) -> list[Tensor]:
        """Return images (C, H, W)."""
        return [self.images[row] for row in rows]


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
    """
    train = data.train.images
    if isinstance(train, Originals):
        return data, reading
    if isinstance(train, Tensor):
        return _of_tensors(data, reading, watch)
    return _Preparation(data, reading, boxes, watch).made()


def _of_tensors(data: Data, reading: Reading, watch: Watch) -> tuple[Data, Reading]:
    """Return a data set of tensors, which need no reading."""
    images = data.train.images
    assert isinstance(images, Tensor)
    if len({split.images.dtype for split in data.splits if isinstance(split.images, Tensor)}) > 1:
        raise DataError("the splits differ in the type of their values")
    shapes = {split.images.shape[1:] for split in data.splits if isinstance(split.images, Tensor)}
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
    if found is None and images.dtype != torch.uint8:
        rows = torch.linspace(0, len(images) - 1, min(64, len(images))).round().long()
        sample = images[rows].contiguous().numpy().reshape(len(rows), -1)
        found, note = range_of(sample[:, :: max(1, sample.shape[1] // 4096)].ravel())
        notes = (*notes, note)
    if found is None:
        return data, reading
    ranged = data.with_splits(lambda _, split: replace(split, range=found))
    return replace(ranged, notes=notes), replace(reading, range=found)


def _as_source(_name: str, split: Split) -> Split:
    assert isinstance(split.images, Tensor)
    return replace(split, images=TensorImages(split.images), file=None)


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
            raise DataError(_none("train", data.train))
        self.form, notes = form_of(reading, self.survey, _source(data.train), data.train.range)
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
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self.notes.append(
                f"{len(names)} of {total} images can't be read and are left out: "
                f"{', '.join(names[:_NAMED])}{more}"
                f"{f' ({self.reason})' if self.reason else ''}"
            )
        form = self.form
        reading = replace(
            self.reading, image_size=form.image_size, channels=form.channels, range=form.range
        )
        made = replace(ready, notes=(*self.data.notes, *self.notes))
        return _without_empty_classes(made) if self.unreadable else made, reading

    def _split(self, name: str, split: Split) -> Split:
        source, form = _source(split), self.form
        limit = self.reading.cache_limit * _GB
        total = form.channels * form.image_size**2 * (4 if form.floats else 1) * len(source)
        choice = self.reading.cache
        boxes = self.boxes and name == "train" and not self.lossless
        if choice == "decoded" and total > limit:
            raise UsageError(
                f"data.cache: resized images would take {total / _GB:.0f} GB, and the limit is "
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
            raise DataError(_none(name, split))
        self.unreadable += [split.name_of(row) for row in unreadable]
        self.reason = self.reason or _why(split, unreadable[0])
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
            except OSError as error:
                problem = str(error)
        file: MappedFile | None = None
        if stored is not None:
            images, file, unreadable = stored.images, stored.file, stored.unreadable
        else:
            if total > _IN_MEMORY:
                return self._of_originals(name, split)
            if problem:
                self.notes.append(
                    f"resized images are kept in memory because they can't be cached ({problem}); "
                    "set SSLCORE_CACHE to a folder with room"
                )
            squares = list(_squares(source, form, 0, self.watch))
            unreadable = [row for row, square in enumerate(squares) if square is None]
            if len(unreadable) == len(split):
                raise DataError(_none(name, split))
            images = torch.from_numpy(np.stack([each for each in squares if each is not None]))
        whole = replace(split, images=originals_of(split, form), file=None)
        left = self._without(name, whole, unreadable)
        return Split(images, left.labels, file, left.names, UNIT if form.floats else None)

    def _stored(self, name: str, split: Split, fingerprint: str) -> Stored | None:
        source, form = _source(split), self.form
        cache = cache_directory() / "images"
        entry = Entry.of(cache, str(getattr(source, "place", fingerprint)), fingerprint, form)
        stored = entry.load()
        if stored is None:

            def squares(first: int) -> Iterator[np.ndarray | None]:
                found = _squares(source, form, first, self.watch)
                return found if first else _enough(name, split, found)

            entry.store(squares, form)
            stored = entry.load()
            limit = int(self.reading.cache_limit * _GB)
            keep_below(cache, limit, [*(kept.path for kept in self.kept), entry.path])
        self.kept.append(entry)
        return stored


def _enough(
    name: str, split: Split, images: Iterator[np.ndarray | None]
) -> Iterator[np.ndarray | None]:
    """Pass images on; raise `DataError` at the end if there were none."""
    readable = 0
    for image in images:
        readable += image is not None
        yield image
    if not readable:
        raise DataError(_none(name, split))


def _none(name: str, split: Split) -> str:
    names = ", ".join(split.name_of(row) for row in range(min(_NAMED, len(split))))
    more = f" and {len(split) - _NAMED} more" if len(split) > _NAMED else ""
    what_next = _why(split, 0) or "replace them"
    return f"none of the {name} images can be read ({names}{more}); {what_next}"


def _why(split: Split, row: int) -> str:
    """Return what is wrong with an image that can't be read, with its name; empty if unknown."""
    images = split.images
    try:
        if isinstance(images, Originals):
            images.square(row)
        elif isinstance(images, EncodedImages):
            header_of(images.fetch(row))
    except (DataError, OSError) as error:
        name, message = split.name_of(row), first_line(error)
        return message if name in message else f"{name} {message}"
    return ""


def _without_empty_classes(data: Data) -> Data:
    """Return a data set whose classes have an image each, their labels numbered anew."""
    found = {
        label
        for split in data.splits
        if split.labels is not None and split.labels.dim() == 1
        for label in split.labels.unique().tolist()
    }
    kept = [label for label in range(len(data.classes)) if label in found]
    if not found or len(kept) == len(data.classes):
        return data
    number = torch.full((len(data.classes),), -1)
    number[kept] = torch.arange(len(kept))

    def of(_name: str, split: Split) -> Split:
        if split.labels is None:
            return split
        return replace(split, labels=renumbered(split.labels, number, len(kept)))

    classes = tuple(data.classes[label] for label in kept)
    return replace(data.with_splits(of), classes=classes)


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
        except (FormError, SourceError):
            # The image is sound: to leave it out would hide a mixture, or a store that is silent.
            raise
        except (DataError, OSError):
            return None

    return in_threads(square, rows)


def _squares(
    source: Images | EncodedImages, form: Form, first: int, watch: Watch
) -> Iterator[np.ndarray | None]:
    """Yield the squares of the images from a row on; None for one that can't be read."""
    originals, total = Originals(source, form), len(source)
    for start in range(first, total, _AT_A_TIME):
        watch(start, total)
        for square in readable(originals, range(start, min(start + _AT_A_TIME, total))):
            yield None if square is None else square.numpy()
    watch(total, total)
