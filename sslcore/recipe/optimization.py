"""The optimizer and the schedules of a recipe: names looked up, settings and tables validated."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge

from sslcore.contract.interface import load_reference
from sslcore.contract.records import Optimizer, Schedule
from sslcore.contract.settings import REQUIRED, Setting
from sslcore.contract.training_parts import COMMON_ROLES, PARAMETER_ROLES
from sslcore.errors import UnknownNameError, UsageError, nearest
from sslcore.recipe.names import Choice
from sslcore.recipe.recipe import FROM, Groups, Part
from sslcore.recipe.renamed import settings_in
from sslcore.recipe.request import Request, without_provenance
from sslcore.recipe.suggestions import suggested_to
from sslcore.recipe.validation import Validation
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry

_LR_PER = Setting("lr_per", Annotated[int, Ge(1)] | None, None)

#: The settings of the engine in a table of a role.
_OF_ROLE = {
    "schedule": Setting("schedule", str, ""),
    "frozen_epochs": Setting("frozen_epochs", Annotated[float, Ge(0)], 0.0),
}

_Tables = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True)
class Optimization:
    """The optimizer and the schedule of a recipe, and the groups of parameters."""

    optimizer: Part
    schedule: Part
    groups: Groups

    def name_of(self, schedule: str) -> str:
        """Return the name in the recipe of a schedule, which may be named in another way."""
        part = self.groups.schedules.get(schedule)
        return schedule if part is None else part.address


class Finder:
    """Finds what a request, its method and its data set ask for.

    Args:
        request: what the user asked for.
        choice: the parts of the recipe.
        validation: collects problems with settings.
        registry: the installed parts.
        named: further schedules: by setting, for messages, a name. An empty name is the default
            schedule.
    """

    def __init__(
        self,
        request: Request,
        choice: Choice,
        validation: Validation,
        registry: Registry,
        named: Mapping[str, str],
    ) -> None:
        self.request, self.choice = request, choice
        self.validation, self.registry, self.named = validation, registry, named
        #: What may name one, from the weakest.
        self.layers = (choice.method.defaults, choice.dataset.defaults, choice.method.settings)

    def found(self) -> Optimization:
        """Return the optimizer, the schedules and the groups.

        Raises:
            UsageError: an unknown name, or nothing is installed.
        """
        schedule = self._entry("schedule")
        values, _ = self._values("schedule", schedule)
        valid = self.validation.settings(
            "schedule", schedule.interface().settings, values, schedule.owner
        )
        entry = self._entry("optimizer")
        optimizer, groups = self._optimizer(entry)
        return Optimization(optimizer, Part.of(schedule, valid or {}), groups)

    def _optimizer(self, entry: Entry) -> tuple[Part, Groups]:
        record, known = entry.record, entry.interface().settings
        assert isinstance(record, Optimizer)
        values, tables = self._values("optimizer", entry)
        all_known = {**known, _LR_PER.name: _LR_PER}
        valid = self.validation.settings("optimizer", all_known, values, entry.owner) or {}
        lr_per = valid.pop(_LR_PER.name, None)
        # A recipe leaves out settings that keep the optimizer's own default.
        stated = {name: value for name, value in valid.items() if name in values}
        if lr_per is not None and "lr" in valid:
            stated["lr"] = valid["lr"]
        roles = self._roles(entry, known, tables)
        schedules = self._schedules(roles)
        return Part.of(entry, stated), Groups(lr_per, roles, schedules, record.fused)

    def _entry(self, kind: str) -> Entry:
        """Return the optimizer or schedule that is named last, or the default one."""
        asked = self.request.name_of(kind)
        if asked is not None:
            try:
                return find_in_any_case(self.registry, kind, asked)
            except UsageError as error:
                raise type(error)(f"{error}{self.request.origin_of(kind, 'name')}") from None
        for layer in reversed(self.layers):
            name = settings_in(layer, kind).get("name")
            if name is not None:
                return find_in_any_case(self.registry, kind, str(name))
        return self._found(kind, "")

    def _found(self, kind: str, name: str) -> Entry:
        """Return the record of a name; of an empty one, the default record."""
        if name:
            return find_in_any_case(self.registry, kind, name)
        for entry in self.registry.entries(kind):
            if isinstance(entry.record, (Optimizer, Schedule)) and entry.record.default:
                return entry
        known = ", ".join(self.registry.names(kind))
        one_of = f", one of {known}" if known else f"; no plugin offers a {kind}"
        raise UsageError(f"no {kind} is given: use --set {kind}.name=NAME{one_of}")

    def _values(self, kind: str, entry: Entry) -> tuple[dict[str, object], dict[str, Any]]:
        """Return the settings of an optimizer or schedule, and its tables, which are merged."""
        would, must = self.choice.method.defaults, self.choice.method.settings
        values: dict[str, object] = {}
        tables: dict[str, dict[str, object]] = {}
        for layer in (settings_in(would, kind), None, settings_in(must, kind)):
            if layer is None:
                table: Mapping[str, object] = suggested_to(
                    entry, self.choice.dataset, self.registry
                )
            elif self._is_for(kind, layer, entry):
                table = without_provenance(layer)
            else:
                # The engine's settings for a role mean the same to any optimizer.
                _, by_role = _split(layer)
                table = {role: _only(each, _OF_ROLE) for role, each in by_role.items()}
            own, by_role = _split(table)
            values |= own
            _merge(tables, by_role)
        own, by_role = _split(self._asked(kind, entry))
        _merge(tables, by_role)
        return values | own, {role: table for role, table in tables.items() if table}

    def _is_for(self, kind: str, table: Mapping[str, object], entry: Entry) -> bool:
        """Whether the settings in a table of the method belong to an optimizer or schedule."""
        layers = (self.choice.method.defaults, self.choice.method.settings)
        named = [settings_in(layer, kind).get("name") for layer in layers]
        own = table.get("name") or next((name for name in reversed(named) if name), None)
        if own is None:
            # A method that names none has the default one in mind.
            return self._found(kind, "") == entry
        return self._is(kind, str(own), entry)

    def _is(self, kind: str, name: str, entry: Entry) -> bool:
        with suppress(UsageError):
            return find_in_any_case(self.registry, kind, name) == entry
        return False

    def _asked(self, kind: str, entry: Entry) -> dict[str, object]:
        configured = self.request.table(kind).get("name")
        same = configured is None or self._is(kind, str(configured), entry)
        return self.request.settings_of(kind, *([] if same else entry.addresses))

    def _roles(self, entry: Entry, known: Mapping[str, Setting], tables: _Tables) -> _Tables:
        """Return the tables of roles that some parameter may have, validated."""
        named = set(self._named_roles())
        roles = (*COMMON_ROLES, *sorted(named))
        _, asked = _split(self.request.settings_of("optimizer"))
        # Tables have no settings that must be given.
        optional = {
            name: item if item.default is not REQUIRED else replace(item, default=None)
            for name, item in known.items()
        }
        found: dict[str, dict[str, object]] = {}
        for role, table in tables.items():
            if role not in roles:
                # A method's table is left out where its part was replaced.
                if role in asked:
                    self.validation.problems.append(
                        f"optimizer.{role}: no parameter has this role{nearest(role, roles)}; "
                        f"roles are {', '.join(roles)}"
                    )
                continue
            valid = self.validation.settings(
                f"optimizer.{role}", {**optional, **_OF_ROLE}, table, entry.owner
            )
            found[role] = _only(valid or {}, table)
        return found

    def _named_roles(self) -> Iterator[str]:
        for entry, _ in self.choice.stages:
            roles = getattr(load_reference(entry.build), PARAMETER_ROLES, {})
            if not isinstance(roles, Mapping) or not all(
                isinstance(text, str) for pair in roles.items() for text in pair
            ):
                raise UsageError(
                    f"{entry}: {PARAMETER_ROLES} must map beginnings of names to roles, got "
                    f"{roles!r}"
                )
            yield from roles.values()

    def _schedules(self, roles: _Tables) -> dict[str, Part]:
        """Return the schedules that are named beside that of the learning rate, by name."""
        named = {f"optimizer.{role}.schedule": each.get("schedule") for role, each in roles.items()}
        found: dict[str, Part] = {}
        for where, name in {**self.named, **named}.items():
            if name is not None:
                part = self._plain_schedule(where, str(name))
                found |= {str(name): part, part.address: part}
        return found

    def _plain_schedule(self, where: str, name: str) -> Part:
        try:
            entry = self._found("schedule", name)
        except UsageError as error:
            raise type(error)(f"{where}: {error}") from None
        known = entry.interface().settings
        if missing := [each for each, item in known.items() if item.default is REQUIRED]:
            raise UsageError(
                f"{where}: {entry} can't be named here, since {', '.join(missing)} must be given"
            )
        return Part.of(entry, {each: item.default for each, item in known.items()})


def find_in_any_case(registry: Registry, kind: str, name: str) -> Entry:
    """Return the record of a name, whose letters may be of any case: `AdamW` means `adamw`.

    Raises:
        UsageError: it is unknown, or several plugins offer it.
    """
    try:
        return registry.resolve(kind, name)
    except UnknownNameError as error:
        distribution, colon, bare = name.rpartition(":")
        with suppress(UnknownNameError):
            return registry.resolve(kind, f"{distribution}{colon}{bare.casefold()}")
        raise error from None


def _split(table: Mapping[str, object]) -> tuple[dict[str, object], dict[str, dict[str, object]]]:
    """Return the settings of a section, and its tables: of `bias.lr` too, as `--set` gives it."""
    own: dict[str, object] = {}
    tables: dict[str, dict[str, object]] = {}
    for name, value in table.items():
        role, dot, setting = name.partition(".")
        if dot:
            tables.setdefault(role, {})[setting] = value
        elif isinstance(value, Mapping):
            tables.setdefault(name, {}).update(
                {key: item for key, item in value.items() if key != FROM}
            )
        else:
            own[name] = value
    return own, tables


def _merge(tables: dict[str, dict[str, object]], more: _Tables) -> None:
    for role, table in more.items():
        tables.setdefault(role, {}).update(table)


def _only(values: Mapping[str, object], known: Container[str]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in known}
