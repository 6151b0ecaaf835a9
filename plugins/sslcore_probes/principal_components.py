"""Principal components of samples that may be many and long."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Up to this side, a matrix of second moments is decomposed exactly (seconds on a CPU).
_EXACT_SIDE = 4096

#: Numbers in one block of samples: bounds the memory of what is computed from them.
_BLOCK = 2**24

#: For more samples and dimensions than that: extra directions, and rounds, of the subspace
#: iteration (Halko et al. 2011, algorithm 4.4).
_EXTRA_DIRECTIONS, _ROUNDS = 16, 8


def blocks(samples: Tensor) -> Iterator[Tensor]:
    """Yield consecutive samples (n, D) of a tensor (N, D), few enough to compute with at once."""
    yield from samples.split(max(1, _BLOCK // samples.shape[1]))


def principal_components(samples: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the orthonormal directions (D, k) of largest variance.

    Exact where there are few samples or few dimensions; otherwise by subspace iteration, which is
    close and gives the same answer every time.

    Args:
        samples: (N, D).
        components: directions wanted; k is no larger than N - 1 and D.
    """
    count, dimensions = samples.shape
    components = min(components, count - 1, dimensions)
    mean = samples.mean(0)
    if min(count, dimensions) > _EXACT_SIDE:
        return mean, _by_iteration(samples, mean, components)
    if dimensions <= count:
        moments = samples.new_zeros(dimensions, dimensions)
        for block in blocks(samples):
            centred = block - mean
            moments.addmm_(centred.T, centred)
        return mean, _leading(moments, components)
    centred = samples - mean
    # Orthonormal even where a variance is zero, unlike the directions divided by their lengths.
    return mean, torch.linalg.qr(centred.T @ _leading(centred @ centred.T, components)).Q


def _leading(matrix: Tensor, components: int) -> Tensor:
    """Return the eigenvectors (n, k) of the largest eigenvalues of a symmetric matrix (n, n)."""
    result: Tensor = torch.linalg.eigh(matrix).eigenvectors.flip(1)[:, :components]
    return result


def _by_iteration(samples: Tensor, mean: Tensor, components: int) -> Tensor:
    width = min(components + _EXTRA_DIRECTIONS, samples.shape[1])
    start = torch.randn(samples.shape[1], width, generator=torch.Generator().manual_seed(0))
    basis = torch.linalg.qr(start.to(samples)).Q
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(_moments_times(samples, mean, basis)).Q
    inside = basis.T @ _moments_times(samples, mean, basis)
    result: Tensor = basis @ _leading((inside + inside.T) / 2, components)
    return result


def _moments_times(samples: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """Return the second moments about the mean times a basis (D, k), never forming them."""
    product = torch.zeros_like(basis)
    for block in blocks(samples):
        centred = block - mean
        product.addmm_(centred.T, centred @ basis)
    return product
