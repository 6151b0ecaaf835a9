"""Where a plugin and its records come from: which distribution, in which version."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The distribution of the plugins that ship with sslcore.
SHIPPED = "sslcore"

#: In place of a distribution, for a plugin that `-p` names; the version is then the value of `-p`.
FILE, MODULE = "(file)", "(module)"

#: In place of a distribution, for an object that the Python API was given; the version is then the
#: name of its class or function, with the module.
OBJECT = "(object)"


@dataclass(frozen=True)
class Origin:
    """The origin of a plugin, of its records and of the parts made from them.

    Attributes:
        plugin: name of the entry point, the file or the module.
        distribution: name of the installed distribution, `FILE`, `MODULE` or `OBJECT`.
        version: of the distribution; for a file or module, the value of `-p`; for an object, the
            name of its class or function.
    """

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"

    @property
    def shipped(self) -> bool:
        """Whether it ships with sslcore itself."""
        return self.distribution == SHIPPED

    @property
    def given(self) -> bool:
        """Whether `-p` names it: no distribution installs it."""
        return self.distribution in (FILE, MODULE)

    @property
    def option(self) -> str:
        """The option that loads it, `-p ./my_idea.py`; empty for an installed distribution."""
        if self.distribution == MODULE:
            return f"-p {shlex.quote(self.version)}"
        if self.distribution != FILE:
            return ""
        path = Path(self.version)
        with suppress(ValueError, OSError):
            path = path.relative_to(Path.cwd().resolve())
        return f"-p {shlex.quote(str(path) if path.is_absolute() else f'./{path}')}"

    def qualified(self, name: str) -> str:
        """Return the name of a record that is never ambiguous: `distribution:name`."""
        return f"{self.distribution}:{name}"

    def address(self, name: str) -> str:
        """Return the shortest name of a record that is never ambiguous."""
        return name if self.shipped else self.qualified(name)
