"""Columns of Parquet and Arrow files, a part of the rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sslcore.errors import DataError, first_line

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in the errors of pyarrow.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} can't be read: {first_line(error)}") from error


def schema_of(path: Path) -> pa.Schema:
    """Return the schema of a file.

    Raises:
        DataError: it can't be read.
    """
    with reading(path):
        if is_parquet(path):
            import pyarrow.parquet as pq

            return pq.read_schema(path)
        with _arrow_source(path) as source:
            return _arrow_reader(source).schema


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def num_rows(path: Path) -> int:
    """Return the number of rows of a file.

    Raises:
        DataError: it can't be read.
    """
    with reading(path):
        if is_parquet(path):
            import pyarrow.parquet as pq

            count: int = pq.read_metadata(path).num_rows
            return count
        with _arrow_source(path) as source:
            return sum(batch.num_rows for batch in _batches(_arrow_reader(source)))


def column(path: Path, name: str, member: str | None = None) -> pa.ChunkedArray:
    """Return a column, or a member of a column of structs.

    Raises:
        DataError: the file can't be read.
    """
    import pyarrow as pa

    with reading(path):
        if not is_parquet(path):
            with _arrow_source(path) as source:
                parts = [part.column(name) for part in _batches(_arrow_reader(source))]
                kind = _arrow_reader_type(path, name, member)
                return pa.chunked_array([_member(part, member) for part in parts], kind)
        import pyarrow.parquet as pq

        # By the file, since a folder's name such as `label=3` would be read as a column.
        with pq.ParquetFile(path) as file:
            wanted = name if member is None else f"{name}.{member}"
            read = file.read(columns=[wanted]).column(0)
            parts = [_member(part, member) for part in read.chunks]
            kind = read.type if member is None else read.type.field(member).type
            return pa.chunked_array(parts, kind)


def _arrow_reader_type(path: Path, name: str, member: str | None) -> pa.DataType:
    kind = schema_of(path).field(name).type
    return kind if member is None else kind.field(member).type


def arrow_columns(path: Path, name: str, member: str | None) -> Iterator[tuple[pa.Array, int, int]]:
    """Yield a column of an Arrow file in parts, and the address and size of the mapped file.

    The values of a part lie in the mapped file unless the file is compressed.

    Raises:
        DataError: the file can't be read.
    """
    with reading(path), _arrow_source(path) as source:
        source.seek(0)
        whole = source.read_buffer()
        source.seek(0)
        for batch in _batches(_arrow_reader(source)):
            yield _member(batch.column(name), member), whole.address, whole.size


def _member(part: pa.Array, member: str | None) -> pa.Array:
    if member is None:
        return part
    # `flatten` takes the offset and the nulls of the struct into account; `field` does not.
    place = [each.name for each in part.type].index(member)
    return part.flatten()[place]


def _arrow_source(path: Path) -> pa.MemoryMappedFile:
    import pyarrow as pa

    return pa.memory_map(str(path))


def _arrow_reader(
    source: pa.MemoryMappedFile,
) -> pa.RecordBatchStreamReader | pa.RecordBatchFileReader:
    """Return the reader of a stream, which the library writes, or of a file with an index."""
    import pyarrow as pa

    is_file = source.read(6) == b"ARROW1"
    source.seek(0)
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _batches(
    reader: pa.RecordBatchStreamReader | pa.RecordBatchFileReader,
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if isinstance(reader, pa.RecordBatchFileReader):
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(reader)
