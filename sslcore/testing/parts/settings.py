"""Values of settings that a check may try, from their annotations; values at the bounds first."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import annotated_types as at
from hypothesis import strategies as st

from sslcore.contract.interface import SUPPLIED, Interface
from sslcore.contract.settings import REQUIRED, Setting

if typing.TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: The distance to an open bound, and the width of a range that has one bound only.
_NEAR = 1e-3
_STEPS = 3
#: Entries in a list of any length; most images can't be halved so often.
_ENTRIES = 6
#: Number of settings drawn at once; the others keep their defaults, to keep examples readable.
_TOGETHER = 4
#: Settings of these names cause a download, which no check may do unasked.
_FETCHING = ("pretrained",)


def settings_strategy(
    interface: Interface, *, fixed: Mapping[str, Any] | None = None
) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy of settings within their annotated bounds, the bounds among them.

    A few settings are drawn at once. Settings without a usable annotation (a path, any text), and
    `pretrained`, keep their defaults. A constructor may refuse the combination.

    Args:
        interface: the interface of the part.
        fixed: settings that have these values in every draw.
    """
    fixed = dict(fixed or {})
    drawable = {
        name: strategy
        for name, setting in interface.settings.items()
        if name not in (*fixed, *_FETCHING) and (strategy := _strategy_of(setting)) is not None
    }
    if not drawable:
        return st.just(fixed)

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Any]:
        names = draw(st.lists(st.sampled_from(list(drawable)), max_size=_TOGETHER, unique=True))
        return {**fixed, **{name: draw(drawable[name]) for name in names}}

    return drawn()


def settings_at_bounds(
    interface: Interface, *, fixed: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return settings with one setting at one of its bounds and the others at their defaults."""
    fixed = dict(fixed or {})
    return [
        {**fixed, name: value}
        for name, setting in interface.settings.items()
        if name not in (*fixed, *_FETCHING)
        for value in _edges(setting.annotation)
        if setting.default is REQUIRED or value != setting.default
    ]


def required_settings(interface: Interface) -> dict[str, Any]:
    """Return settings without a default, each with a value that its annotation allows."""
    found: dict[str, Any] = {}
    for settings in settings_at_bounds(interface):
        for name, value in settings.items():
            if interface.settings[name].default is REQUIRED and name not in SUPPLIED:
                found.setdefault(name, value)
    return found


def _strategy_of(setting: Setting) -> SearchStrategy[Any] | None:
    strategy = _strategy(setting.annotation)
    if strategy is None or setting.default is REQUIRED:
        return strategy
    return st.one_of(st.just(setting.default), strategy)


def _strategy(annotation: Any) -> SearchStrategy[Any] | None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated and arguments[0] not in (int, float):
        return _sized(arguments[0], arguments[1:])
    if _is_number(annotation):
        return _number(annotation)
    if annotation is bool:
        return st.booleans()
    if annotation is None or annotation is type(None):
        return st.none()
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        parts = [part for option in arguments if (part := _strategy(option)) is not None]
        return st.one_of(parts) if parts else None
    if origin is tuple:
        return _tuple(arguments, 0)
    return None


def _number(annotation: Any) -> SearchStrategy[Any]:
    edges = _edges(annotation)
    low, high, _ = _limits(annotation)
    between: SearchStrategy[Any]
    if _base(annotation) is int:
        between = st.integers(math.ceil(low), math.floor(high))
    else:
        between = st.floats(low, high, allow_subnormal=False).map(lambda x: round(x, 4))
    within = between.filter(lambda value: _admits(annotation, value))
    return st.one_of(st.sampled_from(edges), within) if edges else within


def _sized(annotation: Any, metadata: Sequence[Any]) -> SearchStrategy[Any] | None:
    least = max((item.min_length for item in metadata if hasattr(item, "min_length")), default=0)
    if typing.get_origin(annotation) is tuple:
        return _tuple(typing.get_args(annotation), least)
    return _strategy(annotation)


def _tuple(arguments: Sequence[Any], least: int) -> SearchStrategy[Any] | None:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        entry = _strategy(arguments[0])
        if entry is None:
            return None
        return st.lists(entry, min_size=least, max_size=max(least, _ENTRIES)).map(tuple)
    entries = [_strategy(item) for item in arguments]
    if not entries or any(entry is None for entry in entries):
        return None
    whole = st.tuples(*typing.cast("list[SearchStrategy[Any]]", entries))
    # A pair of numbers is usually a range, and an empty range shows little.
    if len(entries) == 2 and all(_is_number(item) for item in arguments):
        return st.one_of(whole.map(lambda pair: tuple(sorted(pair))), whole)
    return whole


def _edges(annotation: Any) -> list[Any]:
    """Return the values at the bounds of an annotation, or next to an open bound."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if _is_number(annotation):
        low, high, stated = _limits(annotation)
        whole = _base(annotation) is int
        found: list[Any] = [low] * stated[0] + [high] * stated[1]
        return [int(value) if whole else value for value in dict.fromkeys(found)]
    if annotation is bool:
        return [False, True]
    if annotation is None or annotation is type(None):
        return [None]
    if origin is typing.Literal:
        return list(arguments)
    if origin in (typing.Union, types.UnionType):
        return [value for option in arguments for value in _edges(option)]
    if origin is typing.Annotated:
        metadata = arguments[1:]
        least = max((m.min_length for m in metadata if hasattr(m, "min_length")), default=0)
        return _edges_of_tuple(arguments[0], least)
    if origin is tuple:
        return _edges_of_tuple(annotation, 0)
    return []


def _edges_of_tuple(annotation: Any, least: int) -> list[Any]:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is not tuple or not arguments:
        return []
    if arguments[-1] is Ellipsis:
        entries = _edges(arguments[0])
        short = [()] * (least == 0) + [(entry,) * max(1, least) for entry in entries]
        return short + [(entry,) * max(_ENTRIES, least) for entry in entries[:1]]
    columns = [_edges(item) for item in arguments]
    if not all(columns):
        return []
    # All at their minimum, all at their maximum: a range of one value is a bound too.
    return list(dict.fromkeys([tuple(c[0] for c in columns), tuple(c[-1] for c in columns)]))


def _base(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0]
    return annotation


def _is_number(annotation: Any) -> bool:
    return annotation is not inspect.Parameter.empty and _base(annotation) in (int, float)


def _limits(annotation: Any) -> tuple[float, float, tuple[bool, bool]]:
    """Return the least and greatest value to try, and whether the annotation states each."""
    low, high = -math.inf, math.inf
    near = 1 if _base(annotation) is int else _NEAR
    for item in _metadata(annotation):
        if isinstance(item, at.Ge):
            low = max(low, float(item.ge))  # type: ignore[arg-type]
        elif isinstance(item, at.Gt):
            low = max(low, float(item.gt) + near)  # type: ignore[arg-type]
        elif isinstance(item, at.Le):
            high = min(high, float(item.le))  # type: ignore[arg-type]
        elif isinstance(item, at.Lt):
            high = min(high, float(item.lt) - near)  # type: ignore[arg-type]
    stated = (low > -math.inf, high < math.inf)
    if not stated[0]:
        low = high - _STEPS if stated[1] else -1.0
    if not stated[1]:
        high = low + _STEPS
    return low, high, stated


def _admits(annotation: Any, value: float) -> bool:
    low, high, _ = _limits(annotation)
    divisors = [float(m.multiple_of) for m in _metadata(annotation) if hasattr(m, "multiple_of")]
    return low <= value <= high and all(value % divisor == 0 for divisor in divisors)


def _metadata(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is not typing.Annotated:
        return []
    found: list[Any] = []
    for item in typing.get_args(annotation)[1:]:
        found += list(item) if isinstance(item, at.Interval) else [item]
    return found
