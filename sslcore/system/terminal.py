"""Consoles that go quiet when their reader has gone, so that the work goes on to its end."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console

from sslcore.system.printable import printable


class LastingConsole(Console):
    """A console whose reader (`head`, a closed terminal) may leave without ending the program."""

    def print(self, *objects: object, **options: Any) -> None:
        """Print, text without what a terminal would obey: plugins have a say in it."""
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        super().print(*shown, **options)

    def _check_buffer(self) -> None:
        # A terminal that has gone is an input/output error, of which rich knows nothing.
        try:
            super()._check_buffer()
        except OSError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Say nothing from now on, not even what is still buffered when Python exits."""
        self.quiet = True
        # A file in memory has no descriptor.
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)


def stderr_console() -> Console:
    """Return the console for everything that is not a result.

    Markup is off: a path or a plugin's message may hold square brackets.
    """
    return LastingConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)


def stdout_console(**options: Any) -> Console:
    """Return the console for results, without markup."""
    return LastingConsole(file=sys.stdout, highlight=False, markup=False, **options)
