"""Files at addresses are read, and what can't be read is named in one line."""

from __future__ import annotations

import threading

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sslcore.errors import DataError, SourceError
from sslcore.system import addresses
from sslcore.system.addresses import (
    is_address,
    matching_addresses,
    open_address,
    read_address,
    size_and_state_of_address,
    state_of_address,
)


@pytest.fixture
def store():
    """An object store in memory."""
    system = MemoryFileSystem()
    system.pipe("/bucket/a b.bin", b"0123456789")
    yield system
    system.rm("/bucket", recursive=True)


def test_a_file_is_read_whole_in_part_and_as_a_stream(store):
    address = "memory://bucket/a b.bin"
    assert is_address(address)
    assert not is_address("/bucket/a b.bin")
    assert read_address(address) == b"0123456789"
    assert read_address(address, 2, 5) == b"234"
    with open_address(address) as file:
        assert file.read(3) == b"012"


def test_the_state_changes_with_the_file(store):
    first = state_of_address("memory://bucket/a b.bin")
    assert state_of_address("memory://bucket/a b.bin") == first
    store.pipe("/bucket/a b.bin", b"longer than before")
    assert state_of_address("memory://bucket/a b.bin") != first


@pytest.mark.parametrize("read", [open_address, read_address, state_of_address])
def test_what_cannot_be_read_is_named(store, read, monkeypatch):
    with pytest.raises(DataError, match=r"^memory://bucket/none does not exist$"):
        read("memory://bucket/none")
    with pytest.raises(DataError, match=r"^nosuch://x can't be read: Protocol not known: nosuch"):
        read("nosuch://x")

    def silent(*args, **kwargs):
        raise ConnectionError("connection reset\nby the store")

    for name in ("open", "cat_file", "info"):
        monkeypatch.setattr(MemoryFileSystem, name, silent)
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.0))
    said = r"^memory://bucket/a can't be read, after 3 tries: connection reset$"
    with pytest.raises(SourceError, match=said):
        read("memory://bucket/a")


def test_a_request_that_fails_is_made_again(store, monkeypatch):
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.0))
    usual, calls = MemoryFileSystem.cat_file, []

    def unsteady(self, *args, **kwargs):
        calls.append(args)
        if len(calls) < 3:
            raise ConnectionError("try later")
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", unsteady)
    assert read_address("memory://bucket/a b.bin", 0, 4) == b"0123"
    assert len(calls) == 3


def test_a_store_that_stops_answering_is_left_after_a_time_out(store, monkeypatch):
    monkeypatch.setattr(addresses, "PAUSES", (0.0,))
    monkeypatch.setattr(addresses, "TIME_OUT", 0.05)
    released = threading.Event()
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *args, **kwargs: released.wait(60))
    said = r"^memory://bucket/a b.bin can't be read, after 2 tries: no answer in 0.05 s$"
    with pytest.raises(SourceError, match=said):
        read_address("memory://bucket/a b.bin")
    released.set()


def test_addresses_that_match_a_pattern_are_sorted(store):
    store.pipe("/bucket/b.bin", b"1")
    store.pipe("/bucket/c.txt", b"1")
    found = ["memory://bucket/a b.bin", "memory://bucket/b.bin"]
    assert [
        each.replace(":///", "://") for each in matching_addresses("memory://bucket/*.bin")
    ] == found


def test_a_file_states_its_size(store):
    assert size_and_state_of_address("memory://bucket/a b.bin")[0] == 10
