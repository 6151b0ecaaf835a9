"""A folder of images as a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Ge, Lt

from sslcore.data import Data, Split
from sslcore.errors import DataError
from sslcore_torchvision._listing import (
    EXTENSIONS,
    ImageFile,
    Listing,
    arrange,
    image_files,
    printable,
)


class Files:
    """Image files below a folder, read when they are asked for.

    Args:
        root: the folder.
        files: the files, in the order of their rows.
        part: names this part of the folder.
    """

    def __init__(self, root: Path, files: Sequence[ImageFile], part: str) -> None:
        self.root, self.files = root, files
        self.place = f"{root.resolve()} {part}"
        states = "\n".join(f"{file.path}\0{file.state}" for file in files)
        self.fingerprint = hashlib.blake2b(os.fsencode(states), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, row: int) -> bytes:
        """Return the content of a file."""
        return self.root.joinpath(*self.files[row].parts).read_bytes()


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
    files = image_files(root)
    if not files:
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


def _data(root: Path, listing: Listing) -> Data:
    notes = list(listing.notes)
    labels = None
    classes = tuple(sorted(set(listing.classes or ())))
    if len(classes) == 1:
        notes.append(
            f"All images are in {printable(classes[0])}/, so they are used without classes."
        )
        classes = ()
    if classes and listing.classes:
        number = {name: label for label, name in enumerate(classes)}
        labels = torch.tensor([number[name] for name in listing.classes])

    def split(rows: slice, name: str) -> Split:
        files = listing.files[rows]
        return Split(
            Files(root, files, name),
            None if labels is None else labels[rows],
            names=[printable(file.path) for file in files],
        )

    return Data(
        train=split(slice(listing.num_train), "train"),
        test=split(slice(listing.num_train, None), "test")
        if listing.num_train < len(listing.files)
        else None,
        classes=tuple(printable(name) for name in classes),
        notes=tuple(notes),
    )
