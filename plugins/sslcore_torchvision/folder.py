"""A folder of images as a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from sslcore.data import Data, MappedFile, Split
from sslcore.errors import DataError
from sslcore_torchvision._cache import cache_directory
from sslcore_torchvision._decoding import VERSION, Format, common_format, decode, survey
from sslcore_torchvision._image_cache import Entry
from sslcore_torchvision._listing import EXTENSIONS, Listing, arrange, image_files, printable

#: Number of unreadable files to name; the others are only counted.
_NAMED = 3


def folder(
    *,
    path: str,
    image_size: Annotated[int, Ge(1)] | None = None,
    channels: Literal["auto", 1, 3] = "auto",
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2,
) -> Data:
    """Return the images of a folder, of any sizes and modes, as uint8 (N, channels, S, S).

    With `train` and `test` (or `val`) in the folder, these are the splits; otherwise a part of
    the images is held out by a hash of their paths, the same at every call. The folders on a
    split's first level are the classes, unless images lie directly in it. Hidden files are
    skipped; files that can't be read are left out and named in `Data.notes`.

    Decoded images are cached in `$SSLCORE_CACHE`, else `$XDG_CACHE_HOME/sslcore`, else
    `~/.cache/sslcore`; nothing is written to the folder.

    Args:
        path: the folder.
        image_size: side S, px: the short side is scaled to S and the centre is cropped; none keeps
            the size of equal squares of up to 256 px, and otherwise takes the median short side, at
            most 96.
        channels: 1 for grey, 3 for colour; auto is 1 if all images are grey.
        test_fraction: fraction of each class to hold out if there is no test folder, in (0, 1).

    Raises:
        DataError: the folder is missing or holds too few readable images, or its test classes
            are not those of training.
    """
    root = _existing(path)
    files = image_files(root)
    if not files:
        raise DataError(
            f"{root} holds no images at any depth; expected files ending in {' '.join(EXTENSIONS)}"
        )
    if len(files) == 1:
        raise DataError(f"{root} holds 1 image; at least 2 are needed, one of them to test on")
    listing = arrange(files, test_fraction)
    images, file, unreadable, remark = _images(root, listing, image_size, channels)
    return _data(root, listing, images, file, frozenset(unreadable), remark)


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


def _images(
    root: Path, listing: Listing, image_size: int | None, channels: Literal["auto", 1, 3]
) -> tuple[Tensor, MappedFile | None, list[int], tuple[str, ...]]:
    """Return the readable images, their file, the rows of unreadable files, and notes."""
    paths = [root.joinpath(*file.parts) for file in listing.files]
    try:
        cache = cache_directory() / "folders"
        settings = (VERSION, image_size, channels, listing.num_train)
        entry = Entry.of(cache, root, listing.files, settings)
        stored = entry.load()
        if stored is None:
            form = _format(root, paths, image_size, channels)
            size = form.image_size
            entry.store(_enough(root, decode(paths, form)), (form.channels, size, size))
            stored = entry.load()
        if stored is not None:
            return *stored, ()
        problem = f"{entry.path} was removed"
    except OSError as error:
        problem = str(error)
    form = _format(root, paths, image_size, channels)
    decoded = list(_enough(root, decode(paths, form)))
    readable = np.stack([image for image in decoded if image is not None])
    unreadable = [row for row, image in enumerate(decoded) if image is None]
    remark = (
        f"Decoded images are kept in memory because they can't be cached ({problem}); "
        "set SSLCORE_CACHE to a folder with room."
    )
    return torch.from_numpy(readable), None, unreadable, (remark,)


def _format(
    root: Path, paths: list[Path], image_size: int | None, channels: Literal["auto", 1, 3]
) -> Format:
    if image_size is not None and channels != "auto":
        return Format(image_size, channels)
    headers = survey(paths)
    if not headers:
        raise _unreadable(root, 0, len(paths))
    form = common_format(headers)
    return Format(image_size or form.image_size, form.channels if channels == "auto" else channels)


def _enough(root: Path, images: Iterable[np.ndarray | None]) -> Iterable[np.ndarray | None]:
    """Pass images on; raise `DataError` at the end if there were fewer than two."""
    readable = total = 0
    for image in images:
        total += 1
        readable += image is not None
        yield image
    if readable < 2:
        raise _unreadable(root, readable, total)


def _unreadable(root: Path, readable: int, total: int) -> DataError:
    return DataError(
        f"{readable} of {total} image files in {root} can be read; at least 2 are needed"
    )


def _data(
    root: Path,
    listing: Listing,
    images: Tensor,
    file: MappedFile | None,
    unreadable: frozenset[int],
    remark: tuple[str, ...],
) -> Data:
    readable = [row for row in range(len(listing.files)) if row not in unreadable]
    num_train = sum(row < listing.num_train for row in readable)
    if listing.held_out:
        # Possibly no image of the held-out part can be read.
        num_train = min(max(num_train, 1), len(readable) - 1)
    elif num_train in (0, len(readable)):
        split = "test" if num_train else "train"
        raise DataError(f"none of the {split} images in {root} can be read; replace them")
    notes = [*listing.notes, *remark]
    if unreadable:
        notes.append(_unreadable_note(listing, unreadable))
    labels = None
    names = [listing.classes[row] for row in readable] if listing.classes else []
    classes = tuple(sorted(set(names)))
    if len(classes) == 1:
        notes.append(
            f"All images are in {printable(classes[0])}/, so they are used without classes."
        )
        classes = ()
    if classes:
        number = {name: label for label, name in enumerate(classes)}
        labels = torch.tensor([number[name] for name in names])
    paths = [printable(listing.files[row].path) for row in readable]

    def part(rows: slice) -> Split:
        return Split(images[rows], None if labels is None else labels[rows], file, paths[rows])

    return Data(
        train=part(slice(num_train)),
        test=part(slice(num_train, None)),
        classes=tuple(printable(name) for name in classes),
        notes=tuple(notes),
    )


def _unreadable_note(listing: Listing, unreadable: frozenset[int]) -> str:
    rows = sorted(unreadable, key=lambda row: listing.files[row].path)
    names = ", ".join(printable(listing.files[row].path) for row in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return (
        f"{len(rows)} of {len(listing.files)} image files can't be read and are left out: "
        f"{names}{more}."
    )
