"""The members of a tar archive and where their bytes lie, by its headers alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

_BLOCK = 512
_NOTHING = bytes(_BLOCK)
#: The size of an archive of nothing: tar fills up to 20 blocks.
_LARGEST_EMPTY = 20 * _BLOCK
#: Types of members: files; files that lie elsewhere or in parts; names and sizes of the next one.
_FILES, _LINKS, _SPARSE = b"0\x007", b"12", b"S"
_LONG_NAME, _EXTENDED = b"L", b"xX"
#: The longest content of a header that describes the next member.
_LONGEST = 2**20
#: Starts of compressed files.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class Member(NamedTuple):
    """A member of an archive.

    Attributes:
        name: with its folders.
        start: where its content begins.
        size: of the content, bytes.
        whole: whether the content lies there; that of links and sparse files does not.
    """

    name: bytes
    start: int
    size: int
    whole: bool


class BadArchiveError(Exception):
    """The archive can't be read from a place on; the message says what is there."""


class CutOffError(BadArchiveError):
    """The archive ends too early; what comes before is whole.

    Attributes:
        name: of the member that is cut off; empty if the archive ends between two.
    """

    def __init__(self, message: str, name: bytes = b"") -> None:
        super().__init__(message)
        self.name = name


class Window:
    """A part of an archive in memory, which moves forward.

    Args:
        read: returns the bytes from a place, and how many.
        size: of the archive, bytes.
        block: bytes to read at once.
        stride: bytes between two headers, on average, from which on only headers are read.
    """

    #: Bytes read where only headers are: room for a small member and the header after it.
    _FEW = 4096

    def __init__(
        self, read: Callable[[int, int], bytes], size: int, block: int, stride: int
    ) -> None:
        self.read, self.size, self.block, self.stride = read, size, block, stride
        self._data, self._start, self._count = b"", 0, 0

    def at(self, place: int, length: int) -> bytes:
        """Return the bytes at a place."""
        self._count += 1
        begin = place - self._start
        if begin < 0 or begin + length > len(self._data):
            few = place > self._count * self.stride
            wanted = max(length, self._FEW if few else self.block)
            self._data = self.read(place, min(wanted, self.size - place))
            self._start, begin = place, 0
        return self._data[begin : begin + length]


def members(window: Window) -> Iterator[Member]:
    """Yield the members of an archive in order, without folders and devices.

    Raises:
        BadArchiveError: it is no archive, or damaged; members before the damage came already.
    """
    place, ended, empty = 0, False, True
    name, size = b"", -1
    sparse = False
    while place + _BLOCK <= window.size:
        header = window.at(place, _BLOCK)
        if header == _NOTHING:
            ended = True
            place += _BLOCK
            continue
        if not _is_header(header):
            if ended:
                raise BadArchiveError(f"zeros are written over a part of it before byte {place}")
            raise BadArchiveError(_problem(header, place))
        ended = empty = False
        start, kind = place + _BLOCK, header[156:157]
        length = _number(header[124:136])
        if kind in _LINKS:
            length = 0
        elif size >= 0 and kind not in _LONG_NAME + _EXTENDED:
            length = size
        if start + length > window.size:
            raise CutOffError(f"it is cut off after {window.size} bytes", name or _name(header))
        place = start + (length + _BLOCK - 1) // _BLOCK * _BLOCK
        if kind in _LONG_NAME + _EXTENDED:
            if length > _LONGEST:
                raise BadArchiveError(f"a name at byte {start} has {length} bytes")
            content = window.at(start, length)
            if kind in _LONG_NAME:
                name = content.rstrip(b"\0")
            else:
                records = _records(content, start)
                name = records.get(b"GNU.sparse.name", records.get(b"path", name))
                size = _decimal(records[b"size"], start) if b"size" in records else -1
                sparse = any(key.startswith(b"GNU.sparse") for key in records)
            continue
        if kind in _FILES or kind in _LINKS or kind in _SPARSE:
            whole = kind in _FILES and not sparse
            # An old way to write a folder.
            found = name or _name(header)
            if not found.endswith(b"/"):
                yield Member(found, start, length, whole)
        if kind in _SPARSE and header[482]:
            place += _sparse_headers(window, start)
        if kind != b"K":
            name, size, sparse = b"", -1, False
    if 0 < window.size < _BLOCK:
        raise BadArchiveError(_problem(window.at(0, window.size), 0))
    if empty and window.size > _LARGEST_EMPTY:
        raise BadArchiveError(f"it is {window.size} bytes of zeros")
    if not ended and place < window.size:
        raise CutOffError(f"it is cut off after {window.size} bytes", name)
    if not ended:
        raise CutOffError(f"it ends after {window.size} bytes without the mark of an end")


def _is_header(header: bytes) -> bool:
    try:
        stated = _number(header[148:156])
    except BadArchiveError:
        return False
    # The field of the sum counts as spaces.
    return sum(header) - sum(header[148:156]) + 8 * 32 == stated


def _problem(header: bytes, place: int) -> str:
    if place == 0:
        if header.startswith(_COMPRESSED):
            return "it is compressed"
        return "it is no tar archive"
    return f"there is no header at byte {place}"


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or binary where it is too large for these.

    Raises:
        BadArchiveError: it is neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise BadArchiveError("a header states no number")
    return int(digits or b"0", 8)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    # In archives of GNU, other things are where the rest of a long name would be.
    if header[257:263] == b"ustar\0" and header[345]:
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _records(content: bytes, start: int) -> dict[bytes, bytes]:
    """Return the records of an extended header: `length key=value`, each with a line break."""
    records: dict[bytes, bytes] = {}
    while content.strip(b"\0"):
        digits = content.partition(b" ")[0]
        length = _decimal(digits, start)
        key, equals, value = content[len(digits) + 1 : length - 1].partition(b"=")
        if length <= len(digits) or not equals:
            raise BadArchiveError(f"the extended header at byte {start} is damaged")
        records[key] = value
        content = content[length:]
    return records


def _decimal(digits: bytes, start: int) -> int:
    if not digits.isdigit():
        raise BadArchiveError(f"the extended header at byte {start} is damaged")
    return int(digits)


def _sparse_headers(window: Window, start: int) -> int:
    """Return the size of the headers that continue the one of a sparse file, bytes."""
    place = start
    while place + _BLOCK <= window.size:
        more = window.at(place, _BLOCK)[504]
        place += _BLOCK
        if not more:
            break
    return place - start
