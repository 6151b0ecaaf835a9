"""Image files and folders that a user names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sslcore.data import Split
from sslcore.errors import DataError
from sslcore_torchvision._file_index import printable
from sslcore_torchvision._scan import EXTENSIONS, image_files


class NamedFiles:
    """Image files by their paths."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, row: int) -> bytes:
        """Return the content of a file."""
        return self.paths[row].read_bytes()


def image_files_at(paths: Sequence[str]) -> Split:
    """Return all images at the paths, named by their paths.

    Args:
        paths: image files, and folders, in which images at any depth are taken, sorted by path.

    Raises:
        DataError: a path does not exist, or a folder holds no images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            below = [path / os.fsdecode(file) for file in image_files(path).paths()]
            if not below:
                raise DataError(
                    f"{printable(str(path))} holds no images at any depth; expected files ending "
                    f"in {' '.join(EXTENSIONS)}"
                )
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"there is no image {printable(str(path))}")
    return Split(NamedFiles(found), names=[printable(str(path)) for path in found])
