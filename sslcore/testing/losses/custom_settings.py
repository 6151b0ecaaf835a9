"""The settings that the checks of a loss vary: those that its formula takes as well."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from sslcore.contract.interface import SUPPLIED
from sslcore.contract.settings import Setting, settings_of
from sslcore.testing.losses.family import HyperRange
from sslcore.testing.losses.signal_shapes import target_of
from sslcore.testing.losses.spec import LossSpec


def varied(spec: LossSpec) -> dict[str, HyperRange]:
    """Return the settings that a loss and its formula both take, with values to try."""
    if spec.reference is None:
        return {}
    of_formula = inspect.signature(spec.reference).parameters
    found = {}
    for name, setting in settings_to_vary(spec).items():
        values = _values(setting)
        if name not in of_formula or len(values) < 2:
            continue
        if isinstance(setting.default, float):
            found[name] = HyperRange(setting.default, values, min(values), max(values))
        else:
            found[name] = HyperRange(setting.default, values, 0, 0, listed=True)
    return found


def settings_to_vary(spec: LossSpec) -> dict[str, Setting]:
    """Return the settings of a loss with several values; none where its signature can't be read."""
    stated = getattr(spec.make, "keywords", {})
    try:
        settings = settings_of(target_of(spec.make), skip=frozenset({*SUPPLIED, *stated}))
    except (TypeError, ValueError):
        return {}
    return {
        name: item
        for name, item in settings.items()
        if isinstance(item.default, (bool, int, float)) or _choices(item.annotation)
    }


def _choices(annotation: Any) -> tuple[Any, ...]:
    return typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()


def _values(setting: Setting) -> tuple[Any, ...]:
    """Return the default of a setting, and other values that its annotation allows."""
    default = setting.default
    if choices := _choices(setting.annotation):
        return tuple(dict.fromkeys((default, *choices)))
    if isinstance(default, bool):
        return (default, not default)
    if isinstance(default, int):
        tried: tuple[float, ...] = (default + 1, max(1, default // 2), 2 * default)
    else:
        tried = (default / 4, 2 * default, default + 1.0, 0.25, 3.0)
    found = [default]
    for value in tried:
        try:
            setting.validate(value)
        except ValueError:
            continue
        found.append(value)
    return tuple(dict.fromkeys(found))
