"""Calls the parts that have something to do after a step, or before an epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from sslcore.compute.processes import Processes
from sslcore.compute.rng_state import preserved_generators
from sslcore.contract.moments import AFTER_STEP, EPOCH_STARTED
from sslcore.data import Split
from sslcore.evaluation.evaluate import batches
from sslcore.evaluation.extractor import FeatureExtractor
from sslcore.pipeline.pipeline import Pipeline
from sslcore.random import BatchRandom


class Moments:
    """Calls `after_step` and `epoch_started` of the stages that have them; see `contract.moments`.

    Args:
        pipeline: the stages, on the device.
        split: the training images.
        seed: the run's seed.
        device: where to compute.
        processes: the processes that train together; each encodes its share of the images.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        split: Split,
        seed: int,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.pipeline, self.split, self.seed = pipeline, split, seed
        self.device, self.processes = device, processes
        self._after_step, self._epoch_started = (
            [_Call(getattr(stage, moment)) for stage in pipeline.stages if hasattr(stage, moment)]
            for moment in (AFTER_STEP, EPOCH_STARTED)
        )

    @torch.no_grad()
    def after_step(self, step: int, progress: float) -> None:
        """Call the parts after a step of the optimizer."""
        for call in self._after_step:
            self.pipeline.at = AFTER_STEP
            call({"step": step, "progress": progress})

    @torch.no_grad()
    def epoch_started(self, epoch: int) -> None:
        """Call the parts before the first step of an epoch, counted from 0."""
        known: list[Tensor] = []

        def features() -> Tensor:
            if not known:
                known.append(self._features())
            return known[0]

        for call in self._epoch_started:
            self.pipeline.at = EPOCH_STARTED
            random = BatchRandom(
                self.seed, epoch, len(self.split), device=self.device, path=(EPOCH_STARTED,)
            )
            call({"epoch": epoch, "features": features, "random": random})

    def _features(self) -> Tensor:
        """Return the features of all training images (N, F), the same in every process."""
        size, count = len(self.split), self.processes.count
        # Processes gather parts of one size, so the last part is filled up with its last image.
        share = -(-size // count)
        first = self.processes.rank * share
        rows = torch.arange(first, first + share).clamp(max=size - 1)
        extract = FeatureExtractor(self.pipeline.augmentation, self.pipeline.encoder)
        try:
            with preserved_generators(self.device):
                own = [extract(images) for _, images in batches(self.split, self.device, rows)]
        finally:
            self.pipeline.train()
        return self.processes.gather(torch.cat(own), 0)[:size]


class _Call:
    """Calls a method with those of the supplied values that it names."""

    def __init__(self, method: Callable[..., object]) -> None:
        self.method, self.asked = method, tuple(inspect.signature(method).parameters)

    def __call__(self, supplied: Mapping[str, object]) -> None:
        self.method(**{name: supplied[name] for name in self.asked if name in supplied})
