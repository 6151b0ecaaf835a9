"""The loss of SwAV: swapped prediction of balanced clusters (Caron et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.nn import functional as F

from sslcore.contrastive import positions
from sslcore.functional import unit_rows, without_autocast

#: Of the first prototypes, which are a function of their shape and nothing else.
_SEED = 0
#: Views whose clusters are predicted: the global ones.
_ASSIGNED = 2


def first_prototypes(count: int, dim: int) -> Tensor:
    """Return the prototypes at the beginning: random unit rows, float32 (count, dim).

    They are those of torch's generator on the CPU with seed 0, so the same for every run.
    """
    generator = torch.Generator().manual_seed(_SEED)
    return unit_rows(torch.randn(count, dim, generator=generator))


def balanced_codes(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Return soft clusters that share the images out evenly (SwAV, equations (3) to (5)).

    Sinkhorn and Knopp's iterations on exp(scores / ε), with logarithms in place of exponentials:
    each makes the clusters equally large, and then the images equally heavy.

    Args:
        scores: similarities of B images with K prototypes, (B, K), float32 or wider.
        epsilon: ε > 0; the smaller, the harder the clusters.
        iterations: at least 1.

    Returns:
        (B, K), rows that sum to 1.
    """
    logs = scores / epsilon
    for _ in range(iterations):
        logs = logs - logs.logsumexp(0, keepdim=True)
        logs = logs - logs.logsumexp(1, keepdim=True)
    return logs.exp()


class SwappedPrediction(nn.Module):
    """Predict the cluster of a global view from each other view of the image.

    SwAV (Caron et al. 2020), equations (1) to (5). With projections z and prototypes c of unit
    length, and codes q of the first two views, which share the images of the batch out evenly
    between the prototypes (`balanced_codes`),

        L = mean over pairs (t, s), s ≠ t, and images of −Σ_k q_t^k log softmax_k(z_s·c / τ),

    t one of the first two views and s any view. Codes get no gradient. The prototypes are learned;
    after each step they are scaled to unit length again.

    With a queue, projections of earlier batches take part in sharing out, for batches that are
    smaller than the number of prototypes (section 4.1, "Working with small batches").

    Args:
        projection_dim: length of a projection.
        num_views: views per image, at least 2.
        prototypes: number of prototypes.
        temperature: τ, the divisor of cosine similarities, > 0.
        epsilon: ε > 0; the smaller, the harder the codes.
        iterations: iterations of Sinkhorn and Knopp.
        queue_size: earlier images that take part in sharing out; 0 for none. They do once the
            queue is full.
        queue_start: part of training after which the queue fills, in [0, 1]; the paper has epoch
            15 of 200.
        freeze: part of training, from its start, in which the prototypes are fixed, in [0, 1].

    Raises:
        ValueError: there is one view, or (when called) projections are not float
            (V, B, projection_dim) with V ≥ 2 and B ≥ 1.
    """

    #: A setting of the optimizer may be for these alone.
    parameter_roles: ClassVar[Mapping[str, str]] = {"prototypes": "prototypes"}

    queue: Tensor
    queued: Tensor

    def __init__(
        self,
        projection_dim: int,
        num_views: int = 2,
        *,
        prototypes: Annotated[int, Ge(2)] = 3000,
        temperature: Annotated[float, Gt(0)] = 0.1,
        epsilon: Annotated[float, Gt(0)] = 0.05,
        iterations: Annotated[int, Ge(1)] = 3,
        queue_size: Annotated[int, Ge(0)] = 0,
        queue_start: Annotated[float, Ge(0), Le(1)] = 0.075,
        freeze: Annotated[float, Ge(0), Le(1)] = 0.01,
    ) -> None:
        super().__init__()
        if num_views < 2:
            raise ValueError(
                "the cluster of one view is predicted from another view, and the augmentation "
                f"makes {num_views}; use one that makes 2 or more"
            )
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.queue_start, self.freeze = queue_start, freeze
        self.prototypes = nn.Parameter(first_prototypes(prototypes, projection_dim))
        self.register_buffer("queue", torch.zeros(_ASSIGNED, queue_size, projection_dim))
        # How many images have been queued so far.
        self.register_buffer("queued", torch.zeros((), dtype=torch.int64))

    def forward(
        self, projections: Tensor, rows: slice | None = None, progress: float = 1.0
    ) -> Tensor:
        """Score `projections` (V, B, D), as a scalar.

        Given `rows`, positions in B, only these images are scored; all of them share the
        prototypes out. In training mode the first two views are queued afterwards.
        """
        self._check(projections)
        exact = torch.promote_types(projections.dtype, torch.float32)
        here = positions(rows, projections.shape[1])
        found = unit_rows(projections.to(exact))
        prototypes = self.prototypes.detach() if progress < self.freeze else self.prototypes
        with without_autocast(projections.device):
            with torch.no_grad():
                codes = self._codes(found[:_ASSIGNED])[:, here]
            scores = F.linear(found[:, here], prototypes.to(exact))
            logs = (scores / self.temperature).log_softmax(-1)
            entropies = -torch.einsum("tbk,sbk->ts", codes, logs) / codes.shape[1]
        own = torch.eye(*entropies.shape, dtype=torch.bool, device=entropies.device)
        pairs = entropies.numel() - len(entropies)
        if self.training and self.queue.shape[1] and progress >= self.queue_start:
            self._enqueue(found[:_ASSIGNED])
        return (entropies.masked_fill(own, 0).sum() / pairs).to(projections.dtype)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Scale the prototypes to unit length."""
        self.prototypes.copy_(unit_rows(self.prototypes))

    def _codes(self, found: Tensor) -> Tensor:
        """Return the codes (2, B, K) of the first two views, of unit length."""
        size, count = self.queue.shape[1], found.shape[1]
        prototypes = self.prototypes.to(found.dtype)
        if size and int(self.queued) >= size:
            found = torch.cat((found, self.queue.to(found.dtype)), 1)
        scores = F.linear(found, prototypes)
        codes = [balanced_codes(each, self.epsilon, self.iterations)[:count] for each in scores]
        return torch.stack(codes)

    @torch.no_grad()
    def _enqueue(self, found: Tensor) -> None:
        size, count = self.queue.shape[1], found.shape[1]
        kept = min(size, count)
        # Only the last ones of a large batch: no place is written to twice.
        places = self.queued + torch.arange(count - kept, count, device=found.device)
        self.queue.index_copy_(1, places % size, found[:, count - kept :].to(self.queue.dtype))
        self.queued.add_(count)

    def _check(self, projections: Tensor) -> None:
        shape, dim = tuple(projections.shape), self.prototypes.shape[1]
        if len(shape) != 3 or shape[0] < 2 or shape[1] < 1 or shape[2] != dim:
            raise ValueError(
                f"projections must be (V, B, {dim}), 2 or more views of 1 or more images, got "
                f"{shape}"
            )
        if not projections.is_floating_point():
            raise ValueError(f"projections must be float, got {projections.dtype}")
