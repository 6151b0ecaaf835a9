"""The description of a method or a component: its settings and its signals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sslcore.cli.tables import identity
from sslcore.contract.interface import Interface
from sslcore.contract.records import Component, Dataset, Method, Preset
from sslcore.contract.settings import REQUIRED, Setting, settings_of
from sslcore.contract.stages import STAGES, section_of
from sslcore.contract.static_interface import static_interface
from sslcore.contract.training_parts import own_interface
from sslcore.errors import SslcoreError
from sslcore.recipe.recipe import Training
from sslcore.recipe.renamed import renamed_tables, settings_in
from sslcore.recipe.toml import plain
from sslcore.recipe.wiring import Stage
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry


def describe_component(entry: Entry) -> dict[str, object]:
    """Return a component as plain values; its code is imported only if its source is unclear.

    Raises:
        SslcoreError: its code can neither be read nor imported.
    """
    assert isinstance(entry.record, Component)
    interface = own_interface(entry.kind, static_interface(entry.build))
    section = section_of(entry.kind)
    first, variant = next(iter(interface.settings), None), entry.record.variant
    short = f"--{section} {entry.name}:{variant.upper()}, or " if variant else ""
    return plain(
        {
            "kind": entry.kind,
            **identity(entry),
            "summary": entry.record.summary,
            "reference": entry.record.reference,
            "needs": _needs((entry, interface)),
            "provides": list(_provides(entry.record, interface)),
            "set with": f"{short}--set {section}.{variant or first}=…" if first else "",
            "settings": [_setting(setting) for setting in interface.settings.values()],
            **_suggested(entry.record),
        }
    )


def describe_method(entry: Entry, registry: Registry) -> dict[str, object]:
    """Return a method as plain values; nothing is imported."""
    method = entry.record
    assert isinstance(method, Method)
    stages = list(_stages(method, registry))
    return plain(
        {
            **identity(entry),
            "summary": method.summary,
            "reference": method.reference,
            **{kind: getattr(method, kind) or "none" for kind in STAGES},
            **({"data": method.data} if method.data else {}),
            "evaluators": method.evaluators or "(the default ones)",
            **({} if method.teacher is None else {"teacher": method.teacher.table()}),
            "stages": [
                {
                    "kind": part.kind,
                    "name": registry.address(part),
                    "needs": _needs((part, interface)),
                    "provides": list(interface.provides),
                }
                for part, interface in stages
            ],
            "presets": [_preset(preset) for preset in method.presets],
            "settings": list(_settings(method, stages)),
        }
    )


def _stages(method: Method, registry: Registry) -> Iterator[Stage]:
    """Yield the stages that a method names and that are installed."""
    for kind in STAGES:
        named = getattr(method, kind) or ()
        for name in (named,) if isinstance(named, str) else named:
            try:
                entry = registry.resolve(kind, name)
                yield entry, static_interface(entry.build)
            except SslcoreError:
                continue


def _needs(stage: Stage) -> list[str]:
    needs = stage[1].needs.items()
    return [name if needed else f"{name} (optional)" for name, needed in needs]


def _provides(record: Component, interface: Interface) -> Iterable[str]:
    """Return the signals of a part, or of the images of a data set."""
    return record.provides if isinstance(record, Dataset) else interface.provides


def _suggested(record: Component) -> dict[str, object]:
    """Return the settings that a data set suggests to other parts."""
    if not isinstance(record, Dataset) or not record.defaults:
        return {}
    return {
        "suggests": {
            f"{section}.{name}": value
            for section, values in record.defaults.items()
            for name, value in values.items()
        }
    }


def _preset(preset: Preset) -> dict[str, object]:
    """Return a preset with its settings by name, and the images for which it is taken."""
    images = f"images up to {preset.up_to} px"
    images = "images of any other size" if preset.up_to is None else images
    images = "data sets that name it" if preset.up_to == 0 else images
    teacher = {} if preset.teacher is None else preset.teacher.table()
    return {
        "name": preset.name,
        "for": images,
        "summary": preset.summary,
        "reference": preset.reference,
        "settings": {
            **({} if preset.encoder is None else {"encoder": preset.encoder}),
            **_flat(renamed_tables(preset.defaults)),
            **_flat(renamed_tables(preset.settings)),
            **{
                f"teacher.{name}": teacher[name]
                for name in ("momentum", "final_momentum")
                if name in teacher
            },
        },
    }


def _flat(sections: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return settings by name, `{"optimizer.bias.weight_decay": 0.0}`."""
    found: dict[str, object] = {}
    for name, value in sections.items():
        key = f"{prefix}{name}"
        found |= _flat(value, f"{key}.") if isinstance(value, Mapping) else {key: value}
    return found


def _settings(method: Method, stages: Iterable[Stage]) -> Iterator[dict[str, object]]:
    """Yield the settings of a method's parts and of training, with the method's own values."""
    known = [(part.kind, interface.settings) for part, interface in stages]
    for section, settings in [*known, ("training", settings_of(Training))]:
        own = {**method.defaults.get(section, {}), **method.settings.get(section, {})}
        for setting in settings.values():
            yield _setting(setting, section, own)
    for section in ("optimizer", "schedule"):
        own = {**settings_in(method.defaults, section), **settings_in(method.settings, section)}
        for name, value in _flat(own).items():
            yield _setting(Setting(name, type(value), value), section, {})


def _setting(
    setting: Setting, section: str = "", own: Mapping[str, object] | None = None
) -> dict[str, object]:
    values = own or {}
    required = setting.default is REQUIRED and setting.name not in values
    return {
        "name": f"{section}.{setting.name}" if section else setting.name,
        "type": setting.type,
        "required": required,
        "default": None if required else values.get(setting.name, setting.default),
        "help": setting.help,
    }
