"""Broken VICReg losses, from equations 1 to 6; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, exact
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("projections",)
_EPSILON = 1e-4
#: A term of one view (N, D).
Term = Callable[[Tensor], Tensor]


def _refuse(inputs: Inputs) -> None:
    pair = inputs["projections"]
    if pair.dim() != 3 or len(pair) != 2 or pair.shape[1] < 2 or pair.shape[2] < 1:
        raise ValueError("projections must be (2, N, D) with N of at least 2")


def _distance(pair: Tensor) -> Tensor:
    return (pair[0] - pair[1]).square().sum(1).mean()


def _hinge(rows: Tensor) -> Tensor:
    return (1 - (rows.var(0) + _EPSILON).sqrt()).relu().mean()


def _off_diagonal(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / (len(rows) - 1)
    return covariance - torch.diag(covariance.diagonal())


def _overlap(rows: Tensor) -> Tensor:
    return _off_diagonal(rows).square().sum() / rows.shape[1]


def _with(
    *,
    distance: Term = _distance,
    hinge: Term = _hinge,
    overlap: Term = _overlap,
    pair: Term = lambda pair: pair,
) -> Loss:
    """Return the paper's loss with a piece of it replaced."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        views = pair(inputs["projections"])
        return (
            hyper["similarity"] * distance(views)
            + hyper["variance"] * (hinge(views[0]) + hinge(views[1]))
            + hyper["covariance"] * (overlap(views[0]) + overlap(views[1]))
        )

    return careful(loss, _refuse)


def _weighted(weigh: Callable[[Hyper], tuple[float, float, float]]) -> Loss:
    """Return the paper's loss under other weights."""
    correct = _with()

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        names = ("similarity", "variance", "covariance")
        return correct(inputs, dict(zip(names, weigh(hyper), strict=True)))

    return loss


def _weights(hyper: Hyper) -> tuple[float, float, float]:
    return hyper["similarity"], hyper["variance"], hyper["covariance"]


def _deviation(deviation: Term) -> Loss:
    """Return the loss with another deviation in the hinge."""
    return _with(hinge=lambda rows: (1 - deviation(rows)).relu().mean())


def _one_pass(rows: Tensor) -> Tensor:
    count = len(rows)
    variance = (rows.square().mean(0) - rows.mean(0).square()) * count / (count - 1)
    return (variance.clamp_min(0) + _EPSILON).sqrt()


def _hinge_without_gradient(rows: Tensor) -> Tensor:
    return (1 - (rows.var(0) + _EPSILON).sqrt().detach()).relu().mean() + 0 * rows.sum()


def _leaky(rows: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(1 - (rows.var(0) + _EPSILON).sqrt(), 0.01).mean()


def _half_detached(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred.detach() / (len(rows) - 1)
    return (covariance - torch.diag(covariance.diagonal())).square().sum() / rows.shape[1]


def _correlation(rows: Tensor) -> Tensor:
    deviation = (rows.var(0) + _EPSILON).sqrt()
    return (_off_diagonal(rows) / (deviation[:, None] * deviation)).square().sum() / rows.shape[1]


def _uncentred(rows: Tensor) -> Tensor:
    covariance = rows.T @ rows / (len(rows) - 1)
    return (covariance - torch.diag(covariance.diagonal())).square().sum() / rows.shape[1]


def _whole_covariance(rows: Tensor) -> Tensor:
    centred = rows - rows.mean(0)
    return (centred.T @ centred / (len(rows) - 1)).square().sum() / rows.shape[1]


def _first_view(term: Term) -> Loss:
    """Return the loss with a term of the first view twice, and none of the second."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        pair, weight = inputs["projections"], hyper["variance"]
        if term is _overlap:
            weight = hyper["covariance"]
        return _with()(inputs, hyper) + weight * (term(pair[0]) - term(pair[1]))

    return careful(loss, _refuse)


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    pair = inputs["projections"]
    rows = pair - pair.mean(1, keepdim=True)
    variance = (rows * rows).sum(1) / (pair.shape[1] - 1)
    deviation = (variance + 1e-8).sqrt() - 1e-8
    return (
        hyper["similarity"] * _distance(pair)
        + hyper["variance"] * (1 - deviation).relu().mean(1).sum()
        + hyper["covariance"] * (_overlap(pair[0]) + _overlap(pair[1]))
    )


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        return _with()({"projections": torch.stack([first, second.expand_as(first)])}, hyper)

    return loss


def _each_by_itself(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(first: Tensor, second: Tensor) -> Tensor:
        if min(len(first), len(second)) < 2:
            raise ValueError("a variance needs at least two samples")
        one, other = exact(first), exact(second)
        score = (
            hyper["similarity"] * (one - other).square().sum(1).mean()
            + hyper["variance"] * (_hinge(one) + _hinge(other))
            + hyper["covariance"] * (_overlap(one) + _overlap(other))
        )
        return score.to(first.dtype)

    return loss


_CORRECT = _with()
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "projections"),
    Mutant("no-invariance-term", _weighted(lambda h: (0, h["variance"], h["covariance"]))),
    Mutant("no-variance-term", _weighted(lambda h: (h["similarity"], 0, h["covariance"]))),
    Mutant("no-covariance-term", _weighted(lambda h: (h["similarity"], h["variance"], 0))),
    Mutant(
        "weights-swapped", _weighted(lambda h: (h["variance"], h["similarity"], h["covariance"]))
    ),
    Mutant(
        "weights-in-reverse", _weighted(lambda h: (h["covariance"], h["variance"], h["similarity"]))
    ),
    Mutant("weights-fixed", _weighted(lambda h: (25, 25, 1))),
    Mutant(
        "twice-it",
        _weighted(lambda h: (2 * h["similarity"], 2 * h["variance"], 2 * h["covariance"])),
    ),
    Mutant(
        "distance-not-squared",
        _with(distance=lambda p: ((p[0] - p[1]).square().sum(1) + 1e-12).sqrt().mean()),
    ),
    Mutant("distance-summed-over-samples", _with(distance=lambda p: (p[0] - p[1]).square().sum())),
    Mutant("distance-averaged-by-itself", _with(distance=lambda p: (p[0] - p[1]).square().mean())),
    Mutant(
        "distance-of-unit-rows",
        _with(distance=lambda p: _distance(torch.nn.functional.normalize(p, dim=-1))),
    ),
    Mutant(
        "distance-of-means", _with(distance=lambda p: (p[0].mean(0) - p[1].mean(0)).square().sum())
    ),
    Mutant("distance-of-centred", _with(distance=lambda p: _distance(p - p.mean(1, keepdim=True)))),
    Mutant(
        "distance-mispaired",
        _with(distance=lambda p: (p[0] - p[1].roll(1, 0)).square().sum(1).mean()),
    ),
    Mutant("distance-absolute", _with(distance=lambda p: (p[0] - p[1]).abs().sum(1).mean())),
    Mutant("variance-for-deviation", _deviation(lambda rows: rows.var(0) + _EPSILON)),
    Mutant(
        "deviation-biased", _deviation(lambda rows: (rows.var(0, unbiased=False) + _EPSILON).sqrt())
    ),
    Mutant(
        "deviation-of-all-entries", _deviation(lambda rows: (rows.var() + _EPSILON).sqrt()[None])
    ),
    Mutant(
        "deviation-over-dimensions",
        _deviation(lambda rows: (rows.var(1, unbiased=False) + _EPSILON).sqrt()),
    ),
    Mutant(
        "deviation-uncentred", _deviation(lambda rows: (rows.square().mean(0) + _EPSILON).sqrt())
    ),
    Mutant("deviation-in-one-pass", _deviation(_one_pass)),
    Mutant("epsilon-after-the-root", _deviation(lambda rows: rows.std(0) + _EPSILON)),
    Mutant("epsilon-missing", _deviation(lambda rows: rows.var(0).sqrt())),
    Mutant("epsilon-large", _deviation(lambda rows: (rows.var(0) + 1e-2).sqrt())),
    Mutant("hinge-missing", _with(hinge=lambda rows: (1 - (rows.var(0) + _EPSILON).sqrt()).mean())),
    Mutant("hinge-leaking", _with(hinge=_leaky)),
    Mutant(
        "hinge-squared",
        _with(hinge=lambda rows: (1 - (rows.var(0) + _EPSILON).sqrt()).relu().square().mean()),
    ),
    Mutant(
        "hinge-around-one",
        _with(hinge=lambda rows: (1 - (rows.var(0) + _EPSILON).sqrt()).abs().mean()),
    ),
    Mutant(
        "hinge-turned",
        _with(hinge=lambda rows: ((rows.var(0) + _EPSILON).sqrt() - 1).relu().mean()),
    ),
    Mutant(
        "hinge-at-two",
        _with(hinge=lambda rows: (2 - (rows.var(0) + _EPSILON).sqrt()).relu().mean()),
    ),
    Mutant(
        "hinge-after-the-mean",
        _with(hinge=lambda rows: (1 - (rows.var(0) + _EPSILON).sqrt().mean()).relu()),
    ),
    Mutant(
        "hinge-summed", _with(hinge=lambda rows: (1 - (rows.var(0) + _EPSILON).sqrt()).relu().sum())
    ),
    Mutant("hinge-without-gradient", _with(hinge=_hinge_without_gradient)),
    Mutant(
        "covariance-biased",
        _with(overlap=lambda rows: _overlap(rows) * ((len(rows) - 1) / len(rows)) ** 2),
    ),
    Mutant("covariance-summed", _with(overlap=lambda rows: _off_diagonal(rows).square().sum())),
    Mutant(
        "covariance-averaged",
        _with(
            overlap=lambda rows: (
                _off_diagonal(rows).square().sum() / max(1, rows.shape[1] * (rows.shape[1] - 1))
            )
        ),
    ),
    Mutant(
        "covariance-upper-half",
        _with(overlap=lambda rows: _off_diagonal(rows).triu().square().sum() / rows.shape[1]),
    ),
    Mutant(
        "covariance-not-squared",
        _with(overlap=lambda rows: _off_diagonal(rows).abs().sum() / rows.shape[1]),
    ),
    Mutant(
        "covariance-with-its-sign",
        _with(overlap=lambda rows: _off_diagonal(rows).sum() / rows.shape[1]),
    ),
    Mutant(
        "covariance-squared-as-a-sum",
        _with(overlap=lambda rows: _off_diagonal(rows).sum().square() / rows.shape[1]),
    ),
    Mutant("covariance-with-its-diagonal", _with(overlap=_whole_covariance)),
    Mutant("covariance-uncentred", _with(overlap=_uncentred)),
    Mutant(
        "covariance-over-samples",
        _with(overlap=lambda rows: _overlap(rows.T) if rows.shape[1] > 1 else _overlap(rows)),
    ),
    Mutant("correlation-for-covariance", _with(overlap=_correlation)),
    Mutant("covariance-half-detached", _with(overlap=_half_detached)),
    Mutant("variance-of-the-first-view-only", _first_view(_hinge)),
    Mutant("covariance-of-the-first-view-only", _first_view(_overlap)),
    Mutant("second-view-detached", _with(pair=lambda p: torch.stack([p[0], p[1].detach()]))),
    Mutant("both-views-one-tensor", _with(pair=lambda p: p[:1].expand_as(p))),
    Mutant("rows-normalised", _with(pair=lambda p: torch.nn.functional.normalize(p, dim=-1))),
    Mutant("last-sample-dropped", _with(pair=lambda p: p[:, : max(2, p.shape[1] - 1)])),
    Mutant(
        "last-chunk-of-dimensions-dropped",
        _with(pair=lambda p: p[..., : max(4, p.shape[-1] // 4 * 4)]),
    ),
    Mutant("computed-in-the-type-given", _in_the_type_given),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("each-term-by-itself", plain=_each_by_itself),
)
