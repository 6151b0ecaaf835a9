"""Consoles whose output may be closed without ending the program."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console

from sslcore.system.printable import printable


class LastingConsole(Console):
    """A console that prints nothing more after its reader (`head`, a terminal) closes."""

    def print(self, *objects: object, **options: Any) -> None:
        """Print, without control characters: text may come from plugins."""
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        super().print(*shown, **options)

    def _check_buffer(self) -> None:
        # A closed terminal raises an input/output error, which rich does not handle.
        try:
            super()._check_buffer()
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Print nothing from now on, and discard the buffered text when Python exits."""
        self.quiet = True
        # A file in memory has no descriptor.
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)


def stderr_console() -> Console:
    """Return the console for everything that is not a result.

    Markup is off, because paths and messages may hold square brackets.
    """
    return LastingConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)


def stdout_console(**options: Any) -> Console:
    """Return the console for results, without markup."""
    return LastingConsole(file=sys.stdout, highlight=False, markup=False, **options)
