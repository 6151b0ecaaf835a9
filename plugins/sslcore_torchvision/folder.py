"""A folder of images as a data set."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.names import NamesOfRows
from sslcore.errors import DataError
from sslcore.system.cache import cache_directory
from sslcore_torchvision._file_index import FileIndex, printable
from sslcore_torchvision._listing import Listing, arrange
from sslcore_torchvision._scan import EXTENSIONS, image_files

if TYPE_CHECKING:
    import numpy as np


class Files:
    """Image files below a folder, read when they are asked for.

    Args:
        root: the folder.
        index: its files.
        rows: the rows of the index that there are, int64, (N,).
        part: names this part of the folder.
    """

    def __init__(self, root: Path, index: FileIndex, rows: np.ndarray, part: str) -> None:
        self.root, self.index, self.rows = root, index, rows
        self.place = f"{root.resolve()} {part}"
        content = hashlib.blake2b(index.hashes[rows].tobytes(), digest_size=16)
        content.update(index.states[rows].tobytes())
        self.fingerprint = content.hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def fetch(self, row: int) -> bytes:
        """Return the content of a file."""
        return (self.root / os.fsdecode(self.index.path(self.rows[row]))).read_bytes()


def folder(*, path: str, test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None) -> Data:
    """Return the images of a folder, of any sizes and modes.

    With `train` and `test` (or `val`) in the folder, these are the splits; otherwise a part of
    images with classes is held out by a hash of their paths, the same at every call. The folders
    on a split's first level are the classes, unless images lie directly in it. Hidden files are
    skipped. Nothing is written to the folder.

    Args:
        path: the folder.
        test_fraction: fraction of each class to hold out if there is no test folder, in [0, 1).
            none holds out a fifth of images with classes, and nothing of others. 0 trains on all
            images, on those of a test folder too if they have no classes.

    Raises:
        DataError: the folder is missing or holds too few images, or its test classes are not those
            of training.
    """
    root = _existing(path)
    files = image_files(root, _listings())
    if not len(files):
        raise DataError(
            f"{root} holds no images at any depth; expected files ending in {' '.join(EXTENSIONS)}"
        )
    if len(files) == 1:
        raise DataError(f"{root} holds 1 image; at least 2 are needed, one of them to test on")
    return _data(root, arrange(files, test_fraction))


def _existing(path: str) -> Path:
    if not path.strip():
        raise DataError("the path of the folder of images is empty; name a folder")
    try:
        root = Path(path).expanduser()
        if root.is_dir():
            return root
        problem = "is a file, not a folder" if root.exists() else "does not exist"
    except (OSError, RuntimeError) as error:
        problem = f"can't be opened ({error})"
    raise DataError(f"{printable(path)} {problem}; expected a folder of images")


def _listings() -> Path | None:
    """Return the directory where indexes are kept, if there is any."""
    try:
        return cache_directory() / "listings"
    except OSError:
        return None


def _data(root: Path, listing: Listing) -> Data:
    notes, classes = list(listing.notes), listing.classes
    labels: Tensor | None = None
    if len(classes) == 1:
        notes.append(
            f"all images are in {printable(classes[0])}/, so they are used without classes"
        )
        classes = ()
    elif listing.labels is not None:
        labels = torch.from_numpy(listing.labels)

    def split(part: slice, name: str) -> Split:
        rows = listing.rows[part]
        return Split(
            Files(root, listing.index, rows, name),
            None if labels is None else labels[part],
            names=NamesOfRows(listing.index.text, rows),
        )

    return Data(
        train=split(slice(listing.num_train), "train"),
        test=split(slice(listing.num_train, None), "test")
        if listing.num_train < len(listing)
        else None,
        classes=tuple(printable(name) for name in classes),
        notes=tuple(notes),
    )
