"""The version of the contract between engine and plugins.

A plugin may state the version that it was written for: `SSLCORE_API = 1` in its module.
"""

from __future__ import annotations

import ast
import importlib.util
from contextlib import suppress
from pathlib import Path

from sslcore._version import __version__
from sslcore.errors import IncompatibleError

#: The current version of the contract, and the oldest that the engine still understands.
API_VERSION = 1
OLDEST_API = 1

#: The attribute of a plugin's module with the version that it was written for.
ATTRIBUTE = "SSLCORE_API"


def check_api(stated: object, distribution: str) -> None:
    """Refuse a plugin that was written for a version that the engine does not understand.

    Args:
        stated: the version that its module states; None if it states none.
        distribution: the distribution of the plugin.

    Raises:
        IncompatibleError: the version is too new or too old; the message says what to upgrade.
        TypeError: the version is not an integer.
    """
    if stated is None:
        return
    if type(stated) is not int:
        raise TypeError(f"{ATTRIBUTE} must be an integer, got {stated!r}")
    if stated > API_VERSION:
        raise IncompatibleError(
            f"it was written for plugin API {stated}, and sslcore {__version__} has "
            f"{API_VERSION}: upgrade sslcore"
        )
    if stated < OLDEST_API:
        raise IncompatibleError(
            f"it was written for plugin API {stated}, and sslcore {__version__} "
            f"understands {OLDEST_API} or newer: upgrade {distribution}"
        )


def stated_in_source(module: str) -> int | None:
    """Return the version that a module's source states, without running it; None if it states none.

    A plugin for a newer engine may fail on import before its attribute exists.
    """
    with suppress(Exception):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            return None
        for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == ATTRIBUTE:
                stated = ast.literal_eval(node.value)
                return stated if type(stated) is int else None
    return None
