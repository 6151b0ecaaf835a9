"""The teacher of a recipe: its settings, its encoder, and whether the stages go with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sslcore.contract.interface import ENGINE_SIGNALS
from sslcore.contract.records import Teacher
from sslcore.contract.settings import Setting, settings_of
from sslcore.errors import UsageError, nearest
from sslcore.recipe.names import Choice
from sslcore.recipe.recipe import Part
from sslcore.recipe.request import Request, without_provenance
from sslcore.recipe.toml import read_tables
from sslcore.recipe.validation import Validation
from sslcore.recipe.wiring import Stage
from sslcore.registry.registry import Registry
from sslcore.system.files import user_path

#: What comes before the name of a setting of the teacher's encoder.
_OF_ENCODER = "settings."
#: The fields of a teacher that are a table, or that only a method states.
_NOT_SET = frozenset({"settings", "pretrained"})
#: The recipe in the folder of a run.
_RECIPE = "recipe.toml"


@dataclass(frozen=True)
class Taught:
    """The teacher of a recipe.

    Attributes:
        record: its settings.
        stages: what it runs: its encoder, and its head where it has one.
        encoder: the encoder, where it is not the student's.
    """

    record: Teacher
    stages: tuple[Stage, ...]
    encoder: Part | None = None


def find_teacher(
    request: Request, choice: Choice, validation: Validation, registry: Registry
) -> tuple[Taught | None, list[str]]:
    """Return the teacher that a request and its method ask for, and notes for the user.

    A method's teacher is left out where the user chose a loss that reads no teacher. Problems with
    settings join those of `validation`.

    Raises:
        UsageError: its encoder is unknown, or the run of its weights can't be read.
    """
    asked = _nested(request.settings_of("teacher"))
    base = choice.method.teacher
    loss, interface = choice.stages[-1]
    if base is None and not asked:
        return None, []
    reads = any(name.startswith("teacher_") for name in interface.needs)
    if not reads and not asked and not choice.is_methods_own(loss):
        return None, [f"left out: the teacher, whose signals {loss} does not read"]
    record = _record(base or Teacher(), asked, validation)
    stages = {entry.kind: (entry, face) for entry, face in choice.stages}
    head = (stages["head"],) if record.head and "head" in stages else ()
    if record.encoder is None:
        return Taught(record, (stages["encoder"], *head)), []
    name, variant = registry.variant("encoder", record.encoder)
    entry = registry.resolve("encoder", name)
    face = entry.interface()
    settings = {**variant, **record.settings}
    valid = validation.settings("teacher.settings", face.settings, settings, entry.owner) or {}
    part = Part.of(entry, valid)
    record = dataclasses.replace(record, encoder=part.address, settings=valid)
    return Taught(record, ((entry, face), *head), part), []


def _record(base: Teacher, asked: Mapping[str, object], validation: Validation) -> Teacher:
    """Return a teacher with the settings of the user; where one is wrong, the teacher as it was."""
    scalars = {name: value for name, value in asked.items() if name != "settings"}
    of_encoder = asked.get("settings", {})
    valid = validation.settings("teacher", teacher_settings(base), scalars, "sslcore's teacher")
    if not isinstance(of_encoder, Mapping):
        validation.problems.append(f"teacher.settings: expected a table, got {of_encoder!r}")
    if valid is None or not isinstance(of_encoder, Mapping):
        return base
    if valid["path"]:
        valid["path"] = str(user_path(valid["path"], "teacher.path").absolute())
    same = valid["encoder"] == base.encoder
    try:
        record = dataclasses.replace(
            base, **valid, settings={**(base.settings if same else {}), **of_encoder}
        )
    except ValueError as error:
        validation.problems.append(str(error))
        return base
    if record.frozen and record.encoder is None and (Path(record.path) / _RECIPE).is_file():
        name, settings = _encoder_of(Path(record.path))
        record = dataclasses.replace(record, encoder=name, settings=settings)
    return record


def teacher_settings(base: Teacher) -> dict[str, Setting]:
    """Return the settings of a teacher but for those of its encoder; `base` has their defaults."""
    return {
        name: dataclasses.replace(setting, default=getattr(base, name))
        for name, setting in settings_of(Teacher, skip=_NOT_SET).items()
    }


def _nested(asked: Mapping[str, object]) -> dict[str, object]:
    """Return settings with those of the encoder, `settings.depth`, in a table of their own."""
    found = {name: value for name, value in asked.items() if not name.startswith(_OF_ENCODER)}
    single = {
        name.removeprefix(_OF_ENCODER): value
        for name, value in asked.items()
        if name.startswith(_OF_ENCODER)
    }
    table = found.get("settings", {})
    if single and isinstance(table, Mapping):
        found["settings"] = {**table, **single}
    return found


def _encoder_of(run: Path) -> tuple[str, dict[str, object]]:
    """Return the encoder of a run, and its settings."""
    try:
        table = read_tables(run / _RECIPE).get("encoder")
    except ValueError as error:
        raise UsageError(f"teacher.path: {run / _RECIPE} {error}") from error
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise UsageError(f"teacher.path: {run / _RECIPE} names no encoder")
    return str(table["name"]), without_provenance(table)


def teacher_problems(
    taught: Taught, stages: Sequence[Stage], extras: Sequence[str] = ()
) -> list[str]:
    """Return why the stages (augmentation, encoder, head, loss) don't go with their teacher.

    Args:
        taught: the teacher.
        stages: the stages of the student.
        extras: names of the extras of the images.
    """
    made = {**ENGINE_SIGNALS, **dict.fromkeys(extras), **stages[0][1].provides}
    found = [
        f"teacher.without: nothing before the teacher makes {name}{nearest(name, made)}; there is "
        f"{', '.join(made)}"
        for name in taught.record.without
        if name not in made
    ]
    replaced = {name.removeprefix("teacher_") for name in made if name.startswith("teacher_")}
    there = {*(made.keys() - set(taught.record.without)), *replaced}
    for entry, interface in taught.stages:
        for name in (each for each, needed in interface.needs.items() if needed):
            if name in taught.record.without and name not in there:
                found.append(f"{entry} needs {name}, and teacher.without leaves it out")
            elif name not in there:
                found.append(f"{entry} of the teacher needs {name}, which nothing provides")
        there |= interface.provides.keys()
    provided = [f"teacher_{name}" for _, face in taught.stages for name in face.provides]
    loss, reads = stages[-1][0], stages[-1][1].needs
    if not any(name in reads for name in provided):
        found.append(
            f"{loss} reads no signal of the teacher ({', '.join(provided)}): leave the teacher "
            "out, or choose another loss"
        )
    return found
