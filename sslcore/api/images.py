"""Images that a user names by path, in the form of those that a run was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Dataset
from sslcore.data import Split
from sslcore.errors import DataError, SslcoreError, UsageError, first_line
from sslcore.registry.registry import Registry
from sslcore.runs.folder import Run
from sslcore.system.files import user_path


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
    shape = Run.open(run).shape()
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
        opened = load_reference(reference)
        yield from opened(names, image_size=shape.image_size, channels=shape.channels)
    except SslcoreError as error:
        raise error if isinstance(error, UsageError) else DataError(str(error)) from error
    except Exception as error:
        raise DataError(f"{entry}: {first_line(error)}") from error


def open_image(run: str | Path, path: str | Path, registry: Registry) -> Split:
    """Return one image as `open_images` does.

    Raises:
        UsageError: as there, or the path is a folder.
    """
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder; name one image")
    (split,) = open_images(run, [path], registry)
    return split
