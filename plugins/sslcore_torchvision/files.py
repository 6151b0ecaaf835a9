"""Image files and folders that a user names, decoded as the images of a `folder` are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from sslcore.data import Split
from sslcore.errors import DataError, LeftOutWarning
from sslcore_torchvision._decoding import Format, decode
from sslcore_torchvision._listing import EXTENSIONS, image_files, printable

#: Images that are in memory at a time.
_AT_A_TIME = 1024


def image_files_at(paths: Sequence[str], *, image_size: int, channels: int) -> Iterator[Split]:
    """Yield all images at the paths, a part at a time, named by their paths.

    Args:
        paths: image files, and folders, in which images at any depth are taken, sorted by path.
        image_size: side S, px: the short side is scaled to S and the centre is cropped.
        channels: 1 for grey, 3 for colour.

    Raises:
        DataError: a path does not exist, a folder holds no images, or an image that was named
            can't be read. Files in folders that can't be read are left out, with a
            `LeftOutWarning`.
    """
    found: list[Path] = []
    named = set()
    for path in map(Path, paths):
        if path.is_dir():
            below = [path.joinpath(*file.parts) for file in image_files(path)]
            if not below:
                raise DataError(
                    f"{printable(str(path))} holds no images at any depth; expected files ending "
                    f"in {' '.join(EXTENSIONS)}"
                )
            found += below
        elif path.exists():
            found.append(path)
            named.add(path)
        else:
            raise DataError(f"there is no image {printable(str(path))}")
    for start in range(0, len(found), _AT_A_TIME):
        part = found[start : start + _AT_A_TIME]
        split = _decoded(part, named, Format(image_size, channels))
        if split is not None:
            yield split


def _decoded(paths: Sequence[Path], named: set[Path], form: Format) -> Split | None:
    readable, names, left_out = [], [], []
    for path, pixels in zip(paths, decode(paths, form), strict=True):
        name = printable(str(path))
        if pixels is not None:
            readable.append(pixels)
            names.append(name)
        elif path in named:
            raise DataError(f"{name} can't be read as an image")
        else:
            left_out.append(name)
    if left_out:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        warnings.warn(
            f"{len(left_out)} files can't be read as images and are left out: "
            f"{', '.join(left_out[:3])}{more}",
            LeftOutWarning,
            stacklevel=2,
        )
    return Split(torch.from_numpy(np.stack(readable)), names=names) if readable else None
