"""Which distributions the parts of a run come from, and whether they are installed here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sslcore.contract.reading import Reading
from sslcore.contract.records import KINDS
from sslcore.contract.settings import settings_of
from sslcore.contract.stages import DATA_SECTIONS, SECTIONS, kind_of
from sslcore.data.form import Form
from sslcore.errors import RunFolderError, UnknownNameError
from sslcore.recipe.recipe import FROM, Part
from sslcore.recipe.request import Assignment, Request
from sslcore.recipe.resolve import resolve_part
from sslcore.registry.origin import FILE, OBJECT, Origin
from sslcore.registry.registry import Registry
from sslcore.runs.folder import Run

_LARGEST_BYTE = 255
#: A valid name of a distribution.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def recorded_request(run: Run, registry: Registry, kinds: Sequence[str] = tuple(KINDS)) -> Request:
    """Return the request that gives the recipe of a run.

    Args:
        run: the run.
        registry: the installed parts.
        kinds: the kinds of parts that must be installed.

    Raises:
        RunFolderError: the recipe can't be read, or parts of these kinds are not installed; the
            message names their distributions.
    """
    config = run.config()
    wanted = [each for each in _recorded(config) if kind_of(each[0]) in kinds]
    if "loss" in kinds:
        wanted += _teachers_encoder(config)
    by = "load_encoder" if set(kinds) == {"augmentation", "encoder"} else "evaluate"
    if objects := _missing_objects(wanted, registry, by):
        raise RunFolderError(f"{run.path} {objects}")
    missing = [problem for each in wanted if (problem := _missing(*each, registry))]
    if missing:
        raise RunFolderError(f"{run.path} can't be opened here:\n" + "\n".join(missing))
    return Request.of(config=config, source=str(run.recipe_path))


def recorded_parts(run: Run, kinds: Sequence[str], registry: Registry) -> list[Part]:
    """Return the parts of some kinds of a run's recipe; other parts need not be installed.

    Raises:
        UsageError: a part is not installed, or does not accept its settings.
    """
    request = recorded_request(run, registry, kinds)
    return [resolve_part(kind, request, registry) for kind in kinds]


def form_of_images(run: Run, request: Request) -> list[Assignment]:
    """Return the settings by which the images of a data set get the form of a run's.

    Args:
        run: the run.
        request: what the user asked for, which wins.
    """
    given, form = request.asked("data"), form_of(run)
    values = {name: getattr(form, name) for name in ("image_size", "channels", "range")}
    return [
        ("data", name, value)
        for name, value in values.items()
        if name not in given and value is not None
    ]


def form_of(run: Run) -> Form:
    """Return the form of the images that a run was trained on."""
    shape, recorded = run.shape(), run.config().get("data")
    found: Mapping[str, object] = recorded if isinstance(recorded, Mapping) else {}
    settings = {
        name: item.validate(found[name])
        for name, item in settings_of(Reading).items()
        if name in ("range", "background") and name in found
    }
    range_ = settings.get("range")
    # Such a range was set for images of 8 bits; others have their own beside a wider one.
    of_bytes = range_ is not None and range_[0] >= 0 and 1 < range_[1] <= _LARGEST_BYTE
    return Form(shape.image_size, shape.channels, scales_bytes=of_bytes, **settings)


def _recorded(config: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield (section, name, distribution and version) of each part with a recorded origin."""
    method, origin = str(config.get("method", "")), config.get(FROM)
    if isinstance(origin, str):
        yield "method", method, origin
    elif ":" in method:
        yield "method", method, method.rpartition(":")[0]
    sections = (*(kind for kind in KINDS if kind != "dataset"), *DATA_SECTIONS)
    tables: list[tuple[str, str, object]] = [
        (section, "", config.get(section)) for section in sections
    ]
    evaluators = config.get("evaluators")
    if isinstance(evaluators, Mapping):
        tables += [("evaluator", name, table) for name, table in evaluators.items()]
    for section, name, table in tables:
        if isinstance(table, Mapping) and isinstance(table.get(FROM), str):
            yield section, name or str(table.get("name", "")), table[FROM]


def _teachers_encoder(config: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Return what `_recorded` yields for the encoder of the teacher, where it is another one."""
    table = config.get("teacher")
    if not isinstance(table, Mapping) or not isinstance(table.get(FROM), str):
        return []
    return [("encoder", str(table.get("encoder", "")), table[FROM])]


def _missing_objects(
    recorded: Sequence[tuple[str, str, str]], registry: Registry, function: str
) -> str:
    """Return which Python objects a run needs again; empty where all are there."""
    said = []
    for section, name, origin in recorded:
        distribution, _, version = origin.partition(" ")
        known = section == "method" or not _missing(section, name, origin, registry)
        if distribution == OBJECT and not known:
            said.append((section, version))
    if not said:
        return ""
    said.sort(key=lambda each: SECTIONS.index(each[0]))
    arguments = ", ".join(f"{section}=…" for section, _ in said)
    return (
        "was trained with Python objects, and needs them again: "
        + ", ".join(f"{section} {version}" for section, version in said)
        + f"; give them from Python, as in sslcore.{function}(RUN, {arguments})"
    )


def _missing(section: str, name: str, origin: str, registry: Registry) -> str:
    kind = kind_of(section)
    try:
        registry.resolve(kind, name)
    except UnknownNameError as error:
        distribution, _, version = origin.partition(" ")
        if option := Origin("", distribution, version).option:
            gone = distribution == FILE and not Path(version).is_file()
            there = ", which is not there any more: put it back" if gone else ""
            return (
                f"{kind} {name} comes from the {distribution[1:-1]} {version}{there}; use {option}"
            )
        here = [item for item in registry.plugins if item.origin.distribution == distribution]
        if here:
            return (
                f"{error} (the run has it from {origin}, and {here[0].origin.version} is installed)"
            )
        pip = f": pip install {distribution}" if _DISTRIBUTION.fullmatch(distribution) else ""
        return f"{kind} {name} comes from {origin}, which is not installed{pip}"
    return ""
