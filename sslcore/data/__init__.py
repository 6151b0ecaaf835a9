"""Data sets: images in splits, and how the rows of a batch are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from sslcore.data.extras import check_extras, rows_of_extras
from sslcore.data.labels import are_known, are_several, check_labels
from sslcore.data.names import NamesOfRows
from sslcore.data.originals import Originals
from sslcore.data.reader import MappedFile, Rows
from sslcore.data.sources import EncodedImages, Images, part_of
from sslcore.errors import DataError
from sslcore.signals import Boxes

__all__ = ["Boxes", "Data", "EncodedImages", "Images", "MappedFile", "Split"]

#: Types that the values of images may have.
DTYPES = (torch.uint8, torch.uint16, torch.int16, torch.int32, torch.float32)


@dataclass(frozen=True)
class Split:
    """Images with or without labels.

    Attributes:
        images: a tensor (N, C, H, W), or (N, T, C, H, W) for clips, of uint8, uint16, int16, int32
            or float32; it may be memory-mapped: the engine reads only the rows of each batch. Or
            a source of images of any size: `Images`, or `EncodedImages`.
        labels: the class of each image, int64, (N,), or -1 where it is not known; or several
            labels an image, bool, (N, K): whether class k is there; or None. Labels that are all
            -1 become None.
        file: the file that a tensor is mapped from, or None. The engine then reads batches from
            the file, so that a cut-off file raises an error.
        names: a name for each image, such as its file, for pictures and messages; or None. Only
            its length and its items are asked for.
        range: the values that become 0 and 1. None means 0 and 255 for uint8; for other types the
            engine finds them in the data.
        extras: tensors by name, of any type, each with a row for each image (N, …): captions as
            tokens, maps, boxes, numbers. In training, each is a signal of its name, (B, …).

    Raises:
        DataError: a shape, a type or the range is wrong, or the numbers of images, labels, names
            and rows of extras differ.
    """

    images: Tensor | Images | EncodedImages | Originals
    labels: Tensor | None = None
    file: MappedFile | None = None
    names: Sequence[str] | None = None
    range: tuple[float, float] | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.images, Tensor):
            if self.images.dtype not in DTYPES or self.images.dim() not in (4, 5):
                raise DataError(
                    "images must be uint8, uint16, int16, int32 or float32, of shape (N, C, H, W) "
                    f"or (N, T, C, H, W), got {self.images.dtype} of shape "
                    f"{tuple(self.images.shape)}"
                )
        elif not isinstance(self.images, (Images, EncodedImages, Originals)):
            raise DataError(
                "images must be a tensor, or an object with `__len__` and `read(rows)` or "
                f"`fetch(row)`, got {type(self.images).__name__}"
            )
        if self.labels is not None:
            check_labels(self.labels, len(self.images))
            if not bool(are_known(self.labels).any()):
                object.__setattr__(self, "labels", None)
        if self.range is not None and not self.range[0] < self.range[1]:
            raise DataError(f"the range must be (low, high) with low below high, got {self.range}")
        if self.names is not None and len(self.names) != len(self.images):
            raise DataError(f"{len(self.images)} images but {len(self.names)} names")
        check_extras(self.extras, len(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def name_of(self, row: int) -> str:
        """Return the name of an image, or its number where the images have no names."""
        return f"image {row}" if self.names is None else self.names[row]

    @cached_property
    def reader(self) -> Rows | Originals:
        """What reads the images of the split.

        Raises:
            DataError: the images have no common form yet.
        """
        if isinstance(self.images, Tensor):
            return Rows(self.images, self.file, self.range)
        return self._originals

    def read(self, rows: Tensor, device: torch.device | None = None) -> Tensor:
        """Return the images of some rows (B,): (B, C, S, S), or clips (B, T, C, S, S).

        Args:
            rows: int64.
            device: where they go afterwards; for a CUDA device they are in pinned memory.

        Returns:
            uint8, or float32 in [0, 1].

        Raises:
            OSError, DataError: an image can't be read.
        """
        return self.reader.read(rows, device)

    def subset(self, rows: Tensor) -> Split:
        """Return the images of some rows, int64 (N,); a tensor's are copied into memory."""
        if isinstance(self.images, Tensor):
            names = [self.name_of(row) for row in rows.tolist()]
            images = Rows(self.images, self.file).raw(rows)
            return replace(self.with_rows(images, rows), names=names)
        if isinstance(self.images, Originals):
            return self.with_rows(self.images.subset(rows), rows)
        return self.with_rows(part_of(self.images, rows), rows)

    def with_rows(self, images: Tensor | Images | EncodedImages | Originals, rows: Tensor) -> Split:
        """Return the split of some of its rows, int64 (B,), whose images were taken already."""
        return Split(
            images,
            None if self.labels is None else self.labels[rows],
            names=NamesOfRows(self.name_of, rows),
            range=self.range,
            extras=rows_of_extras(self.extras, rows),
        )

    @property
    def _originals(self) -> Originals:
        if not isinstance(self.images, Originals):
            raise DataError("the images of a source have no form before they are prepared")
        return self.images

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        if isinstance(self.images, Tensor):
            return self.images.shape[-3]
        return self._originals.form.channels

    @property
    def image_size(self) -> int:
        """Side of an image, px."""
        if isinstance(self.images, Tensor):
            return self.images.shape[-1]
        return self._originals.form.image_size

    @property
    def num_frames(self) -> int | None:
        """Number of frames of a clip; None for images."""
        if not isinstance(self.images, Tensor) or self.images.dim() == 4:
            return None
        return self.images.shape[1]


@dataclass(frozen=True)
class Data:
    """The splits of a data set.

    Attributes:
        train: the images to train on; labels are optional, and only a supervised loss gets them.
        test: the images to score; never trained on. None where no image is held out.
        probe: the labelled images that evaluators fit on, if they differ from `train` (as in a
            data set with many unlabelled images).
        classes: names of the classes; label i (of several, column i) is the class `classes[i]`.
            Empty without labels.
        notes: sentences for the user, such as which files can't be read; printed once.
        state: set by the engine: a text that changes with the images; empty where it is not known.

    Raises:
        DataError: the test split has no images.
    """

    train: Split
    test: Split | None = None
    probe: Split | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    state: str = ""

    def __post_init__(self) -> None:
        if self.test is not None and not len(self.test):
            raise DataError("the test split has no images; give None where none are held out")

    def with_splits(self, change: Callable[[str, Split], Split]) -> Data:
        """Return the data set with each split changed.

        Args:
            change: from the name of a split ("train", "test" or "probe") and the split to another.
        """
        return replace(
            self,
            train=change("train", self.train),
            test=None if self.test is None else change("test", self.test),
            probe=None if self.probe is None else change("probe", self.probe),
        )

    @property
    def splits(self) -> tuple[Split, ...]:
        """All splits that there are."""
        found = (self.train, self.test, self.probe)
        return tuple(split for split in found if split is not None)

    @property
    def fit(self) -> Split:
        """The split that evaluators fit on."""
        return self.probe if self.probe is not None else self.train

    @property
    def labelled(self) -> bool:
        """Whether there are labels to fit on, and labels to score."""
        tested = None if self.test is None else self.test.labels
        return self.fit.labels is not None and tested is not None

    @property
    def several_labels(self) -> bool:
        """Whether the images that evaluators use have several labels each."""
        return any(
            split is not None and are_several(split.labels) for split in (self.fit, self.test)
        )
