"""Broken losses of nearest neighbours; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import careful, common_mutants, exact, unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper
from sslcore_nnclr.loss import first_queue

SIGNALS = ("projections", "predictions")

#: From projections and predictions (2, B, D) of unit length, the queue and τ, to a scalar.
Score = Callable[[Tensor, Tensor, Tensor, float], Tensor]
#: From projections and predictions, to the rows that are queued.
Queued = Callable[[Tensor, Tensor], Tensor]


def _refuse(inputs: Inputs, dim: int) -> None:
    found, wanted = (inputs[name] for name in SIGNALS)
    if found.dim() != 3 or found.shape != wanted.shape or min(found.shape[:2]) < 2:
        raise ValueError("projections and predictions must be (2, B, D), B > 1")
    if found.shape[-1] != dim:
        raise ValueError("another dimension than the queue")


class _Queue(nn.Module):
    """The loss, with a score and a way to queue."""

    queue: Tensor

    def __init__(
        self,
        score: Score,
        queued: Queued,
        temperature: float,
        queue_size: int,
        projection_dim: int,
        normalise: Callable[[Tensor], Tensor] = unit_rows,
        persistent: bool = True,
    ) -> None:
        super().__init__()
        self.score, self.queued, self.temperature = score, queued, temperature
        self.normalise = normalise
        first = first_queue(int(queue_size), projection_dim)
        self.register_buffer("queue", first, persistent=persistent)

    def forward(self, projections: Tensor, predictions: Tensor) -> Tensor:
        """Return the score, then queue."""
        _refuse({"projections": projections, "predictions": predictions}, self.queue.shape[1])
        found = self.normalise(exact(projections.detach()))
        wanted = self.normalise(exact(predictions))
        score = self.score(found, wanted, self.queue.to(found.dtype), self.temperature)
        rows = self.queued(found, wanted).detach().to(self.queue.dtype)
        if self.training and len(rows):
            self.queue = torch.cat([self.queue, rows])[-len(self.queue) :]
        return score.to(predictions.dtype)


def _nearest(found: Tensor, queue: Tensor) -> Tensor:
    return queue[(found @ queue.T).argmax(-1)]


def _surprise(logits: Tensor) -> Tensor:
    """Return the cross-entropy of each row of logits (2, B, B) with its own column, (2, B)."""
    return logits.logsumexp(-1) - logits.diagonal(dim1=-2, dim2=-1)


def _logits(near: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    return near @ wanted.flip(0).mT / temperature


def _correct(found: Tensor, wanted: Tensor, queue: Tensor, temperature: float) -> Tensor:
    return _surprise(_logits(_nearest(found, queue), wanted, temperature)).mean()


def _of_first_view(found: Tensor, wanted: Tensor) -> Tensor:
    return found[0]


def _of(score: Score = _correct, queued: Queued = _of_first_view, **more: Any) -> Any:
    def make(temperature: float, queue_size: int, projection_dim: int) -> nn.Module:
        return _Queue(score, queued, temperature, queue_size, projection_dim, **more)

    return make


def _by_near(choose: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Any:
    """Return a loss with another choice of neighbours, of projections, predictions and queue."""
    return _of(lambda z, p, q, t: _surprise(_logits(choose(z, p, q), p, t)).mean())


def _by_losses(change: Callable[[Tensor], Tensor]) -> Any:
    """Return a loss with another reduction of the losses of the images, (2, B)."""
    return _of(lambda z, p, q, t: change(_surprise(_logits(_nearest(z, q), p, t))))


def _positive_left_out(z: Tensor, p: Tensor, q: Tensor, t: float) -> Tensor:
    logits = _logits(_nearest(z, q), p, t)
    itself = torch.eye(logits.shape[-1], dtype=torch.bool)
    others = logits.masked_fill(itself, -torch.inf).logsumexp(-1)
    return (others - logits.diagonal(dim1=-2, dim2=-1)).mean()


def _softmax_over_neighbours(z: Tensor, p: Tensor, q: Tensor, t: float) -> Tensor:
    return _surprise(_logits(_nearest(z, q), p, t).mT).mean()


def _same_view(z: Tensor, p: Tensor, q: Tensor, t: float) -> Tensor:
    return _surprise(_nearest(z, q) @ p.mT / t).mean()


def _stateless(inputs: Inputs, hyper: Hyper) -> Tensor:
    queue = first_queue(int(hyper["queue_size"]), inputs["projections"].shape[-1])
    found, wanted = (unit_rows(inputs[name]) for name in SIGNALS)
    return _correct(found.detach(), wanted, queue.to(found.dtype), hyper["temperature"])


_STATELESS = careful(_stateless, lambda inputs: _refuse(inputs, inputs["projections"].shape[-1]))

#: The correct loss; every variant adds a fault to it.
CONTROL = Mutant("no-fault", make=_of())

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_STATELESS, SIGNALS, "predictions"),
    Mutant("queue-never-updated", make=_of(queued=lambda z, p: z[0, :0])),
    Mutant("second-view-queued", make=_of(queued=lambda z, p: z[1])),
    Mutant("both-views-queued", make=_of(queued=lambda z, p: z.flatten(0, 1))),
    Mutant("predictions-queued", make=_of(queued=lambda z, p: p[0])),
    Mutant("last-image-not-queued", make=_of(queued=lambda z, p: z[0, :-1])),
    Mutant("queued-in-reverse", make=_of(queued=lambda z, p: z[0].flip(0))),
    Mutant("queue-not-in-the-state", make=_of(persistent=False)),
    Mutant("projection-itself", make=_by_near(lambda z, p, q: z)),
    Mutant("projection-mixed-in", make=_by_near(lambda z, p, q: 0.9 * _nearest(z, q) + 0.1 * z)),
    Mutant(
        "batch-among-the-neighbours",
        make=_by_near(lambda z, p, q: _nearest(z, torch.cat([q, z[0]]))),
    ),
    Mutant("neighbour-of-the-prediction", make=_by_near(lambda z, p, q: _nearest(p, q))),
    Mutant("neighbour-of-the-other-view", make=_by_near(lambda z, p, q: _nearest(z.flip(0), q))),
    Mutant("farthest-neighbour", make=_by_near(lambda z, p, q: _nearest(-z, q))),
    Mutant("neighbour-of-the-next-image", make=_by_near(lambda z, p, q: _nearest(z.roll(1, 1), q))),
    Mutant(
        "last-row-of-the-queue-left-out",
        make=_by_near(lambda z, p, q: _nearest(z, q[: max(1, len(q) - 1)])),
    ),
    Mutant("mean-of-the-queue", make=_by_near(lambda z, p, q: q.mean(0).expand_as(z))),
    Mutant("prediction-of-the-same-view", make=_of(_same_view)),
    Mutant("positive-left-out-of-the-denominator", make=_of(_positive_left_out)),
    Mutant("softmax-over-neighbours", make=_of(_softmax_over_neighbours)),
    Mutant("one-direction", make=_by_losses(lambda x: x[0].mean())),
    Mutant(
        "directions-weighted-otherwise", make=_by_losses(lambda x: (0.6 * x[0] + 0.4 * x[1]).mean())
    ),
    Mutant("sum-of-directions", make=_by_losses(lambda x: x.mean(1).sum())),
    Mutant("sum-over-images", make=_by_losses(lambda x: x.sum(1).mean())),
    Mutant("hardest-image-only", make=_by_losses(lambda x: x.amax(1).mean())),
    Mutant("last-image-dropped", make=_by_losses(lambda x: x[:, :-1].mean())),
    Mutant("temperature-missing", make=_of(lambda z, p, q, t: _correct(z, p, q, 1.0))),
    Mutant("temperature-multiplied", make=_of(lambda z, p, q, t: _correct(z, p, q, 1 / t))),
    Mutant("times-the-temperature", make=_of(lambda z, p, q, t: t * _correct(z, p, q, t))),
    Mutant("not-normalised", make=_of(normalise=lambda rows: rows)),
    Mutant(
        "predictions-detached",
        make=_of(lambda z, p, q, t: _correct(z, p.detach(), q, t) + 0 * p.sum()),
    ),
)
