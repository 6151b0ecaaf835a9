"""Checks before training that micro-batches give the result of the whole batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sslcore.compute.processes import Processes
from sslcore.compute.sync_batch_norm import batch_norm_layers
from sslcore.data.batches import Batch
from sslcore.errors import UsageError
from sslcore.pipeline.pipeline import Pipeline, Signals, encode, project
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Training
from sslcore.signals import batch_axis

#: Tolerated difference between two computations of the same values, relative to the largest.
_ROUNDING = 1e-3

_WITHOUT = {
    "encoder": "an encoder without it (a transformer)",
    "head": "a head without it (--set head.batch_norm=false where it has that setting)",
}


def check_splits(
    pipeline: Pipeline, training: Training, processes: Processes, sample: Batch
) -> None:
    """Check that micro-batches give the same result as the whole batch.

    Args:
        pipeline: the stages, on the device.
        training: the settings of the loop.
        processes: the processes that share the batches.
        sample: a few images on the device, to run encoder and head on.

    Raises:
        UsageError: the output of encoder or head for an image depends on other images, or the
            sizes don't divide each other.
    """
    size, count = training.micro_batch, processes.count
    assert size is not None
    if training.batch_statistics == "micro-batch":
        each = training.batch_size // count
        if each % size:
            where = f"each of {count} processes has" if count > 1 else "a batch has"
            raise UsageError(
                f"training.micro_batch: {where} {each} images, not a multiple of {size}, so "
                "the last micro-batch would have fewer images for its statistics; use "
                f"--micro-batch {_largest_divisor(each, size)}"
            )
        return
    if size % count:
        raise UsageError(
            f"training.micro_batch: {count} processes can't share {size} images evenly; use "
            f"--micro-batch {max(1, size // count) * count}"
        )
    # The batch norm of a frozen encoder keeps its statistics, and so couples no images.
    trained = {} if pipeline.frozen else {"encoder": pipeline.encoder}
    stages: dict[str, nn.Module | None] = {**trained, "head": pipeline.head}
    layers = {kind: batch_norm_layers(stage) for kind, stage in stages.items() if stage is not None}
    normalised = [kind for kind, count in layers.items() if count]
    if normalised:
        where = " and ".join(f"the {kind} ({layers[kind]} layers)" for kind in normalised)
        raise UsageError(
            f"training.micro_batch: there is batch norm in {where}, with statistics over all "
            f"{training.batch_size} images, so micro-batches would change the result. Use --set "
            "training.batch_statistics=micro-batch to normalise each micro-batch by itself, use "
            f"--batch-size {size}, or choose {' and '.join(_WITHOUT[kind] for kind in normalised)}"
        )
    _check_independence(pipeline, sample)


def _largest_divisor(number: int, limit: int) -> int:
    return next(size for size in range(min(number, limit), 0, -1) if number % size == 0)


@torch.no_grad()
def _check_independence(pipeline: Pipeline, sample: Batch) -> None:
    """Check that the outputs of encoder and head for an image don't depend on the other images."""
    encoder, head = copy.deepcopy(pipeline.encoder), copy.deepcopy(pipeline.head)
    for module in (*encoder.modules(), *(() if head is None else head.modules())):
        # Dropout differs between any two calls, and does not depend on other images.
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    device = next(pipeline.parameters()).device
    random = BatchRandom(0, 0, sample.size, device=device)

    def outputs(rows: slice) -> tuple[Signals, Signals]:
        part = sample.part(rows)
        views = pipeline.augment(
            part.images, random=random.select(rows), progress=0.0, given=part.given
        )
        features = encode(encoder, views, pipeline.of_images)
        return features, project(head, views | features)

    of_all = outputs(slice(0, sample.size))
    of_half = outputs(slice(0, sample.size // 2))
    for kind, whole, half in zip(("encoder", "head"), of_all, of_half, strict=True):
        for name, item in whole.items():
            if not isinstance(item, Tensor) or not item.dim():
                continue
            axis = batch_axis(name)
            first = item.narrow(axis, 0, half[name].shape[axis]).float()
            difference = (first - half[name].float()).abs().max()
            if not difference <= _ROUNDING * (first.abs().max() + _ROUNDING):
                raise UsageError(
                    f"training.micro_batch: the output of the {kind} for an image ({name}) depends "
                    "on the other images of the batch, so micro-batches would change the result; "
                    f"choose a smaller --batch-size, or another {kind}"
                )
