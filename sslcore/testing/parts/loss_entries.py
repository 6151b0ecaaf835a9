"""Specs for the records of losses."""

from __future__ import annotations

import functools
from typing import Any

from sslcore.contract.interface import interface_of, load_reference
from sslcore.contract.records import Loss
from sslcore.errors import UsageError
from sslcore.registry.loading import Entry
from sslcore.testing.losses.signal_shapes import asked_by
from sslcore.testing.losses.spec import LossSpec
from sslcore.testing.parts.settings import required_settings


def loss_specs(entry: Entry, target: Any) -> list[LossSpec]:
    """Return the spec that checks a loss; none if it takes signals that can't be drawn.

    Args:
        entry: the record of the loss.
        target: its class.

    Raises:
        SslcoreError: the code that the record names can't be imported.
        UsageError: its points are no list of signals and values.
    """
    record = entry.record
    assert isinstance(record, Loss)
    family: Any = load_reference(record.family) if ":" in record.family else record.family
    if family:
        return [LossSpec(_made_of(target, num_views=2), family, name=f"loss {entry.name}")]
    points = _points(record)
    if not points and unknown_signals(target):
        return []
    return [
        LossSpec(
            _made_of(target),
            "custom",
            name=f"loss {entry.name}",
            reference=load_reference(record.formula) if record.formula else None,
            points=points,
        )
    ]


def unknown_signals(target: Any) -> tuple[str, ...]:
    """Return the signals of a class of losses whose shape is not known."""
    asked = asked_by(target)
    return () if asked is None else asked.unknown


def _points(record: Loss) -> list[Any]:
    if not record.points:
        return []
    found = load_reference(record.points)()
    try:
        return [
            (dict(signals), None if value is None else float(value)) for signals, value in found
        ]
    except (TypeError, ValueError):
        raise UsageError(
            f"loss {record.name}: {record.points} must return pairs of signals by name and a "
            f"number or None, got {found!r:.200}"
        ) from None


def _made_of(target: Any, **values: Any) -> Any:
    """Return the class with settings that have no default, and with supplied values."""
    interface = interface_of(target)
    supplied = {name: values[name] for name in values if interface.supplied.get(name)}
    taken = {**supplied, **required_settings(interface)}
    return functools.partial(target, **taken) if taken else target
