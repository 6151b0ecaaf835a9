"""The columns of a table file: CSV, TSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from sslcore.errors import DataError, SourceError, first_line, nearest
from sslcore.system.addresses import is_address, open_address
from sslcore.system.printable import one_line

#: What may separate the cells of a .csv file; the one that its first line has most of does.
_DELIMITERS = ",;\t"
#: Rows of text that are in memory at a time.
_AT_A_TIME = 4096


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Attributes:
        path: the path or the address of its file.
        names: the names of its columns, in order.
        size: number of rows N.
        read: returns the N values of a column, by its place.
        place_of: returns where a row is, for messages: `"line 7"`.
    """

    path: str
    names: tuple[str, ...]
    size: int
    read: Callable[[int], Sequence[object]]
    place_of: Callable[[int], str]

    def column(self, name: str, setting: str) -> Sequence[object]:
        """Return the values of a column.

        Args:
            name: of the column.
            setting: what named it, for messages.

        Raises:
            DataError: the table has no such column, or two.
        """
        count = self.names.count(name)
        if count == 1:
            return self.read(self.names.index(name))
        if count:
            raise DataError(
                f"{self.path} has {count} columns called {name!r}; give each a name of its own"
            )
        shown = ", ".join(map(one_line, self.names[:20]))
        raise DataError(
            f"{setting}: {self.path} has no column {one_line(name)!r}"
            f"{nearest(name, self.names)}; its columns are {shown}"
        )

    def first_of(self, names: Sequence[str]) -> str | None:
        """Return the first column that has one of these names, in any case; None if none has."""
        return next((name for name in self.names if name.strip().casefold() in names), None)


def read_table(path: str) -> Table:
    """Return the table in a file, by the ending of its name.

    Raises:
        DataError: the file is missing, can't be read, is damaged, or has no rows.
    """
    kinds = ", ".join(_READERS)
    if not is_address(path):
        problem = "" if os.path.isfile(path) else "does not exist"
        problem = "is a folder" if os.path.isdir(path) else problem
        if problem:
            raise DataError(f"{path} {problem}; expected a table: a {kinds} file")
    reader = _READERS.get(os.path.splitext(path)[1].lower())
    if reader is None:
        raise DataError(f"{path} is no table; expected a {kinds} file")
    try:
        table = reader(path)
    except SourceError:
        raise
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or first_line(error)}") from error
    except UnicodeError as error:
        raise DataError(f"{path} is not UTF-8 text; save it with that encoding") from error
    if table.size == 0:
        raise DataError(f"{path} has no rows; expected a row for each image")
    return table


def _open_binary(path: str) -> IO[bytes]:
    return open_address(path) if is_address(path) else open(path, "rb")


def _open(path: str) -> IO[str]:
    file = _open_binary(path)
    marked = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    file.seek(0)
    return io.TextIOWrapper(file, encoding="utf-16" if marked else "utf-8-sig", newline="")


# CSV


@contextmanager
def _csv(path: str) -> Iterator[Any]:
    """Open a file as a reader of rows, whatever separates its cells."""
    tab = path.lower().endswith(".tsv")
    with _open(path) as file:
        first = file.readline()
        delimiter = "\t" if tab else max(_DELIMITERS, key=first.count)
        file.seek(0)
        yield csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=not tab)


def _read_csv(path: str) -> Table:
    with _csv(path) as reader:
        try:
            header, columns = _columns(path, filter(any, reader))
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: {first_line(error)}") from error
    names = tuple(name.strip() for name in header)
    return Table(
        path, names, len(columns[0]), columns.__getitem__, lambda row: _csv_place(path, row)
    )


def _columns(path: str, rows: Iterator[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the names of columns, and the cells of each."""
    header = next(rows, None)
    if header is None:
        raise DataError(f"{path} is empty; expected a line with the names of the columns")
    columns: list[list[str]] = [[] for _ in header]
    # All rows at once would be an object each, which take several times as long to make.
    while some := list(itertools.islice(rows, _AT_A_TIME)):
        if {*map(len, some)} != {len(header)}:
            row = next(row for row, cells in enumerate(some) if len(cells) != len(header))
            place = _csv_place(path, len(columns[0]) + row)
            raise DataError(
                f"{path}, {place}: {len(some[row])} cells, but {len(header)} columns; put a cell "
                "with a comma into quotes"
            )
        for column, cells in zip(columns, zip(*some, strict=True), strict=True):
            column += cells
    return header, columns


def _csv_place(path: str, row: int) -> str:
    """Return the line where a row begins; a cell in quotes may hold line breaks."""
    with _csv(path) as reader:
        filled = 0
        while True:
            line = reader.line_num + 1
            filled += any(next(reader))
            if filled == row + 2:
                return f"line {line}"


# JSON Lines


def _read_jsonl(path: str) -> Table:
    records: list[Mapping[str, object]] = []
    lines: list[int] = []
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            records.append(_record(path, number, line))
            lines.append(number)
    names = tuple(dict.fromkeys(itertools.chain.from_iterable(records)))

    def read(column: int) -> list[object]:
        return [record.get(names[column]) for record in records]

    return Table(path, names, len(records), read, lambda row: f"line {lines[row]}")


def _record(path: str, number: int, line: str) -> Mapping[str, object]:
    try:
        record = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: {first_line(error)}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}, line {number}: expected an object, {{...}}, with the columns")
    return record


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"there are two values of {one_line(twice)!r}")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)


# Parquet


def _read_parquet(path: str) -> Table:
    pyarrow, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(_open_binary(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} can't be read as Parquet: {first_line(error)}") from error
    names = tuple(file.schema_arrow.names)

    def read(column: int) -> list[object]:
        kind = file.schema_arrow.field(column).type
        if pyarrow.types.is_struct(kind) or _is_binary(pyarrow, kind):
            raise DataError(
                f"{path}: the column {names[column]!r} holds {kind}, and no text; a table lists "
                "images by the paths of their files"
            )
        try:
            values = file.read(columns=[names[column]]).column(names[column])
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged: {first_line(error)}") from error
        return list(values.to_pylist())

    return Table(path, names, file.metadata.num_rows, read, lambda row: f"row {row + 1}")


def _is_binary(pyarrow: Any, kind: Any) -> bool:
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"a .parquet table needs a library that is not installed ({error}): pip install "
            "'sslcore[parquet]'; .csv, .tsv and .jsonl need none"
        ) from error
    return pyarrow, parquet


_READERS: Mapping[str, Callable[[str], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
