"""The start of a plugin: a distribution with one part in it, its tests, and all that publishes it.

What is written is filled-in text (`templates/`); `naming` says which names a plugin can have.
"""

from __future__ import annotations

from sslcore.cli.new_plugin.naming import Names, check_name, check_names
from sslcore.cli.new_plugin.writing import KINDS, LICENSES, files_of, write

__all__ = ["KINDS", "LICENSES", "Names", "check_name", "check_names", "files_of", "write"]
