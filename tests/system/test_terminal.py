"""A closed pipe is no error: training continues, and a table may go unread."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from sslcore.runs.folder import Run
from sslcore.system.terminal import LastingConsole

SSLCORE = [sys.executable, "-m", "sslcore"]
TRAIN = ["train", "--method", "autoencoder", "--epochs", "1", "--set", "encoder.widths=4,8"]


def _without_reader(arguments, stream):
    """Run a command whose stream is a closed pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writing}
    # Buffered, as streams are by default: Python writes the rest of a buffer when it exits.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    process = subprocess.Popen([*SSLCORE, *arguments], **streams, text=True, env=buffered)
    os.close(writing)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_training_goes_on_to_its_end_when_nobody_reads_stderr_any_more():
    code, out, _ = _without_reader([*TRAIN, "--output", "run", "--no-evaluate"], "stderr")
    assert code == 0
    assert out == "run\n"
    assert Run("run").finished


@pytest.mark.parametrize(
    "arguments", [["methods"], ["components"], ["components", "loss", "nt-xent"], ["plugins"]]
)
def test_a_table_that_nobody_reads_is_no_failure(arguments):
    code, _, err = _without_reader(arguments, "stdout")
    assert (code, err) == (0, "")


class _Gone:
    """A file that can no longer be written."""

    encoding = "utf-8"

    def __init__(self, error):
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        pass

    def isatty(self):
        return False


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(errno.EIO, "Input/output error")])
def test_a_console_without_a_reader_goes_quiet(error):
    console = LastingConsole(file=_Gone(error))
    console.print("anything")
    console.print("and more")
    assert console.quiet
