"""What a method or a component is: its settings, its signals, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sslcore.cli.suggestions import Meeting, alternatives, consumers, providers, stages_of, to_try
from sslcore.cli.tables import identity
from sslcore.contract.records import Component, Dataset, Method
from sslcore.contract.settings import REQUIRED, Setting, settings_of
from sslcore.contract.static_interface import static_interface
from sslcore.recipe.recipe import Training
from sslcore.recipe.toml import plain
from sslcore.recipe.wiring import STAGES, Stage
from sslcore.registry.registry import Entry, Registry

_SECTION = {"dataset": "data"}


def describe_component(entry: Entry, registry: Registry) -> dict[str, Any]:
    """Return a component as plain values; its own code is imported only if its source is unclear.

    Raises:
        SslcoreError: its code can neither be read nor imported.
    """
    assert isinstance(entry.record, Component)
    interface = static_interface(entry.build)
    section = _SECTION.get(entry.kind, entry.kind)
    stage = (entry, interface)
    first, variant = next(iter(interface.settings), None), entry.record.variant
    told = f"--{section} {entry.name}:{variant.upper()}, or " if variant else ""
    return plain(
        {
            "kind": entry.kind,
            **identity(entry),
            "summary": entry.record.summary,
            "reference": entry.record.reference,
            "needs": _needs(stage),
            "provides": list(interface.provides),
            "set with": f"{told}--set {section}.{variant or first}=…" if first else "",
            "goes with": [
                *(_meeting("needs", one, registry) for one in providers(stage, registry)),
                *(_meeting("provides", one, registry) for one in consumers(stage, registry)),
            ],
            "settings": [_setting(setting) for setting in interface.settings.values()],
            **_suggested(entry.record),
            "try": to_try(entry, registry, interface),
        }
    )


def describe_method(entry: Entry, registry: Registry) -> dict[str, Any]:
    """Return a method as plain values; nothing is imported."""
    method = entry.record
    assert isinstance(method, Method)
    shown: dict[str, Any] = {
        **identity(entry),
        "summary": method.summary,
        "reference": method.reference,
        **{kind: getattr(method, kind) or "none" for kind in STAGES},
        "evaluators": method.evaluators or "(the default ones)",
    }
    if method.teacher is not None:
        shown["teacher"] = asdict(method.teacher)
    stages = stages_of(method, registry) or stages_of(method, registry, clips=True) or []
    others = alternatives(method, registry)
    shown["stages"] = [
        {
            "kind": part.kind,
            "name": registry.address(part),
            "needs": _needs((part, interface)),
            "provides": list(interface.provides),
            "alternatives": [registry.address(other) for other in others.get(part.kind, ())],
        }
        for part, interface in stages
    ]
    shown["settings"] = list(_settings(method, stages))
    shown["try"] = to_try(entry, registry)
    return plain(shown)


def _needs(stage: Stage) -> list[str]:
    needs = stage[1].needs.items()
    return [name if needed else f"{name} (optional)" for name, needed in needs]


def _meeting(what: str, meeting: Meeting, registry: Registry) -> dict[str, Any]:
    return {
        "what": what if meeting.needed else f"{what} (optional)",
        "signal": meeting.signal,
        "engine": meeting.engine,
        "parts": [f"{part.kind} {registry.address(part)}" for part in meeting.parts],
    }


def _suggested(record: Component) -> dict[str, Any]:
    """Return what a data set suggests to other parts, where neither a method nor a user says."""
    if not isinstance(record, Dataset) or not record.defaults:
        return {}
    return {
        "suggests": {
            f"{section}.{name}": value
            for section, values in record.defaults.items()
            for name, value in values.items()
        }
    }


def _settings(method: Method, stages: Iterable[Stage]) -> Iterable[dict[str, Any]]:
    """Yield the settings of a method's parts and of training, with the method's own values."""
    known = [(part.kind, interface.settings) for part, interface in stages]
    for section, settings in [*known, ("training", settings_of(Training))]:
        own = {**method.defaults.get(section, {}), **method.settings.get(section, {})}
        for setting in settings.values():
            yield _setting(setting, section, own)
    # What an optimizer takes is torch's to say, which is slow to import.
    for name, value in method.settings.get("optimizer", {}).items():
        yield _setting(Setting(name, type(value), value), "optimizer", {})


def _setting(setting: Setting, section: str = "", own: Any = ()) -> dict[str, Any]:
    given = setting.name in own
    required = setting.default is REQUIRED and not given
    default = own[setting.name] if given else None if required else setting.default
    return {
        "name": f"{section}.{setting.name}" if section else setting.name,
        "type": setting.type,
        "required": required,
        "default": default,
        "help": setting.help,
    }
