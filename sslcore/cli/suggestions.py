"""Which parts go with which, told from their sources: nothing is imported for it.

A part whose source does not say what it takes (a constructor inherited from elsewhere, say) is
left out of what is told here; whether it fits is checked when it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sslcore.contract.interface import ENGINE_SIGNALS, EVALUATION_SIGNALS, Interface
from sslcore.contract.records import Component, Dataset, Method
from sslcore.contract.settings import REQUIRED
from sslcore.contract.static_interface import read_interface
from sslcore.errors import SslcoreError
from sslcore.recipe.wiring import (
    FROM_HEAD,
    STAGES,
    Stage,
    fits_together,
    signals_before_loss,
    takes,
)
from sslcore.registry.discovery import how_to_load
from sslcore.registry.registry import Entry, Registry

_FROM_STUDENT = "teacher_"


@dataclass(frozen=True)
class Meeting:
    """A signal of a part, and the parts at its other end.

    Attributes:
        signal: its name.
        needed: whether a part that asks for it can't do without; always true of what is provided.
        engine: whether the engine provides it.
        parts: the parts that provide it, or that ask for it.
    """

    signal: str
    needed: bool
    engine: bool
    parts: tuple[Entry, ...]


def readable(registry: Registry, kind: str) -> list[Stage]:
    """Return the parts of a kind with their interfaces, as far as the sources say them."""
    found = []
    for entry in registry.entries(kind):
        interface = read_interface(entry.build) if isinstance(entry.record, Component) else None
        if interface is not None:
            found.append((entry, interface))
    return found


def providers(stage: Stage, registry: Registry) -> list[Meeting]:
    """Return where each signal that a part needs comes from."""
    entry, interface = stage
    known = EVALUATION_SIGNALS if entry.kind == "evaluator" else ENGINE_SIGNALS
    meetings = []
    for signal, needed in interface.needs.items():
        wanted = signal.removeprefix(_FROM_STUDENT)
        before = _before(entry.kind)
        # Of the reconstructions that an evaluator may ask for, the engine makes none.
        made = [
            one for kind in before for one in readable(registry, kind) if wanted in one[1].provides
        ]
        engine = signal in known and not (entry.kind == "evaluator" and made)
        parts = () if engine else tuple(each for each, _ in made)
        meetings.append(Meeting(signal, needed, engine or signal == "labels", parts))
    return meetings


def consumers(stage: Stage, registry: Registry) -> list[Meeting]:
    """Return which parts ask for each signal that a part provides."""
    entry, interface = stage
    meetings = []
    for signal in interface.provides:
        names = (
            {signal, f"{_FROM_STUDENT}{signal}"} if entry.kind in ("encoder", "head") else {signal}
        )
        taken = [
            each
            for kind in _after(entry.kind)
            for each, other in readable(registry, kind)
            if names & other.needs.keys()
        ]
        # The engine runs the encoder on local views, and writes a loss and its numbers down.
        engine = not taken and (entry.kind == "loss" or signal == "local_views")
        meetings.append(Meeting(signal, True, engine, tuple(taken)))
    return meetings


def _before(kind: str) -> tuple[str, ...]:
    if kind == "evaluator":
        return ("head",)
    return STAGES[: STAGES.index(kind)] if kind in STAGES else ()


def _after(kind: str) -> tuple[str, ...]:
    if kind not in STAGES:
        return ()
    evaluators = ("evaluator",) if kind == "head" else ()
    return (*STAGES[STAGES.index(kind) + 1 :], *evaluators)


def stages_of(
    method: Method, registry: Registry, instead: Stage | None = None, *, clips: bool = False
) -> list[Stage] | None:
    """Return the stages of a method; None where one is not there, or its source unclear.

    Args:
        method: the method.
        registry: where its parts are.
        instead: a part to take the place of the method's own.
        clips: whether its data are clips, where it has several augmentations to choose from.
    """
    found: list[Stage] = []
    for kind in STAGES:
        if instead is not None and instead[0].kind == kind:
            found.append(instead)
            continue
        names = [name for name in _names(getattr(method, kind)) if name]
        if not names:
            continue
        try:
            entries = [registry.resolve(kind, name) for name in names]
        except SslcoreError:
            return None
        stages = [(entry, read_interface(entry.build)) for entry in entries]
        known = [(entry, interface) for entry, interface in stages if interface is not None]
        if not known:
            return None
        found.append(next((one for one in known if takes(one[1], clips=clips)), known[0]))
    return found


def fits(method: Method, registry: Registry, instead: Stage | None = None, *, clips: bool) -> bool:
    """Whether a method's parts, with one in place of its own, go together on images or clips."""
    stages = stages_of(method, registry, instead, clips=clips)
    return bool(stages) and fits_together(
        stages or (), clips=clips, teacher=method.teacher is not None
    )


def works(method: Method, registry: Registry, instead: Stage | None = None) -> bool:
    """Whether a method's parts, with one in place of its own, go together on any data."""
    return any(fits(method, registry, instead, clips=clips) for clips in (False, True))


def alternatives(method: Method, registry: Registry) -> Mapping[str, list[Entry]]:
    """Return, for each kind of stage, the parts that could take the place of the method's own."""
    own = {entry for entry, _ in stages_of(method, registry) or ()}
    return {
        kind: [
            stage[0]
            for stage in readable(registry, kind)
            if stage[0] not in own and works(method, registry, stage)
        ]
        for kind in STAGES
        if getattr(method, kind) is not None or kind == "head"
    }


def to_try(entry: Entry, registry: Registry, interface: Interface | None = None) -> str:
    """Return a command that trains with a method or a part; empty where nothing goes with it.

    Args:
        entry: the method or part.
        registry: where to look for what goes with it.
        interface: of a part.
    """
    interface = interface or Interface()
    for method_entry in _methods_for(entry, registry):
        method = method_entry.record
        assert isinstance(method, Method)
        instead = (entry, interface) if entry.kind in STAGES else None
        data = (entry.record.clips,) if isinstance(entry.record, Dataset) else (False, True)
        clips = next((one for one in data if fits(method, registry, instead, clips=one)), None)
        if clips is None or not _can_be_scored(method, interface, registry, clips=clips):
            continue
        words = ["sslcore train --method", registry.address(method_entry)]
        if entry.kind not in ("method", "dataset"):
            words += [f"--{entry.kind}", registry.address(entry)]
        if entry.kind == "dataset":
            words += ["--data", _named_data(entry, registry)]
        elif clips:
            words += ["--data", _clips(registry)]
        origins = (how_to_load(each.distribution, each.version) for each in (entry, method_entry))
        return " ".join(
            [*words, *_required(entry, interface), *dict.fromkeys(filter(None, origins))]
        )
    return ""


def _can_be_scored(
    method: Method, interface: Interface, registry: Registry, *, clips: bool
) -> bool:
    """Whether an evaluator gets from the head of a method what only a head makes."""
    stages = stages_of(method, registry, clips=clips) or ()
    return FROM_HEAD not in interface.needs or FROM_HEAD in signals_before_loss(
        stages, teacher=False
    )


def _methods_for(entry: Entry, registry: Registry) -> Iterator[Entry]:
    """Yield the methods to try a part with: those that name it, then all others."""
    if entry.kind == "method":
        yield entry
        return
    methods = registry.entries("method")
    if entry.kind in STAGES:
        names = (entry.name, entry.qualified)
        own = [
            method
            for method in methods
            if any(name in names for name in _names(getattr(method.record, entry.kind)))
        ]
        yield from own
        methods = [method for method in methods if method not in own]
    yield from methods


def _names(named: Any) -> tuple[Any, ...]:
    return tuple(named) if isinstance(named, (tuple, list)) else (named,)


def _named_data(entry: Entry, registry: Registry) -> str:
    assert isinstance(entry.record, Dataset)
    return "FOLDER" if entry.record.opens_paths else registry.address(entry)


def _clips(registry: Registry) -> str:
    for entry in registry.entries("dataset"):
        if isinstance(entry.record, Dataset) and entry.record.clips:
            return registry.address(entry)
    return "CLIPS"


def _required(entry: Entry, interface: Interface) -> list[str]:
    """Return options for the settings that must be given, save a folder given as data."""
    section = "data" if entry.kind == "dataset" else entry.kind
    opens = isinstance(entry.record, Dataset) and entry.record.opens_paths
    return [
        f"--set {section}.{setting.name}=VALUE"
        for setting in interface.settings.values()
        if setting.default is REQUIRED and not (opens and setting.name == "path")
    ]
