"""The indexes of several shards, from the cache or made by several threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path

from sslcore.errors import DataError, RunFolderError, first_line
from sslcore.system.addresses import is_address
from sslcore.system.cache import cache_directory
from sslcore_webdataset._index import Shard, ShardIndex, Wanted
from sslcore_webdataset._samples import samples_of
from sslcore_webdataset._storage import Storage, shard_at
from sslcore_webdataset._tar import Window

#: Threads: a disk or a store answers several requests faster than one after another.
_THREADS = 8
#: Bytes read at once, and the distance of headers from which on only they are read. Of a store, a
#: request takes as long as some megabytes.
_BLOCK, _STRIDE = 2**18, 2**16
_BLOCK_OF_STORE, _STRIDE_OF_STORE = 2**23, 2**23


class Indexed:
    """Shards and their indexes, in the order of the paths.

    Args:
        shards: in the state that was indexed.
        indexes: one of each.
        problem: why an index could not be kept; empty if all were.
    """

    def __init__(
        self, shards: Sequence[Shard], indexes: Sequence[ShardIndex], problem: str
    ) -> None:
        self.shards, self.indexes, self.problem = tuple(shards), tuple(indexes), problem


def indexed(paths: Sequence[str], wanted: Wanted) -> Indexed:
    """Return the indexes of shards. Each is kept in the cache as soon as it is made.

    A shard that changed is indexed anew.

    Args:
        paths: of files, absolute, or addresses.
        wanted: what is taken from samples.

    Raises:
        DataError: a shard is missing, damaged, or has a sample that can't be used.
    """
    try:
        cache, problem = cache_directory() / "shards", ""
    except OSError as error:
        cache, problem = None, first_line(error)
    pool = ThreadPoolExecutor(min(_THREADS, len(paths)), thread_name_prefix="sslcore-index")
    try:
        found = list(pool.map(partial(_one, wanted=wanted, cache=cache), paths))
    finally:
        # After an error or Ctrl-C, shards that nobody has begun with are left.
        pool.shutdown(cancel_futures=True)
    shards = [shard for shard, _, _ in found]
    problems = [problem, *(each for _, _, each in found)]
    return Indexed(shards, [index for _, index, _ in found], next(filter(None, problems), ""))


def _one(path: str, wanted: Wanted, cache: Path | None) -> tuple[Shard, ShardIndex, str]:
    """Return a shard, its index, and why the index can't be kept."""
    shard = shard_at(path)
    file = None if cache is None else cache / f"{_digest(path, wanted)}.safetensors"
    if file is not None and (kept := ShardIndex.load(file, shard)) is not None:
        return shard, kept, ""
    index = _made(shard, wanted)
    if file is not None:
        try:
            index.save(file, shard)
        except (OSError, RunFolderError) as error:
            return shard, index, first_line(error)
    return shard, index, ""


def _made(shard: Shard, wanted: Wanted) -> ShardIndex:
    remote = is_address(shard.path)
    block, stride = (_BLOCK_OF_STORE, _STRIDE_OF_STORE) if remote else (_BLOCK, _STRIDE)
    window = Window(partial(Storage([shard]).read, 0), shard.size, block, stride)
    index = samples_of(shard, window, wanted)
    if not remote and shard_at(shard.path) != shard:
        raise DataError(f"{shard.path} changes while it is read; wait until it is complete")
    return index


def _digest(path: str, wanted: Wanted) -> str:
    return blake2b(os.fsencode(f"{path}\0{wanted!r}"), digest_size=16).hexdigest()
