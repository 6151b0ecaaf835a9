"""Freed memory is kept by the command line only: a library must not change its host's allocator."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from sslcore.cli import allocation

#: In its own process, since memory that other tests freed would be used first.
_PROGRAM = """
import os, resource, sys, torch
from sslcore.cli.allocation import keep_freed_memory

SIZE, PAGE = 2**26, os.sysconf("SC_PAGE_SIZE")
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for turn in range(20):
    # The first ones are not counted: the place made for one is a little small for the next.
    if turn == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(SIZE, dtype=torch.uint8)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * PAGE / SIZE / 10)
"""


def _share_that_is_new(how):
    """The fraction of a large tensor for which the system had to provide new pages."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_a_large_tensor_takes_the_memory_of_the_last_one():
    assert _share_that_is_new("kept") < 0.01
    assert _share_that_is_new("usual") > 0.5


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda name: object())
    assert not allocation.keep_freed_memory()


def test_training_from_python_does_not_import_it():
    program = (
        "import sys, sslcore.api, sslcore.training.trainer\n"
        "assert 'sslcore.cli.allocation' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
