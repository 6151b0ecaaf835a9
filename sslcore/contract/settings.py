"""Settings: the typed keyword parameters of a component's class or function.

`temperature: Annotated[float, Gt(0)] = 0.5` is the whole declaration. It validates the value that a
user types, and the help shows it.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

import annotated_types as at

#: Stands for the default of a setting that has none and must be given.
REQUIRED = inspect.Parameter.empty

#: How None is written where there is only text: in TOML, and on the command line.
NONE_TEXT = "none"

_BOUNDS: tuple[tuple[type, str, str], ...] = (
    (at.Gt, "gt", ">"),
    (at.Ge, "ge", "≥"),
    (at.Lt, "lt", "<"),
    (at.Le, "le", "≤"),
    (at.MultipleOf, "multiple_of", "a multiple of"),
)


@dataclass(frozen=True)
class Setting:
    """One setting of a component.

    Attributes:
        name: the parameter's name.
        annotation: its type, with bounds as `annotated_types` metadata.
        default: its default, or `REQUIRED`.
        help: one or two sentences, from the docstring's `Args:`.
    """

    name: str
    annotation: Any
    default: Any
    help: str = ""

    @property
    def type(self) -> str:
        """The expected values, as text: `"a number > 0"`."""
        return describe(self.annotation)

    def validate(self, value: object) -> Any:
        """Return `value` as the annotated type.

        Raises:
            ValueError: it is of another type or out of range; the message says what is expected.
        """
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        if value == NONE_TEXT and isinstance(value, str) and _admits_none(self.annotation):
            # TOML has no null, so a recipe has None as text.
            value = None
        if self.annotation is inspect.Parameter.empty:
            return value
        if isinstance(value, bool) and not _admits_bool(self.annotation):
            raise ValueError(f"expected {self.type}, got {value!r}")
        if not _is_finite(value):
            raise ValueError(f"expected {self.type}, finite, got {value!r}")
        adapter: TypeAdapter[Any] = TypeAdapter(
            self.annotation, config=ConfigDict(arbitrary_types_allowed=True)
        )
        try:
            return adapter.validate_python(value)
        except ValidationError:
            raise ValueError(f"expected {self.type}, got {_shortened(value)}") from None


def _admits_none(annotation: object) -> bool:
    if annotation in (None, type(None), Any, object, inspect.Parameter.empty):
        return True
    if typing.get_origin(annotation) is typing.Literal:
        return None in typing.get_args(annotation)
    return any(_admits_none(part) for part in _parts(annotation))


def _shortened(value: object) -> str:
    try:
        said = repr(value)
    except ValueError:
        # Python refuses to spell out an integer of more than some thousand digits.
        return "a number of very many digits"
    return said if len(said) <= 200 else f"{said[:100]}…"


def _admits_bool(annotation: object) -> bool:
    """Whether True is a valid value: pydantic would otherwise read it as the number 1."""
    if annotation is bool or annotation is Any or annotation is object:
        return True
    if typing.get_origin(annotation) is typing.Literal:
        return any(isinstance(option, bool) for option in typing.get_args(annotation))
    return any(_admits_bool(part) for part in _parts(annotation))


def _is_finite(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def _parts(annotation: object) -> tuple[object, ...]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return typing.get_args(annotation)[:1]
    if origin in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return ()


def describe(annotation: Any) -> str:
    """Return the values that an annotation admits, as text: "an integer ≥ 1"."""
    if annotation is inspect.Parameter.empty or annotation is Any:
        return "any value"
    if annotation is None or annotation is type(None):
        return "none"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return " ".join([describe(arguments[0]), *_in_words(_bounds(arguments[1:]))])
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(option) for option in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return "(" + ", ".join(describe(argument) for argument in arguments) + ")"
    if origin is not None and arguments and origin in (tuple, list, set, frozenset):
        return f"a list, each {describe(arguments[0])}"
    plain = {float: "a number", int: "an integer", bool: "true or false", str: "text"}
    if origin is not None and arguments:
        return str(annotation)
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _in_words(bounds: list[str]) -> list[str]:
    """Say "from 0 to 1" where both ends are included; an end that is not keeps its symbol."""
    low = [bound for bound in bounds if bound.startswith("≥ ")]
    high = [bound for bound in bounds if bound.startswith("≤ ")]
    if len(low) != 1 or len(high) != 1:
        return bounds
    others = [bound for bound in bounds if bound not in (*low, *high)]
    return [f"from {low[0][2:]} to {high[0][2:]}", *others]


def _bounds(metadata: tuple[object, ...]) -> list[str]:
    words: list[str] = []
    for item in metadata:
        if isinstance(item, at.Interval):
            words += _bounds(tuple(item))
        elif isinstance(item, at.Len):
            words.append(
                f"of length {item.min_length}"
                + (
                    ""
                    if item.max_length == item.min_length
                    else f" to {item.max_length}"
                    if item.max_length
                    else " or more"
                )
            )
        elif isinstance(item, at.MinLen):
            words.append(f"of length {item.min_length} or more")
        for kind, attribute, symbol in _BOUNDS:
            if isinstance(item, kind):
                words.append(f"{symbol} {getattr(item, attribute)}")
    return words


def settings_of(target: Any, *, skip: frozenset[str] = frozenset()) -> dict[str, Setting]:
    """Return the settings that a class or function declares, in order.

    Args:
        target: a class (its constructor is read) or a function.
        skip: parameters that are not settings because somebody else supplies them.
    """
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    helps = docstring_arguments(inspect.getdoc(target) or "")
    found: dict[str, Setting] = {}
    for parameter in inspect.signature(target).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name in skip:
            continue
        found[parameter.name] = Setting(
            name=parameter.name,
            annotation=hints.get(parameter.name, parameter.annotation),
            default=parameter.default,
            help=helps.get(parameter.name, ""),
        )
    return found


def docstring_arguments(docstring: str) -> dict[str, str]:
    """Return the descriptions under `Args:` of a docstring, by parameter name."""
    found: dict[str, str] = {}
    inside, name, indent = False, "", 0
    for line in inspect.cleandoc(docstring).splitlines():
        text = line.strip()
        depth = len(line) - len(line.lstrip())
        if text == "Args:":
            inside, name, indent = True, "", 0
        elif inside and text and depth == 0:
            break
        elif inside and text:
            indent = indent or depth
            head, colon, rest = text.partition(":")
            if depth == indent and colon and head.isidentifier():
                name = head
                found[name] = rest.strip()
            elif name:
                found[name] += " " + text
    return found
