"""Images in one form, kept as one memory-mapped array in the cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from sslcore.data.decoding import VERSION, codecs
from sslcore.data.form import Form
from sslcore.data.mapping import mapped
from sslcore.data.reader import MappedFile

#: Raise it when resizing or the content of an entry changes.
_VERSION = 2
_ARRAY = "images.npy"
_INDEX = "about.json"
#: Seconds after which an unfinished entry can only be the leavings of a run that was killed.
_ABANDONED = 24 * 3600


@dataclass(frozen=True)
class Stored:
    """An entry of the cache.

    Attributes:
        images: (N, C, S, S), uint8, or float32 in [0, 1]; those that could be read.
        file: the file that they are mapped from.
        unreadable: the rows of the source that are left out.
        form: the form that the images have.
    """

    images: Tensor
    file: MappedFile
    unreadable: list[int]
    form: Form


@dataclass(frozen=True)
class Entry:
    """The images of a source in one state, in one form.

    Attributes:
        cache: the directory of all entries.
        place: identifies the source, such as a folder.
        content: identifies its content.
        settings: identifies what the form is found by.
    """

    cache: Path
    place: str
    content: str
    settings: str

    @classmethod
    def of(cls, cache: Path, place: str, fingerprint: str, settings: object) -> Entry:
        """Return the entry for a source, and the settings that its form is found by."""
        # What can't be read without codecs can be once they are installed.
        how = f"{_VERSION} {VERSION} {codecs()} {settings}"
        return cls(cache, digest(place), digest(fingerprint), digest(how))

    @property
    def path(self) -> Path:
        """The directory that holds it once it is complete."""
        return self.cache / f"{self.place}-{self.content}-{self.settings}"

    def load(self) -> Stored | None:
        """Return what is stored; None if the entry is absent."""
        if not self.path.is_dir():
            return None
        try:
            about = json.loads((self.path / _INDEX).read_text(encoding="utf-8"))
            file = self.path / _ARRAY
            images, mapped_file = mapped(
                lambda mode: np.load(file, mmap_mode=mode, allow_pickle=False)
            )
            form = about["form"]
            if form["range"] is not None:
                form["range"] = tuple(form["range"])
            with suppress(OSError):
                # Tells which entries were used last.
                os.utime(self.path)
            return Stored(images, mapped_file, about["unreadable"], Form(**form))
        except (OSError, ValueError, EOFError, KeyError, TypeError):
            # Damaged, or being removed by another process: as good as absent.
            shutil.rmtree(self.path, ignore_errors=True)
            return None

    def store(self, images: Iterable[np.ndarray | None], form: Form) -> None:
        """Write images (C, S, S) of a form, in order; None stands for an unreadable one.

        Raises:
            OSError: the cache can't be written; nothing is left behind.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"partial-{self.place}-", dir=self.cache))
        try:
            unreadable = _write_array(partial / _ARRAY, images, form)
            with (partial / _INDEX).open("w", encoding="utf-8") as file:
                json.dump({"unreadable": unreadable, "form": asdict(form)}, file)
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
        """Remove entries of the same source with other content, and abandoned beginnings."""
        for path in self.cache.glob(f"{self.place}-*"):
            if not path.name.startswith(f"{self.place}-{self.content}-"):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.cache.glob("partial-*"):
            try:
                abandoned = time.time() - (path / _ARRAY).stat().st_mtime > _ABANDONED
            except OSError:
                continue
            if abandoned:
                shutil.rmtree(path, ignore_errors=True)


def keep_below(cache: Path, limit: int, kept: Iterable[Path]) -> None:
    """Remove the entries that were used longest ago, until the rest takes at most `limit` bytes.

    Args:
        cache: the directory of all entries.
        limit: bytes.
        kept: entries that stay in any case.
    """
    entries = []
    for path in cache.glob("*"):
        with suppress(OSError):
            size = (path / _ARRAY).stat().st_size
            entries.append((path.stat().st_mtime, size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
            total -= size


def _write_array(path: Path, images: Iterable[np.ndarray | None], form: Form) -> list[int]:
    """Write a .npy file of the readable images; return the rows of the others."""
    shape = (form.channels, form.image_size, form.image_size)
    count, unreadable = 0, []
    # Not through a memory map, where a full disk ends the process instead of raising an error.
    with path.open("wb") as file:
        _write_header(file, (count, *shape), form)
        for row, image in enumerate(images):
            if image is None:
                unreadable.append(row)
            else:
                file.write(np.ascontiguousarray(image).data)
                count += 1
        file.seek(0)
        # numpy leaves room in a header for the first axis to grow.
        _write_header(file, (count, *shape), form)
        file.flush()
        os.fsync(file.fileno())
    return unreadable


def _write_header(file: BinaryIO, shape: tuple[int, ...], form: Form) -> None:
    header = {"descr": "<f4" if form.floats else "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def digest(text: str) -> str:
    """Return a short name for a text, for files of the cache."""
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()
