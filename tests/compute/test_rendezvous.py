"""Processes that start together share a key, even if earlier processes left keys in the store."""

from __future__ import annotations

import threading
import time

import pytest
import torch.distributed as dist

from sslcore.compute.rendezvous import rendezvous
from sslcore.errors import UsageError


def _keys(store, ranks, count, delays=None, patience=20.0):
    keys = {}

    def one(rank):
        time.sleep((delays or {}).get(rank, 0.0))
        keys[rank] = rendezvous(store, rank, count, patience=patience)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return keys


@pytest.mark.parametrize("late", [0, 1, 2])
def test_all_processes_share_a_key_and_restarted_ones_share_another(late):
    store = dist.HashStore()
    first = _keys(store, range(3), 3)
    again = _keys(store, range(3), 3, {late: 0.4})
    for keys in (first, again):
        assert keys.keys() == {0, 1, 2}
        assert len({*keys.values()}) == 1
    assert first[0] != again[0]


def test_a_process_that_died_is_not_mistaken_for_its_replacement():
    store = dist.HashStore()
    store.set("token/1", "dead")
    store.set("key", "old-dead")
    keys = _keys(store, range(2), 2, {1: 0.4})
    assert keys[0] == keys[1]
    assert "dead" not in keys[0]


def test_a_process_gives_up_when_the_others_do_not_start():
    store = dist.HashStore()
    store.set("key", "of-others")
    with pytest.raises(UsageError, match="not all of them started"):
        rendezvous(store, 1, 2, patience=0.3)
