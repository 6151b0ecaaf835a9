"""Broken losses of swapped prediction; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslcore.testing import Mutant
from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, unit_rows
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper
from sslcore_swav.swapped import first_prototypes

#: Turns scores (B, K) and ε into codes (B, K).
Codes = Callable[[Tensor, float], Tensor]
#: Turns the cross-entropies (2, V, B) into the loss.
Reduction = Callable[[Tensor], Tensor]


def _refuse(inputs: Inputs) -> None:
    rows = inputs["projections"]
    if rows.dim() != 3 or len(rows) < 2 or rows.shape[1] < 1 or not rows.is_floating_point():
        raise ValueError("projections must be float (V, B, D), of 2 views or more")


def _sinkhorn(iterations: int = 3, *, ends_with_images: bool = True) -> Codes:
    def codes(scores: Tensor, epsilon: float) -> Tensor:
        logs = scores / epsilon
        for _ in range(iterations):
            if not ends_with_images:
                logs = logs.log_softmax(1)
            logs = logs.log_softmax(0)
            if ends_with_images:
                logs = logs.log_softmax(1)
        return logs.exp()

    return codes


def _different(entropies: Tensor) -> Tensor:
    """Return the cross-entropies of different views, (2V − 2, B)."""
    return entropies[~torch.eye(2, entropies.shape[1], dtype=torch.bool)]


def _mean(entropies: Tensor) -> Tensor:
    return _different(entropies).mean()


_BALANCED = _sinkhorn()


def _with(
    *,
    codes: Codes = _BALANCED,
    reduction: Reduction = _mean,
    normalise: Callable[[Tensor], Tensor] = unit_rows,
    temperatures: Callable[[float, float], tuple[float, float]] = lambda t, e: (t, e),
    stop: bool = True,
    prototypes: Callable[[Tensor], Tensor] = lambda rows: rows,
    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda q, p: (q, p),
) -> Loss:
    """Return the loss with a piece of it replaced."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        rows = normalise(inputs["projections"])
        table = prototypes(first_prototypes(int(hyper["prototypes"]), rows.shape[-1]).to(rows))
        temperature, epsilon = temperatures(hyper["temperature"], hyper["epsilon"])
        scores = rows @ table.T
        given = scores.detach() if stop else scores
        wanted = torch.stack([codes(each, epsilon) for each in given[:2]])
        wanted, logs = change(wanted, (scores / temperature).log_softmax(-1))
        return reduction(-(wanted[:, None] * logs[None]).sum(-1))

    return careful(loss, _refuse)


def _codes_of_the_last_view(wanted: Tensor, logs: Tensor) -> tuple[Tensor, Tensor]:
    return torch.stack([wanted[0], logs[-1].exp().detach()]), logs


def _hard(scores: Tensor, epsilon: float) -> Tensor:
    codes = _sinkhorn()(scores, epsilon)
    return torch.nn.functional.one_hot(codes.argmax(1), codes.shape[1]).to(codes)


#: The correct loss; every variant adds a fault to it.
CONTROL = Mutant("no-fault", loss=_with())

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_with(), ("projections",), "projections"),
    Mutant("softmax-for-codes", loss=_with(codes=lambda scores, e: (scores / e).softmax(1))),
    Mutant("argmax-for-codes", loss=_with(codes=_hard)),
    Mutant("one-iteration", loss=_with(codes=_sinkhorn(1))),
    Mutant("one-iteration-more", loss=_with(codes=_sinkhorn(4))),
    Mutant("prototypes-balanced-last", loss=_with(codes=_sinkhorn(ends_with_images=False))),
    Mutant(
        "heavier-codes", loss=_with(codes=lambda scores, e: _sinkhorn()(scores, e) * len(scores))
    ),
    Mutant("gradient-through-codes", loss=_with(stop=False)),
    Mutant("same-view", loss=_with(change=lambda q, p: (q[[1, 0]], p))),
    Mutant("all-pairs", loss=_with(reduction=lambda x: x.mean())),
    Mutant("one-direction", loss=_with(reduction=lambda x: x[0, 1:].mean())),
    Mutant("sum-over-pairs", loss=_with(reduction=lambda x: _different(x).sum(0).mean())),
    Mutant("sum-over-images", loss=_with(reduction=lambda x: _different(x).sum(1).mean())),
    Mutant("last-image-dropped", loss=_with(reduction=lambda x: _different(x)[:, :-1].mean())),
    Mutant("local-views-left-out", loss=_with(reduction=lambda x: _different(x[:, :2]).mean())),
    Mutant("last-view-assigned", loss=_with(change=_codes_of_the_last_view)),
    Mutant("temperature-missing", loss=_with(temperatures=lambda t, e: (1.0, e))),
    Mutant("temperature-multiplied", loss=_with(temperatures=lambda t, e: (1 / t, e))),
    Mutant("epsilon-missing", loss=_with(temperatures=lambda t, e: (t, 1.0))),
    Mutant("epsilon-for-temperature", loss=_with(temperatures=lambda t, e: (e, t))),
    Mutant("not-normalised", loss=_with(normalise=lambda rows: rows)),
    Mutant("prototypes-doubled", loss=_with(prototypes=lambda rows: 2 * rows)),
    Mutant("last-prototype-left-out", loss=_with(prototypes=lambda rows: rows[:-1])),
    Mutant(
        "probabilities-for-logarithms",
        loss=_with(change=lambda q, p: (q, p.exp())),
    ),
)
