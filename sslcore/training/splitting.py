"""Whether a batch can be split exactly, and what to say where it can't."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sslcore.compute.processes import Processes
from sslcore.compute.sync_batch_norm import batch_norm_layers
from sslcore.errors import UsageError
from sslcore.pipeline.pipeline import Pipeline, Signals, augment, encode, project
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Training
from sslcore.signals import batch_axis

#: How far apart two ways to compute the same may be, as a part of the largest value.
_ROUNDING = 1e-3

_WITHOUT = {
    "encoder": "an encoder without it (a transformer)",
    "head": "a head without it (--set head.batch_norm=false where it has that setting)",
}


def check_splits(
    pipeline: Pipeline, training: Training, processes: Processes, sample: Tensor
) -> None:
    """Refuse micro-batches that would give another result than the whole batch.

    Args:
        pipeline: the stages, on the device.
        training: the settings of the loop.
        processes: those that share the batches.
        sample: a few images to try it with, on the device.

    Raises:
        UsageError: encoder or head look at several images at a time, or the sizes don't go
            together.
    """
    size, count = training.micro_batch, processes.count
    assert size is not None
    if training.batch_statistics == "micro-batch":
        each = training.batch_size // count
        if each % size:
            where = f"each of {count} processes has" if count > 1 else "a batch has"
            raise UsageError(
                f"training.micro_batch: {where} {each} images, no multiple of {size}, so that the "
                "last would be normalised by fewer; use --micro-batch "
                f"{_largest_divisor(each, size)}"
            )
        return
    if size % count:
        raise UsageError(
            f"training.micro_batch: {count} processes can't share {size} images evenly; say "
            f"--micro-batch {max(1, size // count) * count}"
        )
    stages = {"encoder": pipeline.encoder, "head": pipeline.head}
    layers = {kind: batch_norm_layers(stage) for kind, stage in stages.items() if stage is not None}
    normalised = [kind for kind, count in layers.items() if count]
    if normalised:
        where = " and ".join(f"the {kind} ({layers[kind]} layers)" for kind in normalised)
        raise UsageError(
            f"training.micro_batch: there is batch norm in {where}, whose statistics are those of "
            f"all {training.batch_size} images; split, the result would be another. Say --set "
            "training.batch_statistics=micro-batch to normalise each micro-batch by itself, "
            f"--batch-size {size}, or choose {' and '.join(_WITHOUT[kind] for kind in normalised)}"
        )
    _try(pipeline, sample)


def _largest_divisor(number: int, limit: int) -> int:
    return next(size for size in range(min(number, limit), 0, -1) if number % size == 0)


@torch.no_grad()
def _try(pipeline: Pipeline, sample: Tensor) -> None:
    """Refuse an encoder or head that makes another thing of images alone than of all of them."""
    encoder, head = copy.deepcopy(pipeline.encoder), copy.deepcopy(pipeline.head)
    for module in (*encoder.modules(), *(() if head is None else head.modules())):
        # What is dropped differs between any two calls, and is no look at other images.
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    random = BatchRandom(0, 0, len(sample), device=sample.device)

    def made_of(part: slice) -> tuple[Signals, Signals]:
        views = augment(pipeline.augmentation, sample[part], random=random.select(part))
        features = encode(encoder, views)
        return features, project(head, views | features)

    every = made_of(slice(0, len(sample)))
    alone = made_of(slice(0, len(sample) // 2))
    for kind, whole, half in zip(("encoder", "head"), every, alone, strict=True):
        for name, item in whole.items():
            if not isinstance(item, Tensor) or not item.dim():
                continue
            axis = batch_axis(name)
            first = item.narrow(axis, 0, half[name].shape[axis]).float()
            apart = (first - half[name].float()).abs().max()
            if not apart <= _ROUNDING * (first.abs().max() + _ROUNDING):
                raise UsageError(
                    f"training.micro_batch: what the {kind} makes of an image ({name}) depends on "
                    "the other images of the batch, so a split batch would give another result; "
                    f"choose a smaller --batch-size, or another {kind}"
                )
