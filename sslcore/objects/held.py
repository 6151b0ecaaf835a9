"""References, `"module:attribute"`, to what exists in memory only.

A reference is valid as long as something else keeps its target, such as the registry in which a
record names it; this module keeps nothing. No reference is ever used twice.
"""

from __future__ import annotations

import itertools
from weakref import WeakValueDictionary

_targets: WeakValueDictionary[str, object] = WeakValueDictionary()
_numbers = itertools.count(1)


def reference_to(target: object) -> str:
    """Return a reference that `load_reference` resolves to the target while the target exists."""
    name = f"object_{next(_numbers)}"
    _targets[name] = target
    return f"{__name__}:{name}"


def __getattr__(name: str) -> object:
    try:
        return _targets[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
