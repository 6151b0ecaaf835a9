"""A preparation of images that was killed goes on where it was, and is shown."""

from __future__ import annotations

import io
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sslcore.data.cache import Entry, keep_below
from sslcore.data.form import Form
from sslcore.errors import SourceError
from sslcore.system.watching import watched

FORM = Form(image_size=4, channels=1)
#: Writes 5,000 images of which every 100th can't be read; says where it begins; stops at a row.
WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from sslcore.data.cache import Entry
from sslcore.data.form import Form

def squares(first):
    Path(sys.argv[2]).open("a").write(f"{first}\\n")
    for row in range(first, 5000):
        if row == int(sys.argv[3]):
            Path(sys.argv[2]).with_name("waiting").touch()
            time.sleep(100)
        yield None if row % 100 == 99 else np.full((1, 4, 4), row % 251, dtype=np.uint8)

Entry.of(Path(sys.argv[1]), "place", "content", "x").store(squares, Form(image_size=4, channels=1))
"""


def writer(folder: Path, stop: int) -> subprocess.Popen[bytes]:
    arguments = [str(folder / "cache"), str(folder / "begins"), str(stop)]
    return subprocess.Popen([sys.executable, "-c", WRITER, *arguments])


def kill_at(folder: Path, stop: int) -> None:
    """Kill a writer while it waits for the image of a row."""
    process = writer(folder, stop)
    deadline = time.monotonic() + 60
    while not (folder / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder / "waiting").unlink()


def stored(folder: Path) -> dict[str, bytes]:
    entry = Entry.of(folder / "cache", "place", "content", "x")
    assert list((folder / "cache").iterdir()) == [entry.path]
    return {path.name: path.read_bytes() for path in entry.path.iterdir()}


def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert writer(whole, -1).wait() == 0
    kill_at(killed, 1500)
    kill_at(killed, 4000)
    assert writer(killed, -1).wait() == 0
    # Each start begins less than a block of 1,024 images before the row of the kill.
    assert (killed / "begins").read_text().split() == ["0", "1024", "3072"]
    assert stored(killed) == stored(whole)
    assert set(stored(whole)) == {"images.npy", "about.json"}
    found = Entry.of(whole / "cache", "place", "content", "x").load()
    assert found is not None
    assert len(found.images) == 4950
    assert found.unreadable == list(range(99, 5000, 100))
    assert found.images[99:101, 0, 0, 0].tolist() == [100, 101]


def test_what_was_half_written_after_the_last_block_is_written_again(tmp_path):
    cache = tmp_path / "cache"
    entry = Entry.of(cache, "place", "content", "x")

    def stopped(first):
        for row in range(1024 + 100):
            yield np.full((1, 4, 4), row % 251, dtype=np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry.store(stopped, FORM)
    (partial,) = cache.iterdir()
    with (partial / "images.npy").open("ab") as file:
        file.write(b"half an image")
    entry.store(lambda first: [np.full((1, 4, 4), 7, dtype=np.uint8)] * (1100 - first), FORM)
    found = entry.load()
    assert found is not None
    assert found.images[:, 0, 0, 0].tolist() == [row % 251 for row in range(1024)] + [7] * 76


def test_a_damaged_journal_begins_anew(tmp_path):
    cache = tmp_path / "cache"
    entry = Entry.of(cache, "place", "content", "x")

    def stopped(first):
        yield from [np.zeros((1, 4, 4), dtype=np.uint8)] * 1024
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry.store(stopped, FORM)
    (partial,) = cache.iterdir()
    (partial / "journal.json").write_text("{")
    begins = []
    entry.store(
        lambda first: (begins.append(first), [np.ones((1, 4, 4), dtype=np.uint8)] * 3)[1], FORM
    )
    assert begins == [0]
    found = entry.load()
    assert found is not None
    assert found.images.unique().tolist() == [1]


def test_after_a_store_stopped_answering_the_next_start_goes_on(tmp_path):
    entry = Entry.of(tmp_path / "cache", "place", "content", "x")

    def silent(first):
        yield from [np.zeros((1, 4, 4), dtype=np.uint8)] * 1024
        raise SourceError("no answer in 60 s")

    with pytest.raises(SourceError):
        entry.store(silent, FORM)
    begins = []
    entry.store(
        lambda first: (begins.append(first), [np.ones((1, 4, 4), dtype=np.uint8)] * 3)[1], FORM
    )
    assert begins == [1024]
    found = entry.load()
    assert found is not None
    assert found.images[:, 0, 0, 0].tolist() == [0] * 1024 + [1] * 3


def test_after_an_error_nothing_is_left_behind(tmp_path):
    cache = tmp_path / "cache"

    def failing(first):
        yield from [np.zeros((1, 4, 4), dtype=np.uint8)] * 1024
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        Entry.of(cache, "place", "content", "x").store(failing, FORM)
    assert list(cache.iterdir()) == []


def test_a_preparation_whose_store_is_silent_goes_on_at_the_next_start(tmp_path):
    entry, begins = Entry.of(tmp_path / "cache", "place", "content", "x"), []

    def images(first):
        begins.append(first)
        yield from [np.zeros((1, 4, 4), dtype=np.uint8)] * (1100 - first)
        if first == 0:
            raise SourceError("no answer")

    with pytest.raises(SourceError, match="no answer"):
        entry.store(images, FORM)
    entry.store(images, FORM)
    assert begins == [0, 1024]


def test_what_is_being_written_stays_where_the_cache_is_full(tmp_path):
    done, begun = (Entry.of(tmp_path, name, "content", "x") for name in ("done", "begun"))
    done.store(lambda first: [np.zeros((1, 4, 4), dtype=np.uint8)] * 10, FORM)

    def images(first):
        yield from [np.zeros((1, 4, 4), dtype=np.uint8)] * 1024
        keep_below(tmp_path, 0, ())

    begun.store(images, FORM)
    assert done.load() is None
    assert begun.load() is not None


def shown(monkeypatch, *, terminal: bool, seconds: float) -> str:
    """Return what is shown of 100 images, of which each takes so many seconds."""
    clock = itertools.count(0.0, seconds)
    monkeypatch.setattr("sslcore.system.watching.monotonic", lambda: next(clock))
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with watched(console, "preparing images") as watch:
        for done in range(101):
            watch(done, 100)
    return out.getvalue()


def test_a_log_gets_a_line_a_minute_with_the_rate_and_the_time_left(monkeypatch):
    lines = shown(monkeypatch, terminal=False, seconds=3.0).splitlines()
    assert 4 <= len(lines) <= 5
    assert lines[0].startswith("preparing images: ")
    assert "images/s" in lines[0]
    assert "min left" in lines[0]


def test_work_of_less_than_a_second_is_not_shown(monkeypatch):
    assert "preparing" not in shown(monkeypatch, terminal=True, seconds=0.001)
    assert shown(monkeypatch, terminal=False, seconds=0.5) == ""


def test_a_terminal_shows_a_bar(monkeypatch):
    assert "preparing images" in shown(monkeypatch, terminal=True, seconds=0.5)
