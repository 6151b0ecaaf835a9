"""Notes on what is left out of shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sslcore_webdataset._indexing import Indexed


def remarks_on(found: Indexed) -> Iterator[str]:
    """Yield a note for each kind of thing that is left out, with the first one by name."""
    pairs = list(zip(found.shards, found.indexes, strict=True))
    if cut := [(shard, index) for shard, index in pairs if index.remarks.cut]:
        shard, index = cut[0]
        more = f", and so are {len(cut) - 1} others" if cut[1:] else ""
        kept = sum(len(index) for _, index in cut)
        yield (
            f"{shard.name} is damaged ({index.remarks.cut}){more}: the {kept} samples that are "
            "whole are used; copy it again to have all"
        )
    if without := [(shard, index) for shard, index in pairs if index.remarks.without_image]:
        shard, index = without[0]
        count = sum(index.remarks.without_image for _, index in without)
        yield (
            f"{count} samples without an image are left out; the first is "
            f"{shard.name}/{index.remarks.first_without}"
        )
    if links := [(shard, index) for shard, index in pairs if index.remarks.left_out]:
        shard, index = links[0]
        count = sum(index.remarks.left_out for _, index in links)
        yield (
            f"{count} links and sparse files are left out; the first is "
            f"{shard.name}/{index.remarks.first_left_out} (tar --dereference --hard-dereference "
            "packs what links point to)"
        )
    empty = [shard for shard, index in pairs if not len(index)]
    if empty and len(empty) < len(pairs):
        yield f"{len(empty)} of {len(pairs)} shards hold no images; the first is {empty[0].name}"
    if found.problem:
        yield f"the index of the shards can't be kept ({found.problem}), and is made at each start"
