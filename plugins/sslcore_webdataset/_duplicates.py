"""Samples that are in several shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sslcore.errors import DataError

if TYPE_CHECKING:
    from sslcore_webdataset._images import Samples
    from sslcore_webdataset._storage import Storage

#: Pairs of samples with the same name whose content is compared.
_COMPARED = 16


def check_duplicates(samples: Samples, storage: Storage) -> str:
    """Return a note about names that several shards use; empty if none is.

    Some programs number the samples of each shard from 0. So, samples of one name are the same only
    if their images are; a part of these is read.

    Raises:
        DataError: an image is in two shards.
        SourceError: a shard can't be read.
    """
    order = np.argsort(samples.hashes, kind="stable")
    hashes = samples.hashes[order]
    again = np.flatnonzero(hashes[1:] == hashes[:-1])
    if not len(again):
        return ""
    first, second = order[again], order[again + 1]
    equal = np.flatnonzero(samples.sizes[first] == samples.sizes[second])
    for pair in equal[np.linspace(0, len(equal) - 1, min(len(equal), _COMPARED)).astype(int)]:
        one, other = int(first[pair]), int(second[pair])
        if _content(samples, storage, one) == _content(samples, storage, other):
            raise DataError(
                f"{samples.name(one)} and {samples.name(other)} are the same image, and "
                f"{len(again)} names are in two shards; remove one of the shards"
            )
    return (
        f"{len(again)} samples have the name of one in another shard, such as "
        f"{samples.name(int(first[0]))}; they are different images, and all are used"
    )


def _content(samples: Samples, storage: Storage, row: int) -> bytes:
    number, start, size = samples.shards[row], samples.starts[row], samples.sizes[row]
    return storage.read(int(number), int(start), int(size))
