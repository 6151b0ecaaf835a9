"""Where the bytes of each encoded image lie: in the files of the data set, or in a copy.

Arrow files hold the values as they are, and Parquet files as well where the column is not
compressed, as the library writes images. Other files are copied once, without what is around the
images: to read one image of a compressed file means to decompress a whole group of rows.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from filelock import FileLock

from sslcore.system.files import replacing
from sslcore_huggingface._tables import arrow_columns, is_parquet, reading

if TYPE_CHECKING:
    import pyarrow as pa

#: Changes when the indices of earlier versions are of no use.
_VERSION = 1
#: A place: which file, where in it, and how many bytes. The files are the table and its copy.
PLACE = np.dtype([("file", "<i4"), ("length", "<i4"), ("offset", "<i8")])
#: `file` of a place in the table itself, and in the copy.
IN_TABLE, IN_COPY = 0, 1
#: `length` of an image that the table names by its path, and has no bytes of.
ELSEWHERE = -1
#: Bytes of a value that are searched for; the rest is compared where they are found.
_PROBE = 32


@dataclass(frozen=True)
class Column:
    """A column of encoded images in one file.

    Attributes:
        table: the file.
        name: the column.
        of_struct: whether the images are the member `bytes` of a struct.
    """

    table: Path
    name: str
    of_struct: bool

    @property
    def member(self) -> str | None:
        """The member of a struct that holds the images."""
        return "bytes" if self.of_struct else None

    @property
    def state(self) -> str:
        """Changes with the content of the file.

        Raises:
            OSError: the file is missing.
        """
        status = self.table.stat()
        known = (_VERSION, status.st_size, status.st_mtime_ns, self.name, self.of_struct)
        return _digest(repr(known))


@dataclass(frozen=True)
class Found:
    """The places of the images of a file.

    Attributes:
        places: of type `PLACE`, (N,).
        copy: the file with the copied images, if they were copied.
    """

    places: np.ndarray
    copy: Path | None


class TooLarge(Exception):
    """A copy would be larger than is allowed; `size` is how large, bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def find(column: Column, cache: Path, most: int) -> Found:
    """Return the places of all images of a file, from the cache if they are known.

    Processes that ask for the same file at once wait for the first of them.

    Args:
        column: the images.
        cache: the folder of indices and copies.
        most: how many bytes may be copied.

    Raises:
        DataError: the table can't be read.
        OSError, RunFolderError: the cache can't be written.
        TooLarge: the images had to be copied, and there are more bytes.
    """
    whose = _digest(f"{column.table.resolve()}\0{column.name}")
    index = cache / f"{whose}-{column.state}.npy"
    copy = index.with_suffix(".bin")
    known = _load(index, copy)
    if known is not None:
        return known
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{whose}.lock"):
        known = _load(index, copy)
        if known is not None:
            return known
        found = located(column)
        if found is None:
            found = _copied(column, copy, most)
        with replacing(index) as temporary, temporary.open("wb") as file:
            np.save(file, found.places, allow_pickle=False)
        for outdated in cache.glob(f"{whose}-*"):
            if outdated not in (index, copy):
                with suppress(OSError):
                    outdated.unlink()
        return found


def _load(index: Path, copy: Path) -> Found | None:
    try:
        places = np.load(index, allow_pickle=False)
        if places.dtype != PLACE or places.ndim != 1:
            return None
        copied = places[places["file"] == IN_COPY]
        if not len(copied):
            return Found(places, None)
        needed = int((copied["offset"] + copied["length"]).max())
        return Found(places, copy) if copy.stat().st_size >= needed else None
    # Missing or damaged: as good as absent.
    except (OSError, ValueError, EOFError):
        return None


def located(column: Column) -> Found | None:
    """Return the places in the table itself; None if the images are not there as they are.

    Raises:
        DataError: the table can't be read.
    """
    with reading(column.table):
        in_parquet = is_parquet(column.table)
    parts = (_in_parquet if in_parquet else _in_arrow)(column)
    found = []
    for part in parts:
        if part is None:
            return None
        found.append(part)
    return Found(np.concatenate(found) if found else np.empty(0, PLACE), None)


def _in_arrow(column: Column) -> Iterator[np.ndarray | None]:
    for part, base, size in arrow_columns(column.table, column.name, column.member):
        values = _Values(part)
        first = values.address - base
        if values.lengths.any() and not 0 <= first < size:
            yield None
            return
        yield values.places(IN_TABLE, first + values.offsets)


def _in_parquet(column: Column) -> Iterator[np.ndarray | None]:
    import pyarrow.parquet as pq

    leaf = f"{column.name}.bytes" if column.of_struct else column.name
    with (
        reading(column.table),
        pq.ParquetFile(column.table) as file,
        column.table.open("rb") as raw,
        mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        for number in range(file.num_row_groups):
            chunk = _chunk(file.metadata.row_group(number), leaf)
            if chunk is None or chunk.compression != "UNCOMPRESSED":
                yield None
                return
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                start = min(start, chunk.dictionary_page_offset)
            values = _Values(_group(file, number, leaf, column.member))
            yield values.searched(content, start, start + chunk.total_compressed_size)


def _chunk(group: pa.parquet.RowGroupMetaData, leaf: str) -> pa.parquet.ColumnChunkMetaData | None:
    chunks = (group.column(place) for place in range(group.num_columns))
    return next((chunk for chunk in chunks if chunk.path_in_schema == leaf), None)


def _group(file: pa.parquet.ParquetFile, number: int, leaf: str, member: str | None) -> pa.Array:
    read = file.read_row_group(number, columns=[leaf]).column(0).combine_chunks()
    return read if member is None else read.flatten()[0]


def groups(column: Column) -> Iterator[pa.Array]:
    """Yield the images of a file as arrays of bytes, a part at a time.

    Raises:
        DataError: the table can't be read.
    """
    import pyarrow.parquet as pq

    with reading(column.table):
        if not is_parquet(column.table):
            parts = arrow_columns(column.table, column.name, column.member)
            yield from (part for part, _, _ in parts)
            return
        leaf = f"{column.name}.bytes" if column.of_struct else column.name
        with pq.ParquetFile(column.table) as file:
            for number in range(file.num_row_groups):
                yield _group(file, number, leaf, column.member)


def group(column: Column, number: int) -> pa.Array:
    """Return one part of the images of a Parquet file.

    Raises:
        DataError: the table can't be read.
    """
    import pyarrow.parquet as pq

    leaf = f"{column.name}.bytes" if column.of_struct else column.name
    with reading(column.table), pq.ParquetFile(column.table) as file:
        return _group(file, number, leaf, column.member)


def group_sizes(column: Column) -> list[int]:
    """Return the number of rows of each part of a Parquet file."""
    import pyarrow.parquet as pq

    with reading(column.table), pq.ParquetFile(column.table) as file:
        return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def _copied(column: Column, copy: Path, most: int) -> Found:
    found, position = [], 0
    with replacing(copy) as temporary, temporary.open("wb") as file:
        for part in groups(column):
            values = _Values(part)
            if position + values.size > most:
                raise TooLarge(position + values.size)
            found.append(values.places(IN_COPY, position + values.offsets - values.first))
            position += values.write(file)
    return Found(np.concatenate(found) if found else np.empty(0, PLACE), copy)


class _Values:
    """The values of an array of bytes: where they begin in its buffer, and how long they are."""

    def __init__(self, array: pa.Array) -> None:
        import pyarrow as pa

        if not (pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type)):
            array = array.cast(pa.large_binary())
        self.null = np.asarray(array.is_null())
        _, offsets, data = array.buffers()
        kind = np.int64 if pa.types.is_large_binary(array.type) else np.int32
        if offsets is None or not len(array):
            bounds = np.zeros(len(array) + 1, np.int64)
        else:
            all_bounds = np.frombuffer(offsets, kind)
            bounds = all_bounds[array.offset : array.offset + len(array) + 1].astype(np.int64)
        self.offsets, self.lengths = bounds[:-1], np.diff(bounds)
        self.first, self.last = int(bounds[0]), int(bounds[-1])
        self._data = data
        self.address = 0 if data is None else data.address

    @property
    def size(self) -> int:
        """Bytes of all values together."""
        return self.last - self.first

    def places(self, file: int, offsets: np.ndarray) -> np.ndarray:
        """Return the places of values at some offsets of a file."""
        places = np.empty(len(self.lengths), PLACE)
        places["file"], places["offset"] = file, offsets
        places["length"] = np.where(self.null, ELSEWHERE, self.lengths)
        return places

    def write(self, file: BinaryIO) -> int:
        """Write all values, one after the other, and return how many bytes they are."""
        if self._data is not None:
            file.write(memoryview(self._data)[self.first : self.last])
        return self.size

    def searched(self, content: mmap.mmap, start: int, stop: int) -> np.ndarray | None:
        """Return the places of the values in a part of a file; None if one is not there.

        Args:
            content: the file.
            start: where the part begins, in which each value stands behind its length.
            stop: where it ends.
        """
        data = memoryview(b"" if self._data is None else self._data)
        found = np.zeros(len(self.lengths), np.int64)
        after = start
        for row, (offset, length) in enumerate(zip(self.offsets, self.lengths, strict=True)):
            if self.null[row]:
                continue
            value = bytes(data[offset : offset + length])
            # Values are in order, except those of a dictionary that stand for several rows.
            place = _search(content, value, after, stop)
            if place is None:
                place = _search(content, value, start, stop)
            if place is None:
                return None
            found[row] = place
            after = max(after, place + len(value))
        return self.places(IN_TABLE, found)


def _search(content: mmap.mmap, value: bytes, start: int, stop: int) -> int | None:
    header = len(value).to_bytes(4, "little")
    probe = header + value[:_PROBE]
    place = content.find(probe, start, stop)
    while place >= 0:
        begin = place + len(header)
        if content[begin : begin + len(value)] == value:
            return begin
        place = content.find(probe, place + 1, stop)
    return None


def _digest(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=8).hexdigest()
