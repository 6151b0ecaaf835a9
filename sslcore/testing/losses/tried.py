"""The family's examples for a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslcore.testing.losses.example import Example
from sslcore.testing.losses.subject import LossSubject

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the family's fixed examples."""
    return [subject.adapt(example) for example in subject.family.anchors()]


def first_anchors(subject: LossSubject) -> Sequence[Example]:
    """Return the few smallest fixed examples."""
    return anchors(subject)[:4]


def examples(subject: LossSubject) -> SearchStrategy[Example]:
    """Return the family's ordinary examples."""
    ranges = {name: subject.family.hyper[name] for name in sorted(subject.takes)}
    return subject.family.examples(ranges).map(subject.adapt)


def unsupported(subject: LossSubject, dtype: str) -> str:
    """Return why a type is not tried; empty if it is tried."""
    return "" if dtype in subject.spec.dtypes else f"{dtype} is not among the spec's types"
