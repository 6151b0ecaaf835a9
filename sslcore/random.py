"""Random numbers that depend only on seed, step, global batch size and position in the batch.

They are drawn on the CPU for the whole global batch and then moved to the device of the images.
They therefore don't depend on the device or on how processes and micro-batches split a batch.
"""

from __future__ import annotations

import copy
import hashlib
import math

import numpy as np
import torch
from torch import Tensor


def generator_for(*key: int | str) -> torch.Generator:
    """Return a CPU generator whose state is a function of the key alone."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") & (2**63 - 1))


#: The largest epoch whose order is kept in memory; positions of larger ones are computed.
_PERMUTED = 2**20
#: Rounds of `computed_order`; with half of them, orders of 10 images are not uniform.
_ROUNDS = 24
#: Odd constants of a multiplicative hash (those of SplitMix64).
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def epoch_order(
    seed: int, epoch: int, size: int, start: int = 0, stop: int | None = None
) -> Tensor:
    """Return a part of the order of the samples in an epoch, which is a permutation of range(size).

    Of more than 2^20 samples, only the positions asked for are computed.

    Args:
        seed: the run's seed.
        epoch: the epoch, counted from 0.
        size: number of samples.
        start: the first position to return.
        stop: the position after the last one to return; None returns all.

    Returns:
        int64, (stop - start,).
    """
    if size > _PERMUTED:
        return computed_order(seed, epoch, size, start, stop)
    return torch.randperm(size, generator=generator_for(seed, "order", epoch))[start:stop]


def computed_order(
    seed: int, epoch: int, size: int, start: int = 0, stop: int | None = None
) -> Tensor:
    """Return a part of an order of range(size), position by position.

    Each position is computed on its own, so that the order of a large data set takes no memory: a
    Feistel network permutes the cells of a table with at least `size` cells, and a result beyond
    `size` is permuted again until it lies below (Black and Rogaway 2002, "Ciphers with arbitrary
    finite domains"). Arguments and result as those of `epoch_order`.
    """
    # The table is as square as possible: each round hashes one coordinate to move the other.
    height = max(2, math.isqrt(size))
    width = -(-size // height)
    digest = hashlib.shake_256(repr((seed, "order", epoch)).encode()).digest(8 * _ROUNDS)
    keys = np.frombuffer(digest, dtype="<u8")

    def permuted(cells: np.ndarray) -> np.ndarray:
        row, column = np.divmod(cells, np.uint64(width))
        for key, other in zip(keys[::2], keys[1::2], strict=True):
            row = _moved(row, column, key, height)
            column = _moved(column, row, other, width)
        return row * np.uint64(width) + column

    order = permuted(np.arange(start, size if stop is None else stop, dtype=np.uint64))
    while len(beyond := np.flatnonzero(order >= size)):
        order[beyond] = permuted(order[beyond])
    return torch.from_numpy(order.astype(np.int64))


def _moved(coordinate: np.ndarray, other: np.ndarray, key: np.uint64, size: int) -> np.ndarray:
    """Add a hash of the other coordinate, modulo `size`."""
    moved = other + key
    moved *= _FIRST
    moved ^= moved >> np.uint64(32)
    moved *= _SECOND
    # From 32 bits to range(size), by a multiplication in place of the slow division.
    moved >>= np.uint64(32)
    moved *= np.uint64(size)
    moved >>= np.uint64(32)
    moved += coordinate
    # Unsigned numbers below 0 are very large.
    wrapped: np.ndarray = np.minimum(moved, moved - np.uint64(size))
    return wrapped


class BatchRandom:
    """The random numbers of one step, one row per image.

    A drawing method returns a tensor (B, *shape) on `device`: row i belongs to image i of this
    process. Successive calls return different numbers, so the result depends on the order of the
    calls. `shared` draws once for all images, and `fork` returns a source of its own; neither
    depends on earlier calls.

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

    def on(self, device: torch.device | str) -> BatchRandom:
        """Return the same source with its numbers on another device; both draw from one stream."""
        moved = copy.copy(self)
        moved.device = torch.device(device)
        return moved

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

    def shared(self, name: str, *shape: int) -> Tensor:
        """Uniform floats in [0, 1), (*shape): the same for all images and all processes of a step.

        They depend on the name, and not on earlier calls: one name gives the same numbers again.
        """
        generator = generator_for(self.seed, "step", self.step, *self._path, "shared", name)
        return self._moved(torch.rand(shape, generator=generator))

    def _here(self, drawn: Tensor) -> Tensor:
        return self._moved(drawn[self.rows])

    def _moved(self, drawn: Tensor) -> Tensor:
        if self.device.type == "cuda":
            # With pinned memory, the copy does not make the host wait for the device.
            return drawn.pin_memory().to(self.device, non_blocking=True)
        return drawn.to(self.device)
