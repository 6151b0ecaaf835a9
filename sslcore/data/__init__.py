"""Data sets: images in splits, and how the rows of a batch are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sslcore.data.reader import MappedFile
from sslcore.errors import DataError

__all__ = ["Data", "MappedFile", "Split"]


@dataclass(frozen=True)
class Split:
    """Images with or without labels.

    Attributes:
        images: uint8, (N, C, H, W), or (N, T, C, H, W) for clips; H = W. It may be memory-mapped:
            the engine reads only the rows of each batch.
        labels: int64, (N,), or None.
        file: the file that `images` is mapped from, or None. The engine then reads batches from
            the file, so that a cut-off file raises an error.
        names: a name for each image, such as its file, for pictures and messages; or None.

    Raises:
        DataError: a shape or type is wrong, or the numbers of images, labels and names differ.
    """

    images: Tensor
    labels: Tensor | None = None
    file: MappedFile | None = None
    names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.dim() not in (4, 5):
            raise DataError(
                "images must be uint8 of shape (N, C, H, W) or (N, T, C, H, W), "
                f"got {self.images.dtype} of shape {tuple(self.images.shape)}"
            )
        if self.images.shape[-1] != self.images.shape[-2]:
            raise DataError(f"images must be square, got {tuple(self.images.shape[-2:])}")
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise DataError(
                f"{len(self.images)} images but labels of shape {tuple(self.labels.shape)}"
            )
        if self.names is not None and len(self.names) != len(self.images):
            raise DataError(f"{len(self.images)} images but {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.images)

    def name_of(self, row: int) -> str:
        """Return the name of an image, or its number where the images have no names."""
        return f"image {row}" if self.names is None else self.names[row]

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.images.shape[-3]

    @property
    def image_size(self) -> int:
        """Side of an image, px."""
        return self.images.shape[-1]

    @property
    def num_frames(self) -> int | None:
        """Number of frames of a clip; None for images."""
        return self.images.shape[1] if self.images.dim() == 5 else None


@dataclass(frozen=True)
class Data:
    """The splits of a data set.

    Attributes:
        train: the images to train on; labels are optional, and only a supervised loss gets them.
        test: the images to score; never trained on.
        probe: the labelled images that evaluators fit on, if they differ from `train` (as in a
            data set with many unlabelled images).
        classes: names of the classes; label i is the class `classes[i]`. Empty without labels.
        notes: sentences for the user, such as which files can't be read; printed once.
    """

    train: Split
    test: Split
    probe: Split | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def fit(self) -> Split:
        """The split that evaluators fit on."""
        return self.probe if self.probe is not None else self.train

    @property
    def labelled(self) -> bool:
        """Whether evaluators that need labels can run."""
        return self.fit.labels is not None and self.test.labels is not None
