"""What a user asked for: names and settings, from the command line and a configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sslcore.contract.settings import settings_of
from sslcore.errors import nearest
from sslcore.recipe.recipe import FROM, Training
from sslcore.recipe.wiring import STAGES
from sslcore.registry.registry import Entry

#: The sections that settings are in.
SECTIONS = ("data", *STAGES, "evaluator", "optimizer", "training", "teacher")

#: In a file, evaluators may have a table each.
_FILE_SECTIONS = (*SECTIONS, "evaluators")
#: Keys of a section of a file that say which part it is of, and where that came from.
_NOT_SETTINGS = ("name", FROM)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asked for; None means not said.

    Attributes:
        config: sections read from a configuration file.
        source: what messages call that file; empty where there is none.
        settings: (section, name, value), as `--set` gives them; later ones win.
    """

    method: str | None = None
    data: str | None = None
    augmentation: str | None = None
    encoder: str | None = None
    head: str | None = None
    loss: str | None = None
    evaluators: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    settings: Sequence[tuple[str, str, Any]] = ()

    def name_of(self, section: str) -> str | None:
        """Return the name asked for in a section: by option, by --set, or in the file."""
        if (option := getattr(self, section, None)) is not None:
            return option
        chosen = self.table(section).get("name")
        for asked, key, value in self.settings:
            if asked == section and key == "name":
                chosen = value
        return None if chosen is None else str(chosen)

    def settings_of(self, section: str, *names: str) -> dict[str, Any]:
        """Return the settings asked for in a section: from the file, then from --set.

        Args:
            section: the section.
            names: what the chosen part is called; the file's settings are left out where it
                gives them for a part of another name.
        """
        configured = self.table(section)
        name = configured.get("name")
        found = dict(configured) if name is None or not names or name in names else {}
        found |= {key: value for asked, key, value in self.settings if asked == section}
        return without_provenance(found)

    def told_by(self, section: str, name: str) -> str:
        """Return `" (in FILE)"` where the file is what gives a setting, or the name of a part."""
        asked = any((section, name) == (other, key) for other, key, _ in self.settings)
        if name == "name" and getattr(self, section, None):
            asked = True
        tables = [self.table(section)]
        if section == "evaluator":
            own = self.table("evaluators").values()
            tables += [table for table in own if isinstance(table, Mapping)]
        in_file = any(name in table for table in tables)
        if name == "name":
            in_file = in_file or section in self.config
        return f" (in {self.source})" if self.source and in_file and not asked else ""

    def table(self, section: str) -> Mapping[str, Any]:
        """Return a section of the configuration file, empty where there is none."""
        table = self.config.get(section, {})
        return table if isinstance(table, Mapping) else {}

    def problems(self) -> list[str]:
        """Return what names no section, in sentences."""
        found: list[str] = []
        for key, value in self.config.items():
            if isinstance(value, Mapping):
                if key not in _FILE_SECTIONS:
                    found.append(f"[{key}]: {_no_section(key, _FILE_SECTIONS)}")
            elif key not in ("method", FROM):
                found.append(_at_the_top(key, value))
        for name, table in self.table("evaluators").items():
            if not isinstance(table, Mapping):
                found.append(f"[evaluators]: expected a section [evaluators.{name}], got {table!r}")
        if self.source:
            found = [f"{self.source}: {problem}" for problem in found]
        for section, name, _ in self.settings:
            if section not in SECTIONS:
                found.append(f"{section}.{name}: {_no_section(section, SECTIONS)}")
        return found


def _at_the_top(key: str, value: Any) -> str:
    """Say where a key belongs that stands above all sections."""
    for section, known in (("training", settings_of(Training)), ("optimizer", ("lr",))):
        if key in known:
            return f"{key} belongs under [{section}]"
    if key in _FILE_SECTIONS:
        return f"{key}: expected a section [{key}], got {value!r}"
    return (
        f"{key}: only `method` stands above the sections, got {value!r}"
        f"{nearest(key, ('method', *_FILE_SECTIONS))}"
    )


def _no_section(section: str, known: Sequence[str]) -> str:
    return f"no such section{nearest(section, known)}; sections are {', '.join(known)}"


def without_provenance(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a section, without which part they are of."""
    return {key: value for key, value in table.items() if key not in _NOT_SETTINGS}


def addresses(entry: Entry) -> tuple[str, str]:
    """Return the names that a part answers to."""
    return entry.name, entry.qualified
