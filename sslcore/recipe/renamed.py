"""Settings that stand at another place today: older recipes and records keep their meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Section and name of a setting, and where it stands today.
_MOVED = {("training", "schedule"): ("schedule", "name")}


def renamed(assignments: Iterable[tuple[str, str, object]]) -> tuple[tuple[str, str, object], ...]:
    """Return settings given one by one, at their places of today."""
    return tuple(
        (*_MOVED.get((section, name), (section, name)), value)
        for section, name, value in assignments
    )


def settings_in(tables: Mapping[str, object], section: str) -> Mapping[str, object]:
    """Return the settings of a section, at their places of today; those of none are empty."""
    table = renamed_tables(tables).get(section, {})
    return table if isinstance(table, Mapping) else {}


def renamed_tables(tables: Mapping[str, object]) -> dict[str, object]:
    """Return sections with their settings at their places of today; what stands there already wins.

    Args:
        tables: by section, its settings.
    """
    found = dict(tables)
    for (section, name), (new_section, new_name) in _MOVED.items():
        table = found.get(section)
        if isinstance(table, Mapping) and name in table:
            found[section] = {key: value for key, value in table.items() if key != name}
            there = found.get(new_section, {})
            if isinstance(there, Mapping):
                found[new_section] = {new_name: table[name], **there}
    return found
