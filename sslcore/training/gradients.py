"""The gradient of the loss of a batch: whole or in micro-batches, in one process or several."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sslcore.compute.processes import ALONE, Processes
from sslcore.compute.sync_batch_norm import SharedStatistics
from sslcore.data.batches import Batch
from sslcore.data.sources import Crops
from sslcore.pipeline.pipeline import Pipeline, Signals, without_graphs
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Training
from sslcore.training.micro_batches import MicroBatches, unmoved_buffers
from sslcore.training.splitting import check_splits

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Gradients:
    """Computes the loss of a batch, and adds its gradient to the parameters' `grad`.

    For any number of processes and micro-batches, this is the gradient of the global batch.

    Args:
        pipeline: the stages, on the device.
        training: the settings of the loop.
        device: where to compute.
        precision: "fp32", "bf16" or "fp16".
        scaler: multiplies the loss, so that small gradients don't vanish in fp16.
        sample: a few images on the device, for checks before training.
        processes: the processes that share the batches.
        total_steps: steps of the whole run, for checks in the middle of it.

    Raises:
        UsageError: the processes can't share a batch evenly, or micro-batches change the result.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        training: Training,
        device: torch.device,
        precision: str,
        scaler: torch.amp.GradScaler,
        sample: Batch,
        processes: Processes = ALONE,
        *,
        total_steps: int = 0,
    ) -> None:
        self.pipeline, self.device, self.precision = pipeline, device, precision
        self.seed, self.scaler, self.processes = training.seed, scaler, processes
        self._rows = processes.share(training.batch_size)
        self._score: nn.Module = _Scored(pipeline)
        self._micro_batches: MicroBatches | None = None
        # A micro-batch with batch statistics of its own lies in one process.
        self._apart = training.batch_statistics == "micro-batch"
        if training.micro_batch is not None and training.micro_batch < training.batch_size:
            check_splits(pipeline, training, processes, sample)
            self._micro_batches = MicroBatches(
                pipeline, training.micro_batch, device, processes, apart=self._apart
            )
        elif processes.several:
            unused = self._leaves_parameters_unused(sample, total_steps)
            self._score = _over_processes(self._score, unused)

    def __call__(self, batch: Batch, progress: float) -> Signals:
        """Return the signals of a batch without graphs; `loss` is the mean over all processes.

        Args:
            batch: the images of this process.
            progress: fraction of training that is done, in [0, 1).
        """
        random = BatchRandom(
            self.seed,
            batch.step,
            batch.size,
            rows=self._rows,
            device=self.device,
        )
        with self._shared_statistics():
            signals = self._signals(batch, random, progress)
        loss = signals["loss"].detach()
        return signals | {"loss": self.processes.mean(loss) if self.processes.several else loss}

    def _signals(self, batch: Batch, random: BatchRandom, progress: float) -> Signals:
        if self._micro_batches is not None:
            return self._micro_batches(
                batch,
                random=random,
                progress=progress,
                precision=lambda: _autocast(self.precision, self.device),
                scale=self.scaler.scale,
            )
        signals: Signals = self._score(
            batch.images,
            labels=batch.labels,
            given=batch.given,
            random=random,
            progress=progress,
            step=batch.step,
            precision=_autocast(self.precision, self.device),
            processes=self.processes,
        )
        self.scaler.scale(signals["loss"]).backward()
        return signals

    def _leaves_parameters_unused(self, sample: Batch, total_steps: int) -> bool:
        """Whether some parameter has no gradient, at the start or in the middle of training."""
        parameters = self.pipeline.trainable()
        for progress in (0.0, 0.5):
            with unmoved_buffers(self.pipeline):
                signals = self.pipeline(
                    sample.images,
                    random=BatchRandom(0, 0, sample.size, device=self.device),
                    progress=progress,
                    step=round(progress * total_steps),
                    labels=sample.labels,
                    given=sample.given,
                )
                gradients = torch.autograd.grad(signals["loss"], parameters, allow_unused=True)
            if any(gradient is None for gradient in gradients):
                return True
        return False

    def _shared_statistics(self) -> AbstractContextManager[object]:
        alone = not self.processes.several or (self._micro_batches is not None and self._apart)
        return nullcontext() if alone else SharedStatistics()


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which encoder and head run."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def _over_processes(module: nn.Module, unused: bool) -> DistributedDataParallel:
    with warnings.catch_warnings():
        # Newer versions of torch rename this argument; the oldest one here has only this name.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers")
        # Buffers are equal already, since batch norm and queues see the global batch.
        return DistributedDataParallel(
            module, broadcast_buffers=False, find_unused_parameters=unused
        )


class _Scored(nn.Module):
    """A pipeline of whose signals only the loss has a graph.

    `DistributedDataParallel` can then find the parameters that the loss does not depend on.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, images: Tensor | Crops, **options: Any) -> Signals:
        """Return the signals of a batch, as the pipeline does."""
        return without_graphs(self.pipeline(images, **options), but=("loss",))
