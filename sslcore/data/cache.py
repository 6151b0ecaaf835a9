"""Images in one form, kept as one memory-mapped array in the cache directory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from sslcore.data.decoding import VERSION, codecs
from sslcore.data.form import Form
from sslcore.data.mapping import mapped
from sslcore.data.reader import MappedFile
from sslcore.data.writing import ARRAY, Writing, discard, has_begun, write_json
from sslcore.errors import SourceError

#: Raise it when resizing or the content of an entry changes.
_VERSION = 2
_LOCK = ".lock"
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
            file = self.path / ARRAY
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

    def store(self, squares: Callable[[int], Iterable[np.ndarray | None]], form: Form) -> None:
        """Write the images (C, S, S) of a form, in order; what a stopped process wrote is kept.

        Args:
            squares: yields the images from a row on; None stands for an unreadable one.
            form: their form.

        Raises:
            OSError: the cache can't be written; nothing is left behind.
            SourceError: the images can't be read; the next call goes on.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        with self._partial() as partial:
            if self.path.is_dir():  # another process was faster
                return
            try:
                unreadable = Writing(partial, form).write(squares)
                about = {"unreadable": unreadable, "form": asdict(form)}
                write_json(partial / _INDEX, about)
                discard(partial)
                try:
                    partial.rename(self.path)
                except OSError:
                    if not self.path.is_dir():  # else another process was faster
                        raise
            except SourceError:
                # As after Ctrl-C or a kill, the next start goes on.
                raise
            except Exception:
                # To go on would not help.
                shutil.rmtree(partial, ignore_errors=True)
                raise
        self._remove_outdated()

    @contextmanager
    def _partial(self) -> Iterator[Path]:
        """Yield the directory that becomes the entry, which no other process writes to."""
        shared = self.cache / f"partial-{self.path.name}"
        shared.mkdir(exist_ok=True)
        lock = FileLock(shared / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except (Timeout, NotImplementedError):
            # Another process is writing; or the file system has no locks.
            own = Path(tempfile.mkdtemp(prefix=f"partial-{self.place}-", dir=self.cache))
            try:
                yield own
            finally:
                shutil.rmtree(own, ignore_errors=True)
            return
        try:
            yield shared
        finally:
            if not has_begun(shared):
                shutil.rmtree(shared, ignore_errors=True)
            lock.release()
            (self.path / _LOCK).unlink(missing_ok=True)

    def _remove_outdated(self) -> None:
        """Remove entries of the same source with other content, and abandoned beginnings."""
        for path in self.cache.glob(f"{self.place}-*"):
            if not path.name.startswith(f"{self.place}-{self.content}-"):
                shutil.rmtree(path, ignore_errors=True)
        for path in self.cache.glob("partial-*"):
            try:
                abandoned = time.time() - (path / ARRAY).stat().st_mtime > _ABANDONED
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
            size = (path / ARRAY).stat().st_size
            entries.append((path.stat().st_mtime, size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= limit:
            return
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)
            total -= size


def digest(text: str) -> str:
    """Return a short name for a text, for files of the cache."""
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()
