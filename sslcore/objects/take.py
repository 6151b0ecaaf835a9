"""Objects in place of names: each becomes a record of a registry derived for one call."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from torch import nn

from sslcore.contract.hooks import hookimpl
from sslcore.contract.records import KINDS, Dataset, Loss, Method, Record
from sslcore.contract.stages import DATA_SECTIONS, EVAL_DATA, STAGES, kind_of
from sslcore.errors import UsageError
from sslcore.objects.dataset import data_source, extras_of
from sslcore.objects.held import reference_to
from sslcore.objects.losses import asks_for_labels, loss_part
from sslcore.objects.modules import Source, encoder_part, head_part
from sslcore.objects.names import qualified_name, short_name
from sslcore.objects.views import augmentation_part
from sslcore.registry.discovery import Candidate
from sslcore.registry.origin import OBJECT, Origin
from sslcore.registry.registry import Registry

#: The method of a call that names none and gives the parts themselves.
OWN_PARTS = "own-parts"
_OWN_METHOD = f"{OBJECT}:{OWN_PARTS}"

#: What stands in for a name, by section.
_EXPECTED = {
    **dict.fromkeys(DATA_SECTIONS, "a name, a path, a map-style data set, a Split or a Data"),
    "augmentation": "a name, or a function of an image such as a transform of torchvision.v2",
    "encoder": "a name, an nn.Module, or a class or function that makes one",
    "head": "a name, an nn.Module, or a class or function that makes one",
    "loss": "a name, a function of signals, or an nn.Module",
}

_ADAPTERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(DATA_SECTIONS, data_source),
    "augmentation": augmentation_part,
    "encoder": lambda given: encoder_part(Source("encoder", given)),
    "head": lambda given: head_part(Source("head", given)),
    "loss": loss_part,
}


@dataclass(frozen=True)
class Taken:
    """Names for what a call was given, and the registry that knows them.

    Attributes:
        registry: the registry of the call, which keeps the objects.
        names: by section, the name given, or that of the object.
        objects: the sections whose part is an object.
        own_weights: qualified names of the instances among them, whose weights a run begins with.
        method: the name of the method that the parts make, where that was asked for.
    """

    registry: Registry
    names: Mapping[str, str | None]
    objects: frozenset[str]
    own_weights: tuple[str, ...]
    method: str | None


class _Plugin:
    """A plugin of one record; it keeps the code behind the record alive."""

    def __init__(self, record: Record, target: object = None) -> None:
        self.target = target
        hook = f"sslcore_{record.kind}{'es' if record.kind.endswith('s') else 's'}"
        setattr(self, hook, hookimpl(lambda: [record]))


def take(
    registry: Registry,
    given: Mapping[str, object],
    *,
    method: bool = False,
    recorded: Mapping[str, object] | None = None,
) -> Taken:
    """Return names for the objects of a call; without objects, the registry as it is.

    Args:
        registry: the registry to derive from; it is not changed.
        given: by section, a name, an object or None.
        method: whether the parts make a method of their own, since none is named.
        recorded: the recipe of the run that the call is about, or the configuration it begins with.

    Raises:
        UsageError: an object is none that its section takes.
    """
    recorded = recorded or {}
    derived = registry.derived()
    names: dict[str, str | None] = {}
    instances: list[str] = []
    for section, value in given.items():
        if value is None or isinstance(value, str):
            names[section] = value
        elif section in DATA_SECTIONS and isinstance(value, PurePath):
            names[section] = _path(value)
        else:
            record, target = _record(section, value)
            origin = _origin(value, record)
            _register(derived, record, origin, target)
            names[section] = origin.qualified(record.name)
            if isinstance(value, nn.Module) and section in ("encoder", "head", "loss"):
                instances += [qualified_name(value)] if value.state_dict() else []
    objects = frozenset(
        section
        for section, name in names.items()
        if name is not None and not isinstance(given[section], (str, PurePath))
    )
    own: dict[str, object] = {"method": _OWN_METHOD}
    own |= {section: {"name": name} for section, name in names.items() if name}
    complete = bool(objects) and all(each in own for each in ("augmentation", "encoder", "loss"))
    makes_method = method and "method" not in recorded and complete
    _register_method(derived, own if makes_method else recorded)
    named = _OWN_METHOD if makes_method else None
    return Taken(derived, names, objects, tuple(instances), named)


def check_given(taken: Taken, recorded: Mapping[str, object], but: tuple[str, ...] = ()) -> None:
    """Refuse an object that is not one of those that a run was trained with.

    Args:
        taken: what the call was given.
        recorded: the recipe of the run.
        but: sections in which another object may be given.

    Raises:
        UsageError: the run has another part there.
    """
    for section in sorted(taken.objects - set(but)):
        table = recorded.get(section)
        name = table.get("name") if isinstance(table, Mapping) else None
        if name != taken.names[section]:
            raise UsageError(
                f"{section}: the run was trained with {name}, and {taken.names[section]} is given; "
                + (
                    "give the object that it was trained with"
                    if str(name).startswith(f"{OBJECT}:")
                    else "leave it out: what has a name is found by it"
                )
            )


def _path(path: PurePath) -> str:
    """Return the text of a path, which can't be mistaken for a name."""
    text = str(path)
    return text if os.sep in text or text.startswith(("~", ".")) else f".{os.sep}{text}"


def _record(section: str, value: object) -> tuple[Record, object]:
    if section in STAGES and not (
        callable(value) if section in ("augmentation", "loss") else _makes_module(value)
    ):
        raise UsageError(
            f"{section}: expected {_EXPECTED[section]}, got {type(value).__name__} {value!r:.40}"
        )
    target = _ADAPTERS[section](value)
    kind = kind_of(section)
    name = short_name(value[0] if isinstance(value, tuple) else value)
    facts: dict[str, Any] = {
        # Both data sets may be objects of one class.
        "name": f"eval-{name}" if section == EVAL_DATA else name,
        "summary": f"A Python object: {qualified_name(value)}",
        "build": reference_to(target),
    }
    if KINDS[kind] is Loss:
        facts["supervised"] = asks_for_labels(target)
    if KINDS[kind] is Dataset:
        facts["provides"] = extras_of(value)
    return KINDS[kind](**facts), target


def _makes_module(value: object) -> bool:
    if inspect.isclass(value):
        return issubclass(value, nn.Module)
    return isinstance(value, nn.Module) or callable(value)


def _origin(value: object, record: Record) -> Origin:
    whose = value[0] if isinstance(value, tuple) else value
    # A head and an encoder may be of one class.
    return Origin(f"{record.kind}-{record.name}", OBJECT, qualified_name(whose))


def _register(registry: Registry, record: Record, origin: Origin, target: object = None) -> None:
    plugin = _Plugin(record, target)
    registry.load(Candidate(origin, origin.plugin, lambda: plugin))


def _register_method(registry: Registry, recipe: Mapping[str, object]) -> None:
    """Register the method of a recipe, where it is one of parts that were given."""
    if recipe.get("method") != _OWN_METHOD:
        return
    tables = {section: recipe.get(section) for section in STAGES}
    parts: dict[str, Any] = {
        section: None if table is None else table.get("name")
        for section, table in tables.items()
        if table is None or isinstance(table, Mapping)
    }
    if parts.get("head") == "none":
        parts["head"] = None
    record = Method(name=OWN_PARTS, summary="The parts that were given from Python", **parts)
    _register(registry, record, Origin(OWN_PARTS, OBJECT, "sslcore"))
