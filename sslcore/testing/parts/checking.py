"""The subject, properties and name of a spec, for parts other than losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sslcore.errors import UsageError, nearest
from sslcore.testing.parts.augmentation_contract import AUGMENTATION_CONTRACT
from sslcore.testing.parts.augmentation_statistics import AUGMENTATION_STATISTICS
from sslcore.testing.parts.augmentation_subject import AugmentationSubject
from sslcore.testing.parts.augmentations import AUGMENTATION
from sslcore.testing.parts.dataset_subject import DatasetSubject
from sslcore.testing.parts.datasets import DATASET
from sslcore.testing.parts.encoders import ENCODER
from sslcore.testing.parts.evaluator_labels import EVALUATOR_LABELS
from sslcore.testing.parts.evaluator_scores import EVALUATOR_SCORES
from sslcore.testing.parts.evaluator_subject import EvaluatorSubject
from sslcore.testing.parts.evaluators import EVALUATOR
from sslcore.testing.parts.heads import HEAD
from sslcore.testing.parts.method_subject import MethodSubject
from sslcore.testing.parts.methods import METHOD
from sslcore.testing.parts.module_subject import EncoderSubject, HeadSubject
from sslcore.testing.parts.optimizer_subject import OptimizerSubject
from sslcore.testing.parts.optimizers import OPTIMIZER
from sslcore.testing.parts.schedules import SCHEDULE, ScheduleSubject
from sslcore.testing.parts.spec import (
    AugmentationSpec,
    DatasetSpec,
    EncoderSpec,
    EvaluatorSpec,
    HeadSpec,
    MethodSpec,
    OptimizerSpec,
    PartSpec,
    ScheduleSpec,
    TrackerSpec,
)
from sslcore.testing.parts.subject import PartSubject
from sslcore.testing.parts.tracker_subject import TrackerSubject
from sslcore.testing.parts.trackers import TRACKER
from sslcore.testing.property import Property


@dataclass(frozen=True)
class Kind:
    """The checks of a kind of part.

    Attributes:
        name: the kind in a plugin's records.
        subject: makes the subject of the properties from a spec.
        properties: the properties of every part of the kind.
    """

    name: str
    subject: type[PartSubject]
    properties: tuple[Property, ...]


KINDS: Mapping[type[PartSpec], Kind] = {
    AugmentationSpec: Kind(
        "augmentation",
        AugmentationSubject,
        (*AUGMENTATION_CONTRACT, *AUGMENTATION, *AUGMENTATION_STATISTICS),
    ),
    EncoderSpec: Kind("encoder", EncoderSubject, ENCODER),
    HeadSpec: Kind("head", HeadSubject, HEAD),
    EvaluatorSpec: Kind(
        "evaluator", EvaluatorSubject, (*EVALUATOR, *EVALUATOR_SCORES, *EVALUATOR_LABELS)
    ),
    DatasetSpec: Kind("dataset", DatasetSubject, DATASET),
    OptimizerSpec: Kind("optimizer", OptimizerSubject, OPTIMIZER),
    ScheduleSpec: Kind("schedule", ScheduleSubject, SCHEDULE),
    TrackerSpec: Kind("tracker", TrackerSubject, TRACKER),
    MethodSpec: Kind("method", MethodSubject, METHOD),
}


def properties_of(spec: PartSpec) -> tuple[Property, ...]:
    """Return the properties that a spec is checked for.

    Raises:
        UsageError: it names an unknown property as an expected failure, or `make` is not callable.
    """
    kind = KINDS[type(spec)]
    if not callable(spec.make):
        raise UsageError(f"make must be callable, got {type(spec.make).__name__}")
    names = [item.name for item in kind.properties]
    for name in spec.expected_failures:
        if name not in names:
            raise UsageError(
                f"expected_failures: {kind.name}s have no property {name!r}{nearest(name, names)}"
            )
    return kind.properties


def name_of(spec: PartSpec) -> str:
    """Return the name of a spec in a report."""
    made = getattr(spec.make, "__name__", type(spec.make).__name__)
    return f"{KINDS[type(spec)].name} {spec.name or made}"


def catalogue(kind: str) -> list[dict[str, str]]:
    """Return the properties of a kind: name, code, formula, precondition, what each catches.

    Raises:
        UsageError: there is no such kind.
    """
    known = {item.name: item for item in KINDS.values()}
    if kind not in known:
        raise UsageError(
            f"no kind of parts is called {kind!r}{nearest(kind, known)}; kinds are "
            f"{', '.join(known)}"
        )
    return [item.documentation() for item in known[kind].properties]
