"""From what a user asked for to a recipe: names looked up, settings layered and validated.

A setting's value comes from the last of these that has it: the signature's default, the data
set's defaults, the method, the configuration file, `--set`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import annotated_types as at

from sslcore.components import Dataset, Evaluator, Method, Teacher
from sslcore.composition import STAGES, Stage, interface_of_entry, problems_of, takes
from sslcore.errors import CompositionError, SettingsError, UnknownNameError, UsageError, nearest
from sslcore.interface import SUPPLIED, Interface
from sslcore.recipe import Part, Recipe, Training
from sslcore.registry import Entry, Registry
from sslcore.settings import REQUIRED, Setting, settings_of

_SECTIONS = ("data", *STAGES, "evaluator", "optimizer", "training", "teacher")
_NOT_SETTINGS = ("name", "from")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asked for; None means not said.

    Attributes:
        config: sections read from a configuration file.
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
    settings: Sequence[tuple[str, str, Any]] = ()


@dataclass
class _Layers:
    """Values of one section from several sources, in the order of precedence."""

    values: dict[str, Any] = field(default_factory=dict)

    def add(self, values: Mapping[str, Any]) -> None:
        self.values |= {key: item for key, item in values.items() if key not in _NOT_SETTINGS}


class _Resolver:
    def __init__(self, request: Request, registry: Registry) -> None:
        self.request, self.registry = request, registry
        self.problems: list[str] = []
        self.config = {
            key: value for key, value in request.config.items() if isinstance(value, Mapping)
        }

    def resolve(self) -> tuple[Recipe, list[str]]:
        self._check_sections()
        method_entry = self._method()
        method = method_entry.record
        assert isinstance(method, Method)
        data_entry, path = self._data()
        dataset = data_entry.record
        assert isinstance(dataset, Dataset)

        chosen: dict[str, Entry | None] = {"augmentation": self._augmentation(method, dataset)}
        for kind in ("encoder", "head", "loss"):
            chosen[kind] = self._stage(kind, getattr(method, kind))
        stages: list[Stage] = [
            (entry, interface_of_entry(entry)) for entry in chosen.values() if entry is not None
        ]
        teacher = self._teacher(method)
        evaluators, notes = self._evaluators(method, stages)

        given = {"path": path} if path else {}
        data = self._part("data", data_entry, interface_of_entry(data_entry), {}, {}, given)
        parts = {
            entry.kind: self._part(
                entry.kind,
                entry,
                interface,
                dataset.defaults,
                method.settings if self._is_methods_own(method, entry) else {},
            )
            for entry, interface in stages
        }
        evaluator_parts = self._evaluator_parts(evaluators, dataset, method)
        optimizer, optimizer_settings = self._optimizer(dataset, method)
        training = self._training(dataset, method)
        self._check_headless(chosen["head"])
        if self.problems:
            raise SettingsError(self.problems)
        misfits = problems_of(
            stages,
            evaluators,
            clips=dataset.clips,
            teacher=teacher is not None,
            registry=self.registry,
        )
        if misfits:
            raise CompositionError("\n".join(misfits))
        recipe = Recipe(
            method=method.name if method_entry.shipped else method_entry.qualified,
            data=data,
            augmentation=parts["augmentation"],
            encoder=parts["encoder"],
            head=parts.get("head"),
            loss=parts["loss"],
            evaluators=evaluator_parts,
            optimizer=optimizer,
            optimizer_settings=optimizer_settings,
            training=training,
            teacher=teacher,
        )
        return recipe, notes

    # Names ------------------------------------------------------------------------------------

    def _configured(self, section: str) -> Any:
        """Return the name that --set SECTION.name=… or the configuration file chose."""
        chosen = self.config.get(section, {}).get("name")
        for asked, key, value in self.request.settings:
            if asked == section and key == "name":
                chosen = value
        return None if chosen is None else str(chosen)

    def _method(self) -> Entry:
        name = self.request.method or self.request.config.get("method")
        if not name:
            known = ", ".join(self.registry.names("method"))
            raise UsageError(f"say which method to train: --method NAME, one of {known}")
        return self.registry.resolve("method", str(name))

    def _data(self) -> tuple[Entry, str]:
        """Return the data set, and the path where a path was given."""
        name = self.request.data or self._configured("data")
        entries = self.registry.entries("dataset")
        if name is None:
            for entry in entries:
                if isinstance(entry.record, Dataset) and entry.record.default:
                    return entry, ""
            raise UsageError("say which data to train on: --data NAME or --data PATH")
        try:
            return self.registry.resolve("dataset", name), ""
        except UnknownNameError as error:
            openers = [
                entry
                for entry in entries
                if isinstance(entry.record, Dataset) and entry.record.opens_paths
            ]
            path = Path(name).expanduser()
            looks_like_path = os.sep in name or name.startswith(("~", "."))
            if openers and (looks_like_path or path.exists()):
                return openers[0], str(path.absolute())
            raise UnknownNameError(f"{error} (and no folder of that name exists)") from None

    def _augmentation(self, method: Method, dataset: Dataset) -> Entry:
        asked = self.request.augmentation or self._configured("augmentation")
        if asked:
            return self.registry.resolve("augmentation", asked)
        names = method.augmentation
        candidates = [
            self.registry.resolve("augmentation", name)
            for name in ((names,) if isinstance(names, str) else names)
        ]
        for candidate in candidates:
            if takes(interface_of_entry(candidate), clips=dataset.clips):
                return candidate
        return candidates[0]

    def _stage(self, kind: str, of_method: str | None) -> Entry | None:
        name = getattr(self.request, kind) or self._configured(kind) or of_method
        if name is None or (kind == "head" and name == "none"):
            return None
        return self.registry.resolve(kind, name)

    def _is_methods_own(self, method: Method, entry: Entry) -> bool:
        names = getattr(method, entry.kind)
        names = (names,) if isinstance(names, str) else names
        return entry.name in names or entry.qualified in names

    def _evaluators(self, method: Method, stages: Sequence[Stage]) -> tuple[list[Stage], list[str]]:
        """Return the evaluators; those not asked for by name are left out where they don't fit."""
        asked = tuple(self.request.evaluators) or tuple(self.config.get("evaluators", ()))
        named = asked or method.evaluators or self._default_evaluators()
        entries = [self.registry.resolve("evaluator", name) for name in dict.fromkeys(named)]
        found = [(entry, interface_of_entry(entry)) for entry in entries]
        if asked:
            return found, []
        kept: list[Stage] = []
        notes: list[str] = []
        for stage in found:
            why = problems_of(stages, [stage], clips=False, teacher=True, registry=self.registry)
            why = [problem for problem in why if problem.startswith(str(stage[0]))]
            if why:
                notes.append(f"left out: {why[0]}")
            else:
                kept.append(stage)
        return kept, notes

    def _default_evaluators(self) -> tuple[str, ...]:
        return tuple(
            entry.name if entry.shipped else entry.qualified
            for entry in self.registry.entries("evaluator")
            if isinstance(entry.record, Evaluator) and entry.record.default
        )

    # Settings ---------------------------------------------------------------------------------

    def _check_sections(self) -> None:
        known = (*_SECTIONS, "evaluators")
        for section in self.config:
            if section not in known:
                self.problems.append(
                    f"[{section}]: no such section{nearest(section, known)}; "
                    f"sections are {', '.join(known)}"
                )
        for key, value in self.request.config.items():
            if not isinstance(value, Mapping) and key != "method":
                self.problems.append(f"{key}: expected a section [{key}], got {value!r}")
        for section, name, _ in self.request.settings:
            if section not in _SECTIONS:
                self.problems.append(
                    f"{section}.{name}: no such section{nearest(section, _SECTIONS)}; "
                    f"sections are {', '.join(_SECTIONS)}"
                )

    def _check_headless(self, head: Entry | None) -> None:
        if head is None:
            for name in self._asked("head").values:
                self.problems.append(f"head.{name}: the recipe has no head")

    def _asked(self, section: str, chosen: Entry | None = None) -> _Layers:
        """Return what the user asked for in a section: configuration file, then --set.

        Settings that the file gives for another part than the chosen one are not for this one.
        """
        layers = _Layers()
        configured = self.config.get(section, {})
        name = configured.get("name")
        if chosen is None or name in (None, chosen.name, chosen.qualified):
            layers.add(configured)
        for asked, key, value in self.request.settings:
            if asked == section:
                layers.add({key: value})
        return layers

    def _part(
        self,
        section: str,
        entry: Entry,
        interface: Interface,
        suggested: Mapping[str, Mapping[str, Any]],
        of_method: Mapping[str, Mapping[str, Any]],
        given: Mapping[str, Any] | None = None,
    ) -> Part:
        layers = _Layers()
        fitting = {
            name: value
            for name, value in suggested.get(section, {}).items()
            if name in interface.settings
        }
        layers.add(fitting)
        layers.add(of_method.get(section, {}))
        layers.add(self._asked(section, entry).values)
        layers.add(given or {})
        settings = self._validated(section, interface.settings, layers, _owner(entry))
        return _part_of(entry, settings)

    def _evaluator_parts(
        self, evaluators: Sequence[Stage], dataset: Dataset, method: Method
    ) -> tuple[Part, ...]:
        """Return the evaluators; one section serves all, and each takes from it what it has."""
        asked = self._asked("evaluator").values
        shared = {
            **dataset.defaults.get("evaluator", {}),
            **method.settings.get("evaluator", {}),
        }
        tables = self.config.get("evaluators", {})
        parts: list[Part] = []
        for entry, interface in evaluators:
            own = tables.get(entry.name) or tables.get(entry.qualified) or {}
            layers = _Layers()
            layers.add({key: item for key, item in shared.items() if key in interface.settings})
            layers.add(own)
            layers.add({key: item for key, item in asked.items() if key in interface.settings})
            settings = self._validated("evaluator", interface.settings, layers, _owner(entry))
            parts.append(_part_of(entry, settings))
        known = {name for _, interface in evaluators for name in interface.settings}
        names = ", ".join(entry.name for entry, _ in evaluators) or "none is chosen"
        for name in asked:
            if name not in known:
                self.problems.append(
                    f"evaluator.{name}: no chosen evaluator has such a setting ({names})"
                    f"{nearest(name, known)}"
                )
        return tuple(parts)

    def _validated(
        self, section: str, known: Mapping[str, Setting], layers: _Layers, owner: str
    ) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for name in layers.values:
            if name in known:
                continue
            if name in SUPPLIED and section != "data":
                self.problems.append(f"{section}.{name}: the engine supplies it ({SUPPLIED[name]})")
                continue
            has = ", ".join(known) or "none"
            self.problems.append(
                f"{section}.{name}: no such setting{nearest(name, known)}; it has {has} ({owner})"
            )
        for name, setting in known.items():
            if name in layers.values:
                try:
                    settings[name] = setting.validate(layers.values[name])
                except ValueError as error:
                    self.problems.append(f"{section}.{name}: {error} ({owner})")
            elif setting.default is REQUIRED:
                self.problems.append(
                    f"{section}.{name}: must be given: {setting.type}; say "
                    f"--set {section}.{name}=… ({owner})"
                )
            else:
                settings[name] = setting.default
        return settings

    def _training(self, dataset: Dataset, method: Method) -> Training:
        layers = _Layers()
        for source in (dataset.defaults, method.settings):
            layers.add(source.get("training", {}))
        layers.add(self._asked("training").values)
        before = len(self.problems)
        values = self._validated("training", settings_of(Training), layers, "sslcore's trainer")
        return Training(**values) if len(self.problems) == before else Training()

    def _optimizer(self, dataset: Dataset, method: Method) -> tuple[str, dict[str, Any]]:
        from sslcore.optimizers import find_optimizer, optimizer_settings

        own = method.settings.get("optimizer", {})
        asked_name = self._configured("optimizer")
        name, optimizer = find_optimizer(asked_name or str(own.get("name", "AdamW")))
        known = optimizer_settings(optimizer)
        layers = _Layers()
        suggested = dataset.defaults.get("optimizer", {})
        layers.add({key: item for key, item in suggested.items() if key in known})
        if asked_name is None or name == find_optimizer(str(own.get("name", "AdamW")))[0]:
            layers.add(own)
        layers.add(self._asked("optimizer").values)
        owner = f"torch.optim.{name}"
        values = self._validated("optimizer", known, layers, owner)
        # What is left at torch's own default is not repeated in the recipe.
        return name, {key: item for key, item in values.items() if key in layers.values}

    def _teacher(self, method: Method) -> Teacher | None:
        asked = self._asked("teacher")
        if not asked.values:
            return method.teacher
        base = method.teacher or Teacher()
        probability = Annotated[float, at.Ge(0), at.Le(1)]
        known = {
            "momentum": Setting("momentum", probability, base.momentum),
            "final_momentum": Setting("final_momentum", probability | None, base.final_momentum),
        }
        before = len(self.problems)
        values = self._validated("teacher", known, asked, "sslcore's teacher")
        if len(self.problems) > before:
            return base
        return dataclasses.replace(base, **values)


def _part_of(entry: Entry, settings: Mapping[str, Any]) -> Part:
    return Part(entry.kind, entry.name, entry.distribution, entry.version, entry.build, settings)


def _owner(entry: Entry) -> str:
    return f"{entry.name}, from {entry.distribution} {entry.version}"


def resolve(request: Request, registry: Registry) -> tuple[Recipe, list[str]]:
    """Return the recipe that a request stands for, and sentences the user should read.

    Raises:
        UsageError: an unknown name, any number of bad settings (all in one `SettingsError`), or
            parts that don't go together (`CompositionError`).
    """
    return _Resolver(request, registry).resolve()
