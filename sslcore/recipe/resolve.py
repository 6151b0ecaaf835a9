"""From a request to a recipe: names looked up, settings layered and validated, parts checked.

A setting's value comes from the last of these that has it: the signature's default, the method's
defaults, the data set's defaults, the method's settings, the configuration file, `--set`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sslcore.contract.reading import Reading
from sslcore.contract.records import Method, Sections, Teacher
from sslcore.contract.settings import REQUIRED, Setting, settings_of
from sslcore.contract.stages import EVAL_DATA
from sslcore.errors import CompositionError, UsageError, nearest
from sslcore.recipe.held_out import held_out
from sslcore.recipe.names import Choice, choose, with_variants
from sslcore.recipe.optimization import Finder, Optimization
from sslcore.recipe.recipe import ENCODER_PART, OBJECT_PART, Init, Part, Recipe, Training
from sslcore.recipe.renamed import settings_in
from sslcore.recipe.request import Request, Settings, without_provenance
from sslcore.recipe.suggestions import suggested_to
from sslcore.recipe.teacher import find_teacher, teacher_problems
from sslcore.recipe.validation import Validation
from sslcore.recipe.wiring import Stage, evaluator_problems, stage_problems
from sslcore.registry.registry import Registry, default_registry
from sslcore.system.files import user_path


def make_recipe(
    method: str | None = None,
    *,
    data: str | None = None,
    eval_data: str | None = None,
    augmentation: str | None = None,
    encoder: str | None = None,
    head: str | None = None,
    loss: str | None = None,
    evaluators: Sequence[str] = (),
    config: str | Path | Mapping[str, object] | None = None,
    settings: Settings = (),
    registry: Registry | None = None,
) -> tuple[Recipe, list[str]]:
    """Return the recipe for names and settings, and notes that the user should read.

    Args:
        method: the method to start from.
        data: a data set's name, or a path.
        eval_data: the same for the images that evaluators use; those of `data` by default.
        augmentation: in place of the method's default.
        encoder: in place of the method's default.
        head: in place of the method's default; "none" for no head.
        loss: in place of the method's default.
        evaluators: in place of the method's default.
        config: a TOML file of sections, or the sections.
        settings: by section, `{"loss": {"temperature": 0.2}}`, or as (section, name, value).
        registry: where to look for parts; everything installed by default.

    Raises:
        UsageError: see `resolve`.
    """
    request = Request.of(
        method=method,
        data=data,
        eval_data=eval_data,
        augmentation=augmentation,
        encoder=encoder,
        head=head,
        loss=loss,
        evaluators=evaluators,
        config=config,
        settings=settings,
    )
    return resolve(request, registry or default_registry())


def resolve(
    request: Request, registry: Registry, image_size: int | None = None
) -> tuple[Recipe, list[str]]:
    """Return the recipe that a request stands for, and notes that the user should read.

    Args:
        request: what the user asked for.
        registry: where parts are looked up.
        image_size: side of the images, px, where they have been opened.

    Raises:
        UsageError: an unknown name, any number of bad settings (all in one `SettingsError`), or
            parts that don't fit together (`CompositionError`).
    """
    request = with_variants(request, registry)
    choice = choose(request, registry, image_size)
    layers = _Layers(request, choice, registry)
    recipe, taught = layers.recipe(), layers.taught
    misfits = stage_problems(
        choice.stages,
        clips=choice.dataset.clips,
        teacher=taught.stages if taught else (),
        registry=registry,
        extras=choice.dataset.provides,
    ) + evaluator_problems(choice.evaluators, choice.stages, registry=registry)
    if not misfits and taught is not None:
        misfits = teacher_problems(taught, choice.stages, choice.dataset.provides)
    if misfits:
        raise CompositionError("\n".join(misfits))
    return recipe, [*choice.notes, *layers.notes]


def resolve_part(kind: str, request: Request, registry: Registry) -> Part:
    """Return one part that a request names, whichever of the other parts are installed.

    Raises:
        UsageError: the request does not name it, it is unknown, or its settings are wrong.
    """
    request = with_variants(request, registry)
    name = request.name_of(kind)
    if name is None:
        raise UsageError(f"{request.source or 'the request'} names no {kind}")
    entry = registry.resolve(kind, name)
    validation = Validation(request.origin_of)
    values = request.settings_of(kind, *entry.addresses)
    if kind == "dataset":
        part = data_part("data", (entry, entry.interface()), values, validation)
    else:
        valid = validation.settings(kind, entry.interface().settings, values, entry.owner)
        part = Part.of(entry, valid or {})
    validation.check()
    return part


def data_part(
    section: str, stage: Stage, values: Mapping[str, object], validation: Validation
) -> Part:
    """Return a data set with its own settings, and those of `Reading` that are not the default."""
    entry, interface = stage
    own = interface.settings
    reading = {name: item for name, item in settings_of(Reading).items() if name not in own}
    valid = validation.settings(section, {**own, **reading}, values, entry.owner) or {}
    kept = {
        name: value
        for name, value in valid.items()
        if name in own or value != reading[name].default
    }
    return Part.of(entry, kept)


class _Layers:
    """The layers of settings, section by section."""

    def __init__(self, request: Request, choice: Choice, registry: Registry) -> None:
        self.request, self.choice, self.registry = request, choice, registry
        self.validation = Validation(self._origin_of)
        self.validation.problems += request.problems()
        self.by_data: dict[str, tuple[str, ...]] = {}
        self.taught, self.notes = find_teacher(request, choice, self.validation, registry)

    def _origin_of(self, section: str, name: str) -> str:
        """Return where a setting comes from that the user did not type: a file, the method."""
        asked = name in self.request.settings_of(section)
        if not asked and name in self.by_data.get(section, ()):
            # It takes precedence over the method's defaults.
            return f" (as {self.choice.data[0]} suggests)"
        own = (self.choice.method.settings, self.choice.method.defaults)
        if not asked and any(name in sections.get(section, {}) for sections in own):
            return f" (as {self.choice.method_entry} has it)"
        return self.request.origin_of(section, name)

    def recipe(self) -> Recipe:
        choice = self.choice
        elsewhere = choice.eval_data
        data = self._data("data", choice.data, choice.path, elsewhere=elsewhere is not None)
        eval_data = (
            None if elsewhere is None else self._data(EVAL_DATA, elsewhere, choice.eval_path)
        )
        stages = {entry.kind: self._stage((entry, face)) for entry, face in choice.stages}
        evaluators = self._evaluators()
        training, init = self._training(), self._init()
        training = replace(training or Training(), preset=choice.preset)
        teacher = self.taught.record if self.taught else None
        moved = self._optimization(training, teacher)
        decays = moved.name_of(training.weight_decay_schedule)
        training = replace(training, weight_decay_schedule=decays)
        if teacher is not None:
            teacher = replace(teacher, schedule=moved.name_of(teacher.schedule))
        if "head" not in stages:
            asked = self.request.settings_of("head", "none")
            self.validation.problems += [f"head.{name}: the recipe has no head" for name in asked]
        self.validation.check()
        entry = choice.method_entry
        return Recipe(
            method=entry.origin.address(entry.name),
            data=data,
            augmentation=stages["augmentation"],
            encoder=stages["encoder"],
            head=stages.get("head"),
            loss=stages["loss"],
            evaluators=evaluators,
            optimizer=moved.optimizer,
            schedule=moved.schedule,
            training=training,
            teacher=teacher,
            teacher_encoder=self.taught.encoder if self.taught else None,
            init=init,
            method_origin=str(entry.origin),
            by_data=self.by_data,
            eval_data=eval_data,
            groups=moved.groups,
        )

    def _data(self, section: str, stage: Stage, path: str, *, elsewhere: bool = False) -> Part:
        """Return a data set; `elsewhere` is whether evaluators use another one."""
        entry, interface = stage
        evaluators = [each for _, each in self.choice.evaluators]
        values = held_out(interface.settings, evaluators, elsewhere=elsewhere)
        values |= self.request.settings_of(section, *entry.addresses)
        if path:
            values["path"] = path
        return data_part(section, stage, values, self.validation)

    def _part(self, section: str, stage: Stage, values: Mapping[str, object]) -> Part:
        """Return a component with its settings; a bad section has none, and is reported later."""
        entry, interface = stage
        valid = self.validation.settings(section, interface.settings, values, entry.owner)
        return Part.of(entry, valid or {})

    def _stage(self, stage: Stage) -> Part:
        entry, _ = stage
        method = self.choice.method if self.choice.is_methods_own(entry) else None
        asked = self.request.settings_of(entry.kind, *entry.addresses)
        suggested = suggested_to(entry, self.choice.dataset, self.registry)
        values = self._layered(entry.kind, suggested, method, asked)
        return self._part(entry.kind, stage, values)

    def _layered(
        self,
        section: str,
        suggested: Mapping[str, object],
        method: Method | None,
        asked: Mapping[str, object],
    ) -> dict[str, object]:
        """Return the values of a section, and note which of them the data set suggests."""
        would, must = (method.defaults, method.settings) if method else ({}, {})
        stated = {**_section(must, section), **asked}
        self.by_data[section] = tuple(name for name in suggested if name not in stated)
        return {**_section(would, section), **suggested, **stated}

    def _evaluators(self) -> tuple[Part, ...]:
        """Return the evaluators; they share one section, of which each takes its own settings."""
        asked = self.request.settings_of("evaluator")
        tables = self.request.table("evaluators")
        parts: list[Part] = []
        for entry, interface in self.choice.evaluators:
            own: Any = next((tables[name] for name in entry.addresses if name in tables), {})
            # Anything but a table has been reported already.
            own = own if isinstance(own, Mapping) else {}
            values = suggested_to(entry, self.choice.dataset, self.registry)
            values |= _known(_section(self.choice.method.settings, "evaluator"), interface.settings)
            values |= without_provenance(own) | _known(asked, interface.settings)
            parts.append(self._part("evaluator", (entry, interface), values))
        known = {name for _, interface in self.choice.evaluators for name in interface.settings}
        names = ", ".join(part.name for part in parts) or "none is chosen"
        for name in asked:
            if name not in known:
                self.validation.problems.append(
                    f"evaluator.{name}: no chosen evaluator has such a setting ({names})"
                    f"{nearest(name, known)}"
                )
        return tuple(parts)

    def _training(self) -> Training | None:
        known = settings_of(Training)
        asked = self.request.settings_of("training")
        suggested = _section(self.choice.dataset.defaults, "training")
        values = self._layered("training", suggested, self.choice.method, asked)
        valid = self.validation.settings("training", known, values, "sslcore's trainer")
        return None if valid is None else Training(**valid)

    def _optimization(self, training: Training, teacher: Teacher | None) -> Optimization:
        named = {}
        if training.final_weight_decay is not None:
            named["training.weight_decay_schedule"] = training.weight_decay_schedule
        if teacher is not None and teacher.final_momentum is not None:
            named["teacher.schedule"] = teacher.schedule
        return Finder(self.request, self.choice, self.validation, self.registry, named).found()

    def _init(self) -> Init | None:
        asked = self.request.settings_of("init")
        if not asked:
            return None
        known = {
            "path": Setting("path", str, REQUIRED),
            "part": Setting("part", str, ENCODER_PART),
            "sha256": Setting("sha256", str, ""),
        }
        valid = self.validation.settings("init", known, asked, "sslcore's initial weights")
        if valid is None:
            return None
        if valid["part"] == OBJECT_PART:
            return Init(**valid)
        return Init(**valid | {"path": str(user_path(valid["path"], "init.path").absolute())})


def _section(sections: Sections, section: str) -> dict[str, object]:
    return without_provenance(settings_in(sections, section))


def _known(values: Mapping[str, object], known: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if name in known}
