"""Decoded images of a folder, kept as one memory-mapped array in the cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from torch import Tensor

from sslcore.data import MappedFile
from sslcore_torchvision._mapped import mapped

if TYPE_CHECKING:
    from sslcore_torchvision._listing import ImageFile

_ARRAY = "images.npy"
_INDEX = "unreadable.json"
#: Seconds after which an unfinished entry can only be the leavings of a run that was killed.
_ABANDONED = 24 * 3600


@dataclass(frozen=True)
class Entry:
    """The decoded images of one folder in one state, in one format.

    Attributes:
        cache: the directory of all entries.
        folder: identifies the folder.
        content: identifies its files and their states.
        settings: identifies how, and in which order, they are decoded.
    """

    cache: Path
    folder: str
    content: str
    settings: str

    @classmethod
    def of(
        cls, cache: Path, root: Path, files: Sequence[ImageFile], settings: tuple[object, ...]
    ) -> Entry:
        """Return the entry of these files below `root`, decoded in this order."""
        order = "\n".join(file.path for file in files)
        states = "\n".join(f"{file.path}\0{file.state}" for file in sorted(files))
        return cls(
            cache=cache,
            folder=_digest(str(root.resolve())),
            content=_digest(states),
            settings=_digest(f"{settings}\n{order}"),
        )

    @property
    def path(self) -> Path:
        """The directory that holds it once it is complete."""
        return self.cache / f"{self.folder}-{self.content}-{self.settings}"

    def load(self) -> tuple[Tensor, MappedFile, list[int]] | None:
        """Return the images (N, C, S, S), their file and the rows of unreadable files.

        None if the entry is absent.
        """
        if not self.path.is_dir():
            return None
        try:
            unreadable = json.loads((self.path / _INDEX).read_text(encoding="utf-8"))
            file = self.path / _ARRAY
            images, mapped_file = mapped(
                lambda mode: np.load(file, mmap_mode=mode, allow_pickle=False)
            )
            return images, mapped_file, unreadable
        except (OSError, ValueError, EOFError):
            # Damaged, or being removed by another process: as good as absent.
            shutil.rmtree(self.path, ignore_errors=True)
            return None

    def store(self, images: Iterable[np.ndarray | None], shape: tuple[int, int, int]) -> None:
        """Write images of this shape (C, S, S), in order; None stands for an unreadable file.

        Raises:
            OSError: the cache can't be written; nothing is left behind.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"partial-{self.folder}-", dir=self.cache))
        try:
            unreadable = _write_array(partial / _ARRAY, images, shape)
            with (partial / _INDEX).open("w", encoding="utf-8") as file:
                json.dump(unreadable, file)
                file.flush()
                os.fsync(file.fileno())
            try:
                partial.rename(self.path)
            except OSError:
                if not self.path.is_dir():  # else another process was faster
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        """Remove entries of the same folder with other content, and abandoned beginnings."""
        for path in self.cache.glob(f"{self.folder}-*"):
            if not path.name.startswith(f"{self.folder}-{self.content}-"):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.cache.glob("partial-*"):
            try:
                abandoned = time.time() - (path / _ARRAY).stat().st_mtime > _ABANDONED
            except OSError:
                continue
            if abandoned:
                shutil.rmtree(path, ignore_errors=True)


def _write_array(
    path: Path, images: Iterable[np.ndarray | None], shape: tuple[int, int, int]
) -> list[int]:
    """Write a .npy file of the readable images; return the rows of the others."""
    count, unreadable = 0, []
    # Not through a memory map, where a full disk ends the process instead of raising an error.
    with path.open("wb") as file:
        _write_header(file, (count, *shape))
        for row, image in enumerate(images):
            if image is None:
                unreadable.append(row)
            else:
                file.write(np.ascontiguousarray(image).data)
                count += 1
        file.seek(0)
        # numpy leaves room in a header for the first axis to grow.
        _write_header(file, (count, *shape))
        file.flush()
        os.fsync(file.fileno())
    return unreadable


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _digest(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()
