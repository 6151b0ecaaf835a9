"""Shuffled batch statistics of a teacher, in micro-batches (He et al. 2020, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sslcore.compute.processes import Processes
from sslcore.pipeline.pipeline import Pipeline, Signals, signal_names
from sslcore.random import BatchRandom

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def seen_by_teacher(pipeline: Pipeline, signals: Signals) -> Signals:
    """Return the signals that the stages of the teacher read, so that no others are kept.

    Args:
        pipeline: the stages.
        signals: those of the engine and of the augmentation.
    """
    assert pipeline.teacher is not None
    wanted = {"views"}.union(*(signal_names(stage) for stage in pipeline.teacher.stages()))
    return {
        name: item
        for name, item in pipeline.teacher.inputs(signals).items()
        if name in wanted or not isinstance(item, Tensor)
    }


@torch.no_grad()
def teach_shuffled(
    pipeline: Pipeline,
    seen: Sequence[Signals],
    size: int,
    random: BatchRandom,
    processes: Processes,
    precision: Callable[[], AbstractContextManager[object]],
) -> Signals:
    """Return the teacher's signals of a batch, from micro-batches of shuffled images.

    Batch norm of a micro-batch tells which images are together in it, and a student could find an
    image's key by its statistics alone. The teacher's micro-batches are therefore drawn from the
    images of all processes, and its outputs are put back in order.

    Args:
        pipeline: the stages.
        seen: what `seen_by_teacher` returns, of each micro-batch of the student.
        size: images in a micro-batch.
        random: the random numbers of the step, which give the order.
        processes: those that share the batch.
        precision: makes the context in which encoder and head run.
    """
    moved = {
        name: processes.gather(_joined(pipeline, name, seen), pipeline.batch_axis(name))
        for name, item in seen[0].items()
        if isinstance(item, Tensor) and item.dim()
    }
    fixed = {name: item for name, item in seen[0].items() if not isinstance(item, Tensor)}
    count = moved["views"].shape[pipeline.batch_axis("views")]
    order = random.shared("teacher order", count).argsort()
    own = processes.share(count)
    taught = []
    for rows in order[own].split(size):
        taken = {
            name: item.index_select(pipeline.batch_axis(name), rows) for name, item in moved.items()
        }
        with precision():
            taught.append(pipeline.taught(fixed | taken))
    places = order.argsort()[own]
    found: Signals = {}
    for name, item in taught[0].items():
        if isinstance(item, Tensor) and item.dim():
            axis = pipeline.batch_axis(name)
            whole = processes.gather(_joined(pipeline, name, taught), axis)
            found[name] = whole.index_select(axis, places)
    return found


def _joined(pipeline: Pipeline, name: str, parts: Iterable[Signals]) -> Tensor:
    return torch.cat([part[name] for part in parts], pipeline.batch_axis(name))
