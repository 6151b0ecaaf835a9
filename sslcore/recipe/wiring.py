"""Whether parts go together, told from their signatures alone.

Nothing is built and no image is read. What a signature can't tell (a shape) is found when the
pipeline is built, on a dummy batch, still before the first image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sslcore.contract.interface import (
    ENGINE_SIGNALS,
    EVALUATION_SIGNALS,
    FROM_HEAD,
    SUPPLIED,
    Interface,
)
from sslcore.contract.records import Dataset, Loss
from sslcore.errors import CompositionError, nearest
from sslcore.registry.loading import Entry
from sslcore.registry.registry import Registry

#: A part of a recipe with what its signatures say.
Stage = tuple[Entry, Interface]


def takes(interface: Interface, *, clips: bool) -> bool:
    """Whether an augmentation takes such data: one that asks for `num_frames` takes clips."""
    needed = interface.supplied.get("num_frames")
    return needed is not None if clips else needed is not True


def signals_before_loss(
    stages: Sequence[Stage], *, teacher: Sequence[Stage] = (), extras: Sequence[str] = ()
) -> dict[str, str]:
    """Return the signals that the stages provide, each with the kind of stage that makes it.

    Args:
        stages: those before the loss.
        teacher: the stages of the teacher; none without a teacher.
        extras: names of the extras of the images.
    """
    made: dict[str, str] = dict.fromkeys(ENGINE_SIGNALS, "engine")
    made |= dict.fromkeys(extras, "dataset")
    for entry, interface in stages:
        made |= dict.fromkeys(interface.provides, entry.kind)
    for _, interface in teacher:
        made |= {f"teacher_{name}": "teacher" for name in interface.provides}
    return made


def stage_problems(
    stages: Sequence[Stage],
    *,
    clips: bool,
    teacher: Sequence[Stage],
    registry: Registry,
    extras: Sequence[str] = (),
) -> list[str]:
    """Return why the stages (augmentation, encoder, head, loss) don't go together, in sentences.

    Args:
        stages: the stages, in this order.
        clips: whether the data has clips.
        teacher: the stages of the teacher; none without a teacher.
        registry: the installed parts, for what would fit.
        extras: names of the extras of the images.
    """
    problems: list[str] = []
    for position, (entry, interface) in enumerate(stages):
        taught = teacher if entry.kind == "loss" else ()
        made = signals_before_loss(stages[:position], teacher=taught, extras=extras)
        problems += _extras_problems((entry, interface), extras)
        if entry.kind == "augmentation" and not takes(interface, clips=clips):
            problems.append(_misfit(entry, clips, registry))
        for signal in _unmet((entry, interface), made):
            if signal == "labels":
                problems.append(
                    f"{entry} asks for labels, which no training stage sees unless it is a "
                    "loss whose record says supervised=True"
                )
            else:
                problems.append(_missing(entry, signal, registry, made, teacher=bool(teacher)))
        if entry.kind != "loss" and not interface.provides:
            problems.append(
                f"{entry} does not say what it provides: its forward must return a TypedDict "
                "(sslcore.signals has the common ones)"
            )
    return problems


def _extras_problems(stage: Stage, extras: Sequence[str]) -> Iterator[str]:
    """Yield which extras a stage can't take or make."""
    entry, interface = stage
    for name in extras:
        if interface.needs.get(name) and entry.kind in ("augmentation", "encoder"):
            yield (
                f"{entry} can't work without {name}, and evaluators give it images alone: its "
                f"forward must have a default for {name}"
            )
        if name in interface.provides and entry.kind in ("encoder", "head"):
            yield f"{entry} provides {name}, and the images come with {name} of their own"


def _unmet(stage: Stage, made: Iterable[str]) -> Iterator[str]:
    """Yield the signals that a stage needs and does not get; labels are for some losses only."""
    entry, interface = stage
    for signal, needed in interface.needs.items():
        if signal == "labels":
            if not (isinstance(entry.record, Loss) and entry.record.supervised):
                yield signal
        elif needed and signal not in made:
            yield signal


def evaluator_problems(
    evaluators: Sequence[Stage], stages: Sequence[Stage], *, registry: Registry
) -> list[str]:
    """Return what evaluators ask for that these stages don't give, in sentences."""
    problems: list[str] = []
    made = signals_before_loss(stages)
    for entry, interface in evaluators:
        for signal, needed in interface.needs.items():
            if signal in FROM_HEAD and FROM_HEAD[signal] not in made:
                problems.append(_missing(entry, FROM_HEAD[signal], registry, made, teacher=True))
            elif needed and signal not in EVALUATION_SIGNALS:
                problems.append(
                    f"{entry} asks for {signal}, which evaluators don't get"
                    f"{nearest(signal, EVALUATION_SIGNALS)}"
                )
    return problems


def _misfit(entry: Entry, clips: bool, registry: Registry) -> str:
    wanted = "clips" if clips else "single images"
    other = "single images" if clips else "clips"
    fitting = [
        candidate.name
        for candidate, interface in _importable(registry.entries("augmentation"))
        if takes(interface, clips=clips)
    ]
    return (
        f"{entry} takes {other}, and the data has {wanted}; augmentations that take {wanted}: "
        f"{', '.join(fitting) or 'none is installed'}"
    )


def _missing(
    entry: Entry, signal: str, registry: Registry, made: Iterable[str], *, teacher: bool
) -> str:
    there = [name for name in made if name not in ENGINE_SIGNALS]
    said = f"{entry} needs {signal}, which nothing before it provides"
    said += f" (there is {', '.join(there)})" if there else ""
    wanted = signal.removeprefix("teacher_")
    if wanted != signal and not teacher:
        return f"{said}; add a teacher: --set teacher.momentum=0.996"
    if wanted != signal and wanted in made:
        return f"{said}; the teacher has no head: --set teacher.head=true"
    providers = [
        f"{kind} {candidate.name}"
        for kind in ("augmentation", "encoder", "head")
        for candidate, interface in _importable(registry.entries(kind))
        if wanted in interface.provides
    ]
    providers += [
        f"data {candidate.name}"
        for candidate in registry.entries("dataset")
        if isinstance(candidate.record, Dataset) and wanted in candidate.record.provides
    ]
    if providers:
        return f"{said}; it would come from: {', '.join(providers)}"
    known = {
        *ENGINE_SIGNALS,
        *there,
        *(
            name
            for kind in ("augmentation", "encoder", "head")
            for _, interface in _importable(registry.entries(kind))
            for name in interface.provides
        ),
    }
    supplied = f"; {signal} is for the constructor to ask for" if signal in SUPPLIED else ""
    return f"{said}, and no installed component does{supplied or nearest(signal, known)}"


def _importable(entries: Iterable[Entry]) -> Iterable[Stage]:
    for entry in entries:
        try:
            yield entry, entry.interface()
        except CompositionError:
            continue
