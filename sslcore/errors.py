"""What can go wrong, as exceptions that know their exit code.

A message says what is wrong, whose it is, and what to do next; the command line prints it as it
stands, without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class SslcoreError(Exception):
    """Base of every error that sslcore raises on purpose."""

    exit_code = 1


class UsageError(SslcoreError):
    """What was asked for can't be done as asked: wrong name, setting, data, or combination."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that no plugin offers."""


class SettingsError(UsageError):
    """One or more settings are unknown, mistyped or out of range; all are in `problems`."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class CompositionError(UsageError):
    """The chosen parts don't fit together."""


class DataError(UsageError):
    """The data set can't be read, or does not suit what is asked of it."""


class SourceError(DataError, OSError):
    """Images can't be read because their source fails: a store is silent, a file of many is cut.

    It is no fault of a single image, so none is left out for it.
    """


class RunFolderError(UsageError):
    """A run folder exists, is missing, can't be written, or belongs to another recipe."""


class DiskError(RunFolderError):
    """A file can't be written, because the disk is full or fails."""

    exit_code = 1


class TrainingError(SslcoreError):
    """Training had to stop: the loss is not finite, the device is out of memory, the disk full."""


class LostProcessError(TrainingError):
    """Another of the processes that train together has gone."""


class InterruptedRun(SslcoreError):
    """The run was stopped by Ctrl-C or SIGTERM after saving; the message says how to go on."""

    exit_code = 130


class IncompatibleError(SslcoreError):
    """A plugin was written for a version of the contract that this engine does not understand."""


class PluginWarning(UserWarning):
    """A plugin has a problem; `SSLCORE_STRICT=1` makes the warning an error."""


class BrokenPluginWarning(PluginWarning):
    """A plugin could not be loaded and was left out."""


class LeftOutWarning(UserWarning):
    """Files can't be read as images and are left out."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; nearest: a, b"` for the known names closest to `name`, or an empty string.

    Case is no difference; a name that holds what was typed (or the reverse) counts as near.
    """
    names = sorted(set(known))
    folded: dict[str, str] = {}
    for candidate in names:
        folded.setdefault(candidate.casefold(), candidate)
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, list(folded), n=3, cutoff=0.6)
    if not close and len(wanted) > 2:
        close = [key for key in folded if wanted in key or key in wanted][:3]
    if not close:
        return ""
    return "; nearest: " + ", ".join(folded[key] for key in close)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text, or its type where it has none.

    torch puts the reason last: below a heading, or below the traceback of another process.
    """
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    if isinstance(error, KeyError) and lines:
        # What a KeyError says is the key alone.
        return f"KeyError: {lines[0]}"
    return lines[0] if lines else type(error).__name__
