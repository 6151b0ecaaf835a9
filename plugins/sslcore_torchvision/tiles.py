"""Tiles in a `.npy` file, mapped into memory: images of any number of channels and any type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Lt
from torch import Tensor

from sslcore.data import Data, Split
from sslcore.data.arrays import IN_MEMORY, array_split
from sslcore.data.chosen import with_test_part
from sslcore.data.labels import UNKNOWN
from sslcore.errors import DataError, first_line

#: Settings that look for a file beside the tiles, and that take none.
_AUTO, _NONE = "auto", "none"
#: The ending of the files.
_ENDING = ".npy"


def tiles(
    *,
    path: str,
    labels: str = "auto",
    test: str = "none",
    test_labels: str = "auto",
    test_fraction: Annotated[float, Ge(0), Lt(1)] | None = None,
) -> Data:
    """Return the images of a `.npy` file, which are read from the file when they are needed.

    The file holds (N, H, W), (N, H, W, C) or (N, C, H, W), integers or floats.

    Args:
        path: the file.
        labels: a `.npy` file of integers, (N,), beside the tiles or by its path; auto takes
            `NAME_labels.npy` or `labels.npy` beside `NAME.npy`, where it is; none takes no labels.
        test: a file of tiles to test on; none holds out a part of the tiles.
        test_labels: labels of the tiles to test on, as `labels`.
        test_fraction: fraction of each class to hold out, in [0, 1); none holds out a fifth of
            tiles with labels, and nothing of others.

    Raises:
        DataError: a file is missing, holds no images or no labels, or is in Fortran order and too
            large to be copied.
    """
    if not path.strip():
        raise DataError("data.path is empty; name a .npy file of images")
    file = Path(path).expanduser()
    train, notes = _split(file, labels, "labels")
    if test == _NONE:
        kept, scored = with_test_part(train, test_fraction)
        return Data(kept, scored, classes=_classes(train), notes=notes)
    tested, more = _split(file.parent / Path(test).expanduser(), test_labels, "test_labels")
    if (train.labels is None) != (tested.labels is None):
        raise DataError(
            f"one of {file.name} and {test} has labels, and the other one has none; give "
            "data.labels and data.test_labels, or none for both"
        )
    return Data(train, tested, classes=_classes(train, tested), notes=(*notes, *more))


def _split(file: Path, labels: str, setting: str) -> tuple[Split, tuple[str, ...]]:
    array = _mapped(file)
    notes: tuple[str, ...] = ()
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        if array.nbytes > IN_MEMORY:
            raise DataError(
                f"{file} is in Fortran order, so that each image is spread over the whole file; "
                "write it anew with np.save(file, np.ascontiguousarray(array))"
            )
        array = np.ascontiguousarray(array)
        notes = (f"{file.name} is in Fortran order, so its images are copied into memory",)
    try:
        split = array_split(array)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    beside = _labels_file(file, labels, setting)
    if beside is None:
        return split, notes
    numbers = _labels(beside)
    if len(numbers) != len(split):
        raise DataError(
            f"{beside} has {len(numbers)} labels, and {file.name} has {len(split)} images; "
            f"data.{setting}=none takes no labels"
        )
    return Split(split.images, numbers, split.file), notes


def _mapped(file: Path) -> np.ndarray:
    try:
        if file.is_dir() or not file.exists():
            problem = "is a folder" if file.is_dir() else "does not exist"
            raise DataError(f"{file} {problem}; expected a .npy file of images")
        with file.open("rb") as content:
            np.lib.format.read_magic(content)
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if "Python objects" in str(error) or "Object arrays" in str(error):
            reason = (
                "it holds pickled Python objects, which are not loaded; save an array of numbers"
            )
        elif "magic" in str(error):
            reason = "it is no .npy file"
        elif "mmap length" in str(error):
            reason = "it is shorter than its header says; it was cut off"
        elif "empty file" in str(error) or not str(error):
            reason = "it holds no images"
        else:
            reason = first_line(error)
        raise DataError(f"{file} can't be read: {reason}") from error
    if not len(array.shape) or not array.shape[0]:
        raise DataError(f"{file} holds no images: its shape is {array.shape}")
    return array


def _labels_file(file: Path, labels: str, setting: str) -> Path | None:
    if labels == _NONE:
        return None
    if labels != _AUTO:
        return file.parent / Path(labels).expanduser()
    names = [f"{file.stem}_labels{_ENDING}", f"{file.stem}-labels{_ENDING}"]
    if setting == "labels":
        names.append(f"labels{_ENDING}")
    beside = (file.with_name(name) for name in names)
    return next((path for path in beside if path.is_file() and path != file), None)


def _labels(file: Path) -> Tensor:
    numbers = _mapped(file)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise DataError(
            f"{file} holds {numbers.dtype} of shape {numbers.shape}, expected integers (N,): the "
            "number of each image's class"
        )
    found = torch.from_numpy(numbers.astype(np.int64))
    if int(found.min()) < UNKNOWN:
        row = int(found.argmin())
        raise DataError(
            f"{file}: the label of image {row} is {int(found[row])}; classes count from 0, and -1 "
            "is an unknown class"
        )
    return found


def _classes(*splits: Split) -> tuple[str, ...]:
    labels = [split.labels for split in splits if split.labels is not None]
    return tuple(map(str, range(1 + max(int(own.max()) for own in labels)))) if labels else ()


def example(folder: Path) -> Path:
    """Write a few tiles of two classes, with labels, into a folder; return their path."""
    values = np.random.default_rng(0).integers(0, 4096, (16, 5, 20, 20))
    np.save(folder / "labels.npy", np.arange(16) % 2)
    np.save(folder / "tiles.npy", values.astype(np.uint16))
    return folder / "tiles.npy"
