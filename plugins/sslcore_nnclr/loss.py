"""The loss of NNCLR: nearest neighbours in a queue as positives."""

from __future__ import annotations

from itertools import permutations
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from sslcore.contrastive import contrast, positions
from sslcore.functional import unit_rows, without_autocast

#: Of the queue's first rows, which are a function of its shape and nothing else.
_SEED = 0
#: Similarities with the queue that are held in memory at a time.
_HELD = 2**24


def first_queue(size: int, dim: int) -> Tensor:
    """Return the content of a queue before its first image: random unit rows, float32 (size, dim).

    They are those of torch's generator on the CPU with seed 0, so the same for every run.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return unit_rows(torch.randn(size, dim, generator=generator))


def nearest_rows(queries: Tensor, rows: Tensor) -> Tensor:
    """Return the row with the largest product with each query; the first one of equals.

    Args:
        queries: (M, D).
        rows: (K, D), of the same type.

    Returns:
        (M, D).
    """
    with torch.no_grad(), without_autocast(queries.device):
        chunks = queries.split(max(1, _HELD // len(rows)))
        nearest = torch.cat([(chunk @ rows.T).argmax(1) for chunk in chunks])
    return rows[nearest]


class NeighbourContrast(nn.Module):
    """Identify an image among the batch by the nearest neighbour of its other view.

    NNCLR (Dwibedi et al. 2021), equations (2) to (4). With projections z and predictions p of the
    views of an image i, all of unit length, and NN(z) the row of the queue nearest to z,

        L = mean over i of -log( exp(NN(z_i)·p_i⁺ / τ) / Σ_k exp(NN(z_i)·p_k⁺ / τ) ),

    p⁺ the predictions of another view and k over all images of the batch; averaged over all ordered
    pairs of different views. Neighbours get no gradient.

    Then the projections of the first view take the place of the oldest rows of the queue. So an
    image is never its own neighbour in one batch; of a batch larger than the queue, the last images
    stay. The queue starts with random unit rows (`first_queue`). It is part of every checkpoint,
    and does not change in eval mode.

    Args:
        projection_dim: length of a projection.
        num_views: views per image, at least 2.
        queue_size: rows of the queue. If it is well above the number of training images, an
            image's own earlier projection is often its neighbour.
        temperature: τ, the divisor of cosine similarities, > 0.

    Raises:
        ValueError: there is one view, or (when called) projections and predictions are not float of
            one shape (V, B, projection_dim) with V ≥ 2 and B ≥ 2.
    """

    queue: Tensor
    oldest: Tensor

    def __init__(
        self,
        projection_dim: int,
        num_views: int = 2,
        *,
        queue_size: Annotated[int, Ge(1)] = 98304,
        temperature: Annotated[float, Gt(0)] = 0.1,
    ) -> None:
        super().__init__()
        if num_views < 2:
            raise ValueError(
                "the neighbour of one view is compared with another view, and the augmentation "
                f"makes {num_views}; use one that makes 2 or more"
            )
        self.temperature = temperature
        self.register_buffer("queue", first_queue(queue_size, projection_dim))
        # A tensor, so that the host does not wait for the device to know where to write.
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def forward(
        self, projections: Tensor, predictions: Tensor, rows: slice | None = None
    ) -> Tensor:
        """Score `predictions` (V, B, D) by neighbours of `projections` (V, B, D), as a scalar.

        Given `rows`, positions in B, only the neighbours of these images are compared, with the
        predictions of all. The projections of all images are queued.
        """
        self._check(projections, predictions)
        kept = torch.promote_types(projections.dtype, predictions.dtype)
        exact = torch.promote_types(kept, torch.float32)
        found, wanted = unit_rows(projections.detach().to(exact)), unit_rows(predictions.to(exact))
        views, count = found.shape[:2]
        here = positions(rows, count)
        near = nearest_rows(found[:, here].flatten(0, 1), self.queue.to(exact))
        near = near.unflatten(0, (views, -1))
        own = torch.arange(here.start, here.stop, device=found.device)
        losses = [
            contrast(near[first], wanted[second], own, self.temperature)
            for first, second in permutations(range(views), 2)
        ]
        if self.training:
            self._enqueue(found[0])
        return torch.stack(losses).mean().to(kept)

    def _check(self, projections: Tensor, predictions: Tensor) -> None:
        shape, other = tuple(projections.shape), tuple(predictions.shape)
        if shape != other or len(shape) != 3 or shape[0] < 2 or shape[1] < 2:
            raise ValueError(
                "projections and predictions must be of one shape (V, B, D), 2 or more views of 2 "
                f"or more images, got {shape} and {other}"
            )
        if shape[2] != self.queue.shape[1]:
            raise ValueError(
                f"the queue holds rows of length {self.queue.shape[1]}, and projections are of "
                f"length {shape[2]}"
            )
        if not (projections.is_floating_point() and predictions.is_floating_point()):
            raise ValueError(
                "projections and predictions must be float, got "
                f"{projections.dtype} and {predictions.dtype}"
            )

    @torch.no_grad()
    def _enqueue(self, found: Tensor) -> None:
        size, count = len(self.queue), len(found)
        kept = min(size, count)
        # Only the last ones of a large batch: no place is written to twice.
        places = self.oldest + torch.arange(count - kept, count, device=found.device)
        self.queue.index_copy_(0, places % size, found[count - kept :].to(self.queue.dtype))
        self.oldest.add_(count).remainder_(size)
