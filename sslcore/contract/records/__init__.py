"""The records that a plugin yields.

A record is pure data: making one imports nothing and runs nothing. `build` names the code that
stands behind it as `"package.module:attribute"`, imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping

from sslcore.contract.records.base import KEBAB_CASE, Component, Record, Sections
from sslcore.contract.records.dataset import Dataset
from sslcore.contract.records.method import Method
from sslcore.contract.records.preset import Preset
from sslcore.contract.records.stages import Augmentation, Encoder, Evaluator, Head, Loss
from sslcore.contract.records.teacher import Teacher
from sslcore.contract.records.training import Optimizer, Schedule, Tracker

__all__ = [
    "KEBAB_CASE",
    "KINDS",
    "Augmentation",
    "Component",
    "Dataset",
    "Encoder",
    "Evaluator",
    "Head",
    "Loss",
    "Method",
    "Optimizer",
    "Preset",
    "Record",
    "Schedule",
    "Sections",
    "Teacher",
    "Tracker",
]

#: Every kind of record, in the order in which a tensor meets them.
KINDS: Mapping[str, type[Record]] = {
    record.kind: record
    for record in (
        Augmentation,
        Encoder,
        Head,
        Loss,
        Evaluator,
        Dataset,
        Optimizer,
        Schedule,
        Tracker,
        Method,
    )
}
