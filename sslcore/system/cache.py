"""Where downloads, and images brought into one form, are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return `$SSLCORE_CACHE`, else `$XDG_CACHE_HOME/sslcore`, else `~/.cache/sslcore`.

    It need not exist.

    Raises:
        OSError: none of these is set and the user has no home directory.
    """
    chosen = os.environ.get("SSLCORE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification says that a relative path is to be ignored.
    if base and Path(base).is_absolute():
        return Path(base) / "sslcore"
    try:
        return Path.home() / ".cache" / "sslcore"
    except RuntimeError as error:
        raise OSError(f"{error}; set SSLCORE_CACHE to a folder") from error
