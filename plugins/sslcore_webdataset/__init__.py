"""Tar shards in the WebDataset layout: a data set that reads single images out of archives."""

from __future__ import annotations

from collections.abc import Iterator

import sslcore


@sslcore.hookimpl
def sslcore_datasets() -> Iterator[sslcore.Dataset]:
    yield sslcore.Dataset(
        name="shards",
        summary="Tar shards in the WebDataset layout, on disk or in an object store",
        reference="Aizman, Maltby & Breuel 2019, High performance I/O for deep learning",
        build="sslcore_webdataset.shards:shards",
        # Compressed archives are refused with the way to repack them.
        opens=(
            *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"),
            *("/*.tar", "/train/*.tar"),
        ),
        example="sslcore_webdataset.example:write",
    )
