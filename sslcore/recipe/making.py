"""From names and settings to one part, or to a recipe of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Component
from sslcore.errors import SettingsError, UsageError, nearest
from sslcore.recipe.recipe import Recipe
from sslcore.recipe.request import Request
from sslcore.recipe.resolve import resolve
from sslcore.recipe.toml import read_config
from sslcore.recipe.wiring import interface_of_entry
from sslcore.registry.registry import Registry, default_registry

Settings = Mapping[str, Mapping[str, Any]]


def build(kind: str, name: str, *, registry: Registry | None = None, **settings: Any) -> Any:
    """Build one component by name: `build("loss", "nt-xent", temperature=0.2)`.

    Args:
        kind: "augmentation", "encoder", "head", "loss", "evaluator" or "dataset".
        name: the component's name.
        registry: where to look; everything installed by default.
        **settings: its settings, and what the engine would supply (`feature_dim=512`).

    Raises:
        UsageError: unknown name or setting, or a value of the wrong type or range.
    """
    registry = registry or default_registry()
    name, variant = registry.variant(kind, name)
    settings = {**variant, **settings}
    entry = registry.resolve(kind, name)
    if not isinstance(entry.record, Component):
        raise UsageError(f"{entry} is a recipe: train it with sslcore.train")
    interface = interface_of_entry(entry)
    problems: list[str] = []
    valid: dict[str, Any] = {}
    for key, value in settings.items():
        if key in interface.supplied:
            valid[key] = value
        elif key not in interface.settings:
            known = [*interface.settings, *interface.supplied]
            problems.append(f"{kind}.{key}: no such setting{nearest(key, known)} ({entry})")
        else:
            try:
                valid[key] = interface.settings[key].validate(value)
            except ValueError as error:
                problems.append(f"{kind}.{key}: {error} ({entry})")
    for key, needed in interface.supplied.items():
        if needed and key not in valid:
            problems.append(f"{kind}.{key}: must be given where no engine supplies it ({entry})")
    if problems:
        raise SettingsError(problems)
    try:
        return load_reference(entry.build)(**valid)
    except ValueError as error:
        raise UsageError(f"{entry}: {error}") from error


def make_recipe(
    method: str | None = None,
    *,
    data: str | None = None,
    augmentation: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    loss: str | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, Any] | None = None,
    source: str = "",
    settings: Settings | Sequence[tuple[str, str, Any]] = (),
    registry: Registry | None = None,
) -> tuple[Recipe, list[str]]:
    """Return the recipe that these names and settings stand for, and notes on it.

    Args:
        method: the recipe to start from.
        data: a data set's name, or a path.
        augmentation: instead of the method's own.
        encoder: instead of the method's own.
        head: instead of the method's own; "none" for none.
        loss: instead of the method's own.
        evaluators: instead of the method's own.
        config: a TOML file of recipe sections, or such sections.
        source: what messages call the file that such sections were read from.
        settings: by section, `{"loss": {"temperature": 0.2}}`, or as (section, name, value).
        registry: where to look; everything installed by default.

    Raises:
        UsageError: see `sslcore.recipe.resolve.resolve`.
    """
    if isinstance(config, (str, Path)):
        tables, source = read_config(config), f"--config {config}"
    else:
        tables = dict(config or {})
    for told in ("images", "train_images", "versions"):
        tables.pop(told, None)
    request = Request(
        method=method,
        data=data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=evaluators,
        config=tables,
        source=source,
        settings=as_triples(settings),
    )
    return resolve(request, registry or default_registry())


def as_triples(
    settings: Settings | Sequence[tuple[str, str, Any]],
) -> list[tuple[str, str, Any]]:
    """Return settings by section as (section, name, value).

    Raises:
        UsageError: they are of neither form.
    """
    if not isinstance(settings, Mapping):
        triples = list(settings)
        for item in triples:
            if not (isinstance(item, (tuple, list)) and len(item) == 3):
                raise UsageError(
                    f"settings: expected ('loss', 'temperature', 0.2), got {item!r}; or by "
                    "section: {'loss': {'temperature': 0.2}}"
                )
        return triples
    for section, values in settings.items():
        if not isinstance(values, Mapping):
            first, dot, name = str(section).partition(".")
            example = {first: {name: values}} if dot else {"loss": {"temperature": 0.2}}
            raise UsageError(
                f"settings: expected values by section, as in {example!r}, got "
                f"{ {section: values}!r}"
            )
    return [
        (section, name, value)
        for section, values in settings.items()
        for name, value in values.items()
    ]
