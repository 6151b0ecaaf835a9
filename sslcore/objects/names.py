"""The names of objects: what a record is called, and the origin that a recipe states."""

from __future__ import annotations

import functools
import inspect
import re

#: Where a word begins in a name such as `MyResNet` or `my_loss`.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def qualified_name(given: object) -> str:
    """Return the name of a class or function with its module, or that of an object's type."""
    if isinstance(given, functools.partial):
        return qualified_name(given.func)
    named = given if inspect.isclass(given) or inspect.isroutine(given) else type(given)
    module = getattr(named, "__module__", None) or "builtins"
    return f"{module}.{getattr(named, '__qualname__', type(named).__qualname__)}"


def short_name(given: object) -> str:
    """Return the same in kebab-case, without the module: "my-module" for `MyModule`."""
    last = qualified_name(given).rpartition(".")[2]
    name = _WORDS.sub("-", last).strip("-").lower()
    return name if name.isascii() and name else "object"
