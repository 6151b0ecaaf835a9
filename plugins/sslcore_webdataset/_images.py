"""The images of a split: where each lies in the shards, and its name."""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sslcore_webdataset._indexing import Indexed
    from sslcore_webdataset._storage import Storage


class Samples:
    """The N samples of some shards, in the order of the shards and in each of its archive.

    Args:
        indexed: the shards.

    Attributes:
        shards: the number of the shard of each sample, int32, (N,).
        rows: its row in the index of the shard, int64, (N,).
        starts: where its image begins, bytes, int64, (N,).
        sizes: of the image, bytes, uint32, (N,).
        hashes: of the name, uint64, (N,).
    """

    def __init__(self, indexed: Indexed) -> None:
        self.indexed = indexed
        indexes = indexed.indexes
        counts = [len(index) for index in indexes]
        self.shards = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        self.rows = np.concatenate([np.arange(count) for count in counts])
        self.starts = np.concatenate([index.starts for index in indexes])
        self.sizes = np.concatenate([index.sizes for index in indexes])
        self.hashes = np.concatenate([index.hashes for index in indexes])

    def __len__(self) -> int:
        return len(self.shards)

    def name(self, row: int) -> str:
        """Return the shard and the file in it, such as `train-000.tar/0001.jpg`."""
        number, own = int(self.shards[row]), int(self.rows[row])
        index = self.indexed.indexes[number]
        begin = int(index.ends[own - 1]) if own else 0
        name = index.names[begin : int(index.ends[own])].tobytes()
        return f"{self.indexed.shards[number].name}/{name.decode(errors='backslashreplace')}"


class ShardImages:
    """Encoded images, read from shards by where they lie.

    Args:
        storage: reads the shards.
        shards: the number of the shard of each image, int32, (N,).
        starts: where each begins, bytes, int64, (N,).
        sizes: bytes, uint32, (N,).
        place: names the data set and the split, whatever they hold at the time.
    """

    def __init__(
        self,
        storage: Storage,
        shards: np.ndarray,
        starts: np.ndarray,
        sizes: np.ndarray,
        place: str,
    ) -> None:
        self.storage, self.place = storage, place
        self.shards, self.starts, self.sizes = shards, starts, sizes

    @classmethod
    def of(cls, samples: Samples, storage: Storage, rows: np.ndarray, place: str) -> ShardImages:
        """Return the images of some samples, int64, (N,)."""
        return cls(storage, samples.shards[rows], samples.starts[rows], samples.sizes[rows], place)

    def __len__(self) -> int:
        return len(self.shards)

    def fetch(self, row: int) -> bytes:
        """Return the content of an image file.

        Raises:
            SourceError, DataError: the shard has gone, was changed or can't be read.
        """
        return self.storage.read(int(self.shards[row]), int(self.starts[row]), int(self.sizes[row]))

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with the shards, their sizes and times, and with the images taken."""
        content = blake2b(digest_size=16)
        for shard in self.storage.shards:
            content.update(f"{shard.name}\0{shard.size}\0{shard.state}\n".encode(errors="replace"))
        for array in (self.shards, self.starts, self.sizes):
            content.update(np.ascontiguousarray(array).data)
        return content.hexdigest()
