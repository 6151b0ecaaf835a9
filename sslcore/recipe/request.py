"""What a user asked for: names and settings, from options, `--set` and a configuration file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sslcore.contract.settings import settings_of
from sslcore.contract.stages import DATA_SECTIONS, FILE_SECTIONS, SECTIONS, STAGES
from sslcore.errors import UsageError, nearest
from sslcore.recipe.recipe import FROM, RUN_TABLES, Training
from sslcore.recipe.renamed import renamed, renamed_tables
from sslcore.recipe.toml import read_config

#: The sections whose part an option names.
_NAMED_BY_OPTION = (*DATA_SECTIONS, *STAGES)
#: Keys of a section of a file that name the part and its origin.
_NOT_SETTINGS = ("name", FROM)

#: A setting as `--set` gives it: section, name and value.
Assignment = tuple[str, str, object]
#: Settings by section, `{"loss": {"temperature": 0.2}}`, or one by one.
Settings = Mapping[str, Mapping[str, object]] | Sequence[Assignment]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asked for; None and empty mean that it was left open.

    Attributes:
        method: the method to start from.
        data: a data set's name, or a path.
        eval_data: the same for the images that evaluators use; "none" for those of `data`.
        augmentation: in place of the method's default.
        encoder: in place of the method's default.
        head: in place of the method's default; "none" for no head.
        loss: in place of the method's default.
        evaluators: in place of the method's default.
        config: sections read from a configuration file.
        source: the file that messages name; empty where there is none.
        settings: later ones win.
    """

    method: str | None = None
    data: str | None = None
    eval_data: str | None = None
    augmentation: str | None = None
    encoder: str | None = None
    head: str | None = None
    loss: str | None = None
    evaluators: Sequence[str] = ()
    config: Mapping[str, object] = field(default_factory=dict)
    source: str = ""
    settings: Sequence[Assignment] = ()

    @classmethod
    def of(
        cls,
        *,
        config: str | Path | Mapping[str, object] | None = None,
        source: str = "",
        settings: Settings = (),
        evaluators: Sequence[str] = (),
        **names: str | None,
    ) -> Request:
        """Return the request for names, settings and a configuration file.

        Args:
            config: a TOML file of sections, or the sections.
            source: the file that messages name, where `config` holds sections.
            settings: by section, or as (section, name, value).
            evaluators: names.
            **names: `method`, `data`, `eval_data` and the kinds of stages.

        Raises:
            UsageError: the file can't be read, or the settings have neither form.
        """
        if isinstance(config, (str, Path)):
            config, source = read_config(config), f"--config {config}"
        tables = {key: item for key, item in (config or {}).items() if key not in RUN_TABLES}
        tables = renamed_tables(tables)
        return cls(
            evaluators=tuple(evaluators),
            config=tables,
            source=source,
            settings=renamed(assigned(settings)),
            **names,
        )

    def asked(self, section: str) -> dict[str, object]:
        """Return what options and `--set` give in a section; an option wins over `--set`."""
        found = {name: value for where, name, value in self.settings if where == section}
        option = getattr(self, section) if section in _NAMED_BY_OPTION else None
        if option is not None:
            found["name"] = option
        return found

    def table(self, section: str) -> Mapping[str, object]:
        """Return a section of the configuration file, empty where it has none."""
        table = self.config.get(section, {})
        return table if isinstance(table, Mapping) else {}

    def name_of(self, section: str) -> str | None:
        """Return the name asked for in a section: by an option, by `--set`, or in the file."""
        name = self.asked(section).get("name", self.table(section).get("name"))
        return None if name is None else str(name)

    def settings_of(self, section: str, *names: str) -> dict[str, object]:
        """Return the settings asked for in a section: from the file, then from `--set`.

        Args:
            section: the section.
            names: names of the chosen part; the file's settings count only where the file gives
                them for a part of one of these names, or names no part.
        """
        configured = self.table(section)
        name = configured.get("name")
        applies = name is None or not names or name in names
        return without_provenance({**(configured if applies else {}), **self.asked(section)})

    def origin_of(self, section: str, name: str) -> str:
        """Return `" (in FILE)"` where the file gives a setting, or the name of a part."""
        tables = [self.table(section)]
        if section == "evaluator":
            own = self.table("evaluators").values()
            tables += [table for table in own if isinstance(table, Mapping)]
        in_file = any(name in table for table in tables)
        in_file = in_file or (name == "name" and section in self.config)
        asked = name in self.asked(section)
        return f" (in {self.source})" if self.source and in_file and not asked else ""

    def with_variant(self, section: str, bare: str, given: Mapping[str, object]) -> Request:
        """Return the request with the name of a section split into a bare name and settings."""
        table, config = self.table(section), self.config
        if table.get("name") == self.name_of(section):
            config = {**config, section: {**table, "name": bare}}
        # A setting that `--set` gives as well comes later, and wins.
        settings = (*((section, name, value) for name, value in given.items()), *self.settings)
        return replace(self, config=config, settings=settings, **{section: bare})

    def without(self, section: str) -> Request:
        """Return the request without the settings of a section."""
        config = {name: table for name, table in self.config.items() if name != section}
        kept = tuple(item for item in self.settings if item[0] != section)
        return replace(self, config=config, settings=kept)

    def problems(self) -> list[str]:
        """Return a sentence for each thing that belongs to no section."""
        found: list[str] = []
        for key, value in self.config.items():
            if isinstance(value, Mapping):
                if key not in FILE_SECTIONS:
                    found.append(f"[{key}]: {_no_section(key, FILE_SECTIONS)}")
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


def without_provenance(table: Mapping[str, object]) -> dict[str, object]:
    """Return the settings of a section, without the name and the origin of their part."""
    return {key: value for key, value in table.items() if key not in _NOT_SETTINGS}


def _at_the_top(key: str, value: object) -> str:
    """Return where a key belongs that a file has above all sections."""
    for section, known in (("training", settings_of(Training)), ("optimizer", ("lr",))):
        if key in known:
            return f"{key} belongs under [{section}]"
    if key in FILE_SECTIONS:
        return f"{key}: expected a section [{key}], got {value!r}"
    return (
        f"{key}: only `method` stands above the sections, got {value!r}"
        f"{nearest(key, ('method', *FILE_SECTIONS))}"
    )


def _no_section(section: str, known: Sequence[str]) -> str:
    return f"no such section{nearest(section, known)}; sections are {', '.join(known)}"


def assigned(settings: Settings) -> tuple[Assignment, ...]:
    """Return settings by section as (section, name, value).

    Raises:
        UsageError: they have neither form.
    """
    if not isinstance(settings, Mapping):
        for item in settings:
            if not (isinstance(item, (tuple, list)) and len(item) == 3):
                raise UsageError(
                    f"settings: expected ('loss', 'temperature', 0.2), got {item!r}; or by "
                    "section: {'loss': {'temperature': 0.2}}"
                )
        return tuple(settings)
    for section, values in settings.items():
        if not isinstance(values, Mapping):
            first, dot, name = str(section).partition(".")
            example = {first: {name: values}} if dot else {"loss": {"temperature": 0.2}}
            raise UsageError(
                f"settings: expected values by section, as in {example!r}, got "
                f"{ {section: values}!r}"
            )
    return tuple(
        (section, name, value)
        for section, values in settings.items()
        for name, value in values.items()
    )


def init_settings(init: object, part: str | None) -> list[Assignment]:
    """Return the settings for the weights that the encoder begins with.

    Args:
        init: a run or a file; None for drawn weights.
        part: which of its weights; None for the encoder.
    """
    found: list[Assignment] = []
    if init is not None:
        found.append(("init", "path", str(init)))
    if part is not None:
        found.append(("init", "part", part))
    return found
