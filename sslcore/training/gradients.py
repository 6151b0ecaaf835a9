"""The gradient of a batch's loss: at once or in micro-batches, in one process or in several."""

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
from sslcore.pipeline.pipeline import Pipeline, Signals, without_graphs
from sslcore.random import BatchRandom
from sslcore.recipe.recipe import Training
from sslcore.training.micro_batches import MicroBatches, unmoved_buffers
from sslcore.training.splitting import check_splits

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Gradients:
    """Scores batches and leaves the gradient of their loss in the parameters.

    It is the gradient of the whole batch's loss whatever the number of processes and micro-batches.

    Args:
        pipeline: the stages, on the device.
        training: the settings of the loop.
        device: where to compute.
        precision: "fp32", "bf16" or "fp16".
        scaler: multiplies the loss, so that small gradients don't vanish in fp16.
        sample: a few images, on the device, to try it with.
        processes: those that share the batches.

    Raises:
        UsageError: the processes can't share a batch evenly, or it can't be split exactly.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        training: Training,
        device: torch.device,
        precision: str,
        scaler: torch.amp.GradScaler,
        sample: Tensor,
        processes: Processes = ALONE,
    ) -> None:
        self.pipeline, self.device, self.precision = pipeline, device, precision
        self.seed, self.scaler, self.processes = training.seed, scaler, processes
        self._rows = processes.share(training.batch_size)
        self._score: nn.Module = _Scored(pipeline)
        self._micro_batches: MicroBatches | None = None
        # Normalised by itself, a micro-batch lies in one process.
        self._apart = training.batch_statistics == "micro-batch"
        if training.micro_batch is not None and training.micro_batch < training.batch_size:
            check_splits(pipeline, training, processes, sample)
            self._micro_batches = MicroBatches(
                pipeline, training.micro_batch, device, processes, apart=self._apart
            )
        elif processes.several:
            self._score = _over_processes(self._score, self._leaves_parameters_unused(sample))

    def __call__(self, batch: Batch, progress: float) -> Signals:
        """Return the signals of a batch; `loss` is that of all processes.

        Only their values are left: the graph has been used.
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
                batch.images,
                labels=batch.labels,
                random=random,
                progress=progress,
                precision=lambda: _autocast(self.precision, self.device),
                scale=self.scaler.scale,
            )
        signals: Signals = self._score(
            batch.images,
            labels=batch.labels,
            random=random,
            progress=progress,
            precision=_autocast(self.precision, self.device),
            processes=self.processes,
        )
        self.scaler.scale(signals["loss"]).backward()
        return signals

    def _leaves_parameters_unused(self, sample: Tensor) -> bool:
        """Whether the loss of a few images does not depend on every parameter, early or later."""
        parameters = self.pipeline.trainable()
        labels = torch.zeros(len(sample), dtype=torch.int64, device=self.device)
        for progress in (0.0, 0.5):
            with unmoved_buffers(self.pipeline):
                made = self.pipeline(
                    sample,
                    random=BatchRandom(0, 0, len(sample), device=self.device),
                    progress=progress,
                    labels=labels if self.pipeline.supervised else None,
                )
                found = torch.autograd.grad(made["loss"], parameters, allow_unused=True)
            if any(gradient is None for gradient in found):
                return True
        return False

    def _shared_statistics(self) -> AbstractContextManager[object]:
        alone = not self.processes.several or (self._micro_batches is not None and self._apart)
        return nullcontext() if alone else SharedStatistics()


def _autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context under which encoder and head run."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])


def _over_processes(module: nn.Module, unused: bool) -> DistributedDataParallel:
    with warnings.catch_warnings():
        # Newer versions of torch have another name for it, which the oldest here don't know.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers")
        # Statistics are shared already, and a queue sees what all processes have made.
        return DistributedDataParallel(
            module, broadcast_buffers=False, find_unused_parameters=unused
        )


class _Scored(nn.Module):
    """A pipeline whose loss alone has a graph, so that it can be told what the loss depends on."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline

    def forward(self, images: Tensor, **how: Any) -> Signals:
        """Return the signals of a batch, as the pipeline does."""
        return without_graphs(self.pipeline(images, **how), but=("loss",))
