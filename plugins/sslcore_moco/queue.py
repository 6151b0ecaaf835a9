"""The loss of MoCo v1 and v2: an image's key against a queue of the keys of earlier images."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.contrastive import positions
from sslcore.functional import unit_rows, without_autocast
from sslcore_moco.contrast import check_view_count, check_views, unit_queries_and_keys

#: Of the queue's first rows, which are a function of its shape and nothing else.
_SEED = 0


def first_queue(size: int, dim: int) -> Tensor:
    """Return what a queue holds before the first key: random unit rows, float32 (size, dim).

    They are those of torch's generator on the CPU with seed 0, so the same for every run.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return unit_rows(torch.randn(size, dim, generator=generator))


class QueueContrast(nn.Module):
    """Tell an image's key from a queue of the keys of earlier images.

    MoCo (He et al. 2020), equation (1) and algorithm 1. The query q is the student's projection of
    its view, k₊ the teacher's projection of another view, and k₁ … k_K are the queue, all of unit
    length:

        L = mean over images of -log( exp(q·k₊ / τ) / (exp(q·k₊ / τ) + Σⱼ exp(q·kⱼ / τ)) ).

    Then the keys of the batch take the place of the oldest ones. So they are nobody's negatives in
    the batch that they come from; of a batch larger than the queue, the last keys stay. The queue
    starts with random unit rows (`first_queue`). Where the augmentation gives the student the query
    and the teacher the key alone, each encodes one view, as in the paper. Where both encode both
    views, the query is the first one and the key the second. The queue is part of every
    checkpoint, never gets a gradient, and stands still in eval mode.

    Args:
        projection_dim: length of a projection.
        num_views: views per image that the student encodes: 1, or 2.
        num_images: training images; a note says where the queue is longer.
        queue_size: K, keys in the queue. It need not be a multiple of the batch size. Well above
            the number of training images, an image's own earlier keys are among its negatives.
        temperature: τ, the divisor of cosine similarities, > 0: 0.2 in MoCo v2 (Chen et al.
            2020, section 3), 0.07 in MoCo v1.
        symmetric: whether the second view also queries the first, and the two losses are averaged;
            both views' keys are queued then. Student and teacher must encode both views.

    Raises:
        ValueError: there are other than one or two views, one and the loss is to be symmetric, or
            (when called) projections and teacher projections are not float of one shape
            (1 or 2, B, projection_dim).
    """

    queue: Tensor
    oldest: Tensor

    def __init__(
        self,
        projection_dim: int,
        num_views: int = 2,
        num_images: int | None = None,
        *,
        queue_size: Annotated[int, Ge(1)] = 65536,
        temperature: Annotated[float, Gt(0)] = 0.2,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        check_view_count(num_views, 1, 2)
        if symmetric and num_views == 1:
            raise ValueError(
                "symmetric needs both views from student and teacher; give the augmentation "
                "teacher_apart = false"
            )
        #: Sentences for the user.
        self.notes = _notes(queue_size, num_images)
        self.temperature, self.symmetric, self.num_views = temperature, symmetric, num_views
        self.register_buffer("queue", first_queue(queue_size, projection_dim))
        # A tensor, so that where to write is known on the device without asking the host.
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))

    def forward(
        self, projections: Tensor, teacher_projections: Tensor, rows: slice | None = None
    ) -> Tensor:
        """Score `projections` (V, B, D) against `teacher_projections` (V, B, D), as a scalar.

        V is 1 for a query of the student and a key of the teacher, and 2 where both have encoded
        both views.

        Given `rows`, positions in B, only these images are scored. The keys of all are queued, so
        that processes that share a batch keep the same queue.
        """
        check_views(projections, teacher_projections, "projections", self.num_views)
        if projections.shape[-1] != self.queue.shape[1]:
            raise ValueError(
                f"the queue holds keys of length {self.queue.shape[1]}, and projections are of "
                f"length {projections.shape[-1]}"
            )
        queries, keys = unit_queries_and_keys(projections, teacher_projections)
        # A copy: the queue is written to below, and the backward pass needs it as it is now.
        queue = self.queue.to(queries.dtype, copy=True)
        key = len(keys) - 1
        directions = ((0, key), (key, 0)) if self.symmetric else ((0, key),)
        here = positions(rows, queries.shape[1])
        losses = [self._tell_apart(queries[q, here], keys[k, here], queue) for q, k in directions]
        if self.training:
            self._enqueue(keys.flatten(0, 1) if self.symmetric else keys[key])
        kind = torch.promote_types(projections.dtype, teacher_projections.dtype)
        return torch.stack(losses).mean().to(kind)

    def _tell_apart(self, queries: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
        with without_autocast(queries.device):
            own = (queries * keys).sum(-1, keepdim=True)
            scores = torch.cat([own, queries @ queue.T], 1) / self.temperature
        first = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
        return F.cross_entropy(scores, first)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor) -> None:
        size, count = len(self.queue), len(keys)
        kept = min(size, count)
        # Only the last ones of a large batch: no place is written to twice.
        places = self.oldest + torch.arange(count - kept, count, device=keys.device)
        self.queue.index_copy_(0, places % size, keys[count - kept :].to(self.queue.dtype))
        self.oldest.add_(count).remainder_(size)


def _notes(queue_size: int, num_images: int | None) -> tuple[str, ...]:
    if num_images is None or queue_size <= num_images:
        return ()
    return (
        f"the queue of {queue_size:,} keys is longer than the {num_images:,} training images, so "
        "an image's own earlier keys are among its negatives; set loss.queue_size to fewer",
    )
