"""Tables of images: a data set from a CSV, TSV, JSON Lines or Parquet file."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore


@sslcore.hookimpl
def sslcore_datasets() -> Iterator[sslcore.Dataset]:
    yield sslcore.Dataset(
        name="table",
        summary="Image files that a table lists by their paths, with labels and splits",
        build="sslcore_tables.table:table",
        opens=(".csv", ".tsv", ".jsonl", ".parquet"),
        example="sslcore_tables.example:write",
    )
