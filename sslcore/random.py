"""Random numbers that depend only on seed, step, global batch size and position in the batch.

They are drawn on the CPU for the whole global batch and then moved to the device of the images.
They therefore don't depend on the device or on how processes and micro-batches split a batch.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator_for(*key: int | str) -> torch.Generator:
    """Return a CPU generator whose state is a function of the key alone."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") & (2**63 - 1))


def epoch_order(seed: int, epoch: int, size: int) -> Tensor:
    """Return the order of the samples in an epoch: a permutation of range(size), int64."""
    return torch.randperm(size, generator=generator_for(seed, "order", epoch))


class BatchRandom:
    """The random numbers of one step, one row per image.

    Every method returns a tensor (B, *shape) on `device`: row i belongs to image i of this process.
    Successive calls return different numbers, so the result depends on the order of the calls.
    `fork` returns a source that does not depend on earlier calls.

    Args:
        seed: the run's seed.
        step: the step, counted from 0 over the whole run.
        batch_size: images in the global batch.
        rows: the rows of the global batch to return; all of them by default.
        device: where the numbers go.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        batch_size: int,
        *,
        rows: slice | None = None,
        device: torch.device | str = "cpu",
        path: tuple[str, ...] = (),
    ) -> None:
        self.seed, self.step, self.batch_size = seed, step, batch_size
        self.rows = rows if rows is not None else slice(0, batch_size)
        self.device = torch.device(device)
        self._path = path
        self._generator = generator_for(seed, "step", step, *path)

    def fork(self, name: str) -> BatchRandom:
        """Return an independent source for the component `name`."""
        return BatchRandom(
            self.seed,
            self.step,
            self.batch_size,
            rows=self.rows,
            device=self.device,
            path=(*self._path, name),
        )

    def select(self, rows: slice) -> BatchRandom:
        """Return the same source for some of these images; `rows` must have a start and a stop."""
        start = self.rows.start
        return BatchRandom(
            self.seed,
            self.step,
            self.batch_size,
            rows=slice(start + rows.start, start + rows.stop),
            device=self.device,
            path=self._path,
        )

    def whole(self) -> BatchRandom:
        """Return the same source for the whole global batch."""
        return BatchRandom(
            self.seed, self.step, self.batch_size, device=self.device, path=self._path
        )

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform floats in [low, high), (B, *shape)."""
        drawn = torch.rand(self.batch_size, *shape, generator=self._generator)
        return self._here(drawn * (high - low) + low)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal floats, (B, *shape)."""
        return self._here(torch.randn(self.batch_size, *shape, generator=self._generator))

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Booleans that are True with `probability`, (B, *shape)."""
        return self.uniform(*shape) < probability

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Integers in [low, high), int64, (B, *shape)."""
        drawn = torch.randint(low, high, (self.batch_size, *shape), generator=self._generator)
        return self._here(drawn)

    def permutations(self, size: int, *shape: int) -> Tensor:
        """Permutations of range(size), int64, (B, *shape, size)."""
        return self.uniform(*shape, size).argsort(-1)

    def _here(self, drawn: Tensor) -> Tensor:
        rows = drawn[self.rows]
        if self.device.type == "cuda":
            # With pinned memory, the copy does not make the host wait for the device.
            return rows.pin_memory().to(self.device, non_blocking=True)
        return rows.to(self.device)
