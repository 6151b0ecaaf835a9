"""Getting a published data set's files, or saying in one sentence how to get them otherwise."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import socket
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
from torchvision.datasets.utils import download_and_extract_archive

from sslcore.errors import DataError
from sslcore.system.cache import cache_directory

#: Seconds that a server may stay silent.
_PATIENCE = 20.0

#: What a download, an extraction or a wrong checksum may raise.
_FAILURES = (
    OSError,
    RuntimeError,
    EOFError,
    http.client.HTTPException,
    tarfile.TarError,
    zlib.error,
)


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Make connections opened inside give up on a server that stays silent.

    torchvision and torch.hub offer no timeout and wait for ever without one.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def named_by_hash(file: Path) -> bool:
    """Whether a file has the SHA-256 whose beginning is in its name, as in `name-f37072fd.pth`.

    torch.hub compares them after a download only, and not where the file is there already.

    Raises:
        OSError: it can't be read.
    """
    named = re.search(r"-([0-9a-f]{8,})\.", file.name)
    if named is None:
        return True
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest().startswith(named[1])


@dataclass(frozen=True)
class Published:
    """Files that a data set's authors publish.

    Attributes:
        name: the data set's name, for messages.
        folder: the folder that holds the files, below the root.
        files: their names in it.
        url: where they come from.
        fetch: puts `folder` with its files below its second argument; the first is the root,
            which may hold the archive already.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    url: str
    fetch: Callable[[Path, Path], None]

    def locate(self, root: str | None, *, download: bool) -> Path:
        """Return the folder with the files, after a download if they are missing.

        Args:
            root: the folder that contains `folder`; None is the cache directory.
            download: whether to fetch files that are missing.

        Raises:
            DataError: they are missing and can't be fetched.
        """
        try:
            base = Path(root).expanduser() if root else cache_directory() / "datasets"
            if self._complete(base):
                return base / self.folder
        except (OSError, RuntimeError) as error:
            raise DataError(f"{self.name}: {error}") from error
        if not download:
            raise DataError(f"{self._missing(base)}, and download is off; {self._advice(base)}")
        try:
            base.mkdir(parents=True, exist_ok=True)
            # Download next to the target, then rename: an interrupted or concurrent run never
            # leaves a partial file there.
            with tempfile.TemporaryDirectory(prefix=".download-", dir=base) as scratch:
                with impatient():
                    self.fetch(base, Path(scratch))
                self._install(Path(scratch), base)
        except _FAILURES as error:
            raise DataError(
                f"{self._missing(base)}, and fetching it from {self.url} failed "
                f"({_reason(error)}); {self._advice(base)}"
            ) from error
        return base / self.folder

    def _complete(self, base: Path) -> bool:
        return all((base / self.folder / file).is_file() for file in self.files)

    def _install(self, scratch: Path, base: Path) -> None:
        if not self._complete(scratch):
            raise FileNotFoundError("the archive lacks files that it should hold")
        (base / self.folder).mkdir(parents=True, exist_ok=True)
        for file in self.files:
            (scratch / self.folder / file).replace(base / self.folder / file)

    def _missing(self, base: Path) -> str:
        return f"{self.name} is not in {base / self.folder}"

    def _advice(self, base: Path) -> str:
        return (
            f"put a copy of that folder in {base}, name the place of another with "
            "--set data.root=DIR, or open a folder of images with --data PATH"
        )


def archive(url: str, md5: str) -> Callable[[Path, Path], None]:
    """Return a `fetch` for one archive, which is used as it is if the root already holds it."""

    def fetch(base: Path, scratch: Path) -> None:
        here = base / Path(url).name
        download_and_extract_archive(
            url, str(base if here.is_file() else scratch), extract_root=str(scratch), md5=md5
        )

    return fetch


def read(file: Path, *, row_bytes: int, offset: int = 0) -> np.ndarray:
    """Return a file of equal rows, without its first `offset` bytes, as uint8 (N, row_bytes).

    Raises:
        DataError: it can't be read, or does not consist of whole rows.
    """
    try:
        content = np.fromfile(file, dtype=np.uint8, offset=offset)
    except OSError as error:
        raise DataError(f"{file} can't be read ({_reason(error)})") from error
    require_rows(file, len(content), row_bytes)
    return content.reshape(-1, row_bytes)


def require_rows(file: Path, size: int, row_bytes: int) -> None:
    """Raise `DataError` unless `size` bytes are one or more whole rows."""
    if size <= 0 or size % row_bytes:
        raise DataError(
            f"{file} is damaged: {size} bytes of images or labels, expected a multiple of "
            f"{row_bytes}; delete it to fetch it again"
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, URLError) and not isinstance(error, HTTPError):
        error = error.reason if isinstance(error.reason, BaseException) else error
    return " ".join(str(error).split()) or type(error).__name__
