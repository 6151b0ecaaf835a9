"""Images that a user names by path, in the form of those that a run was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Dataset
from sslcore.data import Split
from sslcore.data.form import UNIT, Form
from sslcore.data.prepare import originals_of
from sslcore.data.unreadable import readable
from sslcore.errors import DataError, LeftOutWarning, SslcoreError, UsageError, first_line
from sslcore.registry.registry import Registry
from sslcore.runs.folder import Run
from sslcore.runs.provenance import form_of
from sslcore.system.files import user_path

#: Images in memory at a time.
_AT_A_TIME = 1024
#: Number of unreadable images to name; the others are only counted.
_NAMED = 3


def open_images(
    run: str | Path, paths: Sequence[str | Path], registry: Registry
) -> Iterator[Split]:
    """Yield the images at paths, in the size and channels of a run, a part at a time.

    Args:
        run: the run's folder.
        paths: image files, and folders of images at any depth.
        registry: where the data set is that opens image files.

    Raises:
        UsageError: an image can't be read, the run was trained on clips, or no installed data set
            opens image files.
    """
    opened = Run.open(run)
    shape = opened.shape()
    if shape.num_frames is not None:
        raise UsageError(f"{run} was trained on {shape}, and these are single images")
    if not paths:
        raise UsageError("no images are given; name image files or folders of images")
    openers = [
        (entry, entry.record.opens_images)
        for entry in registry.entries("dataset")
        if isinstance(entry.record, Dataset) and entry.record.opens_images
    ]
    if not openers:
        raise UsageError("no installed data set opens image files")
    entry, reference = openers[0]
    names = [str(user_path(path, "the path of an image")) for path in paths]
    try:
        split = load_reference(reference)(names)
        yield from _read(split, form_of(opened), frozenset(names))
    except SslcoreError as error:
        raise error if isinstance(error, UsageError) else DataError(str(error)) from error
    except Exception as error:
        raise DataError(f"{entry}: {first_line(error)}") from error


def _read(split: Split, form: Form, named: frozenset[str]) -> Iterator[Split]:
    """Yield the images in a form, a part at a time; only files of folders may be unreadable."""
    originals = originals_of(split, form)
    left_out: list[str] = []
    for start in range(0, len(split), _AT_A_TIME):
        rows = range(start, min(start + _AT_A_TIME, len(split)))
        squares = []
        for row, square in zip(rows, readable(originals, rows), strict=True):
            if square is not None:
                squares.append((row, square))
            elif split.name_of(row) in named:
                # Again, for the reason.
                originals.square(row)
            else:
                left_out.append(split.name_of(row))
        if squares:
            images = torch.stack([square for _, square in squares])
            names = [split.name_of(row) for row, _ in squares]
            yield Split(images, names=names, range=UNIT if form.floats else None)
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        warnings.warn(
            f"{len(left_out)} files can't be read as images and are left out: "
            f"{', '.join(left_out[:_NAMED])}{more}",
            LeftOutWarning,
            stacklevel=2,
        )


def open_image(run: str | Path, path: str | Path, registry: Registry) -> Split:
    """Return one image as `open_images` does.

    Raises:
        UsageError: as there, or the path is a folder.
    """
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder; name one image")
    (split,) = open_images(run, [path], registry)
    return split
