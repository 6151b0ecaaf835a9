"""Files at addresses are read, and what can't be read is named in one line."""

from __future__ import annotations

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sslcore.errors import DataError
from sslcore.system.addresses import is_address, open_address, read_address, state_of_address


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
        raise TimeoutError("no answer in 60 s\nat all")

    for name in ("open", "cat_file", "info"):
        monkeypatch.setattr(MemoryFileSystem, name, silent)
    with pytest.raises(DataError, match=r"^memory://bucket/a can't be read: no answer in 60 s$"):
        read("memory://bucket/a")
