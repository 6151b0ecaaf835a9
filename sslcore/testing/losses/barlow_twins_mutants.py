"""Broken Barlow Twins losses, from equations 1 and 2; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("projections",)
#: Turns a view (N, D) into one whose products are correlations, once divided by N.
Standardise = Callable[[Tensor], Tensor]


def _refuse(inputs: Inputs) -> None:
    pair = inputs["projections"]
    if pair.dim() != 3 or len(pair) != 2 or pair.shape[1] < 2 or pair.shape[2] < 1:
        raise ValueError("projections must be (2, N, D) with N of at least 2")


def _of(function: Callable[[Tensor, float], Tensor]) -> Loss:
    """Return a loss of the projections (2, N, D) and λ."""

    def loss(inputs: Inputs, hyper: Hyper) -> Tensor:
        return function(inputs["projections"], hyper["redundancy_weight"])

    return careful(loss, _refuse)


def _standardised(rows: Tensor) -> Tensor:
    # The largest entry first, so that no square overflows or vanishes; a constant is zero.
    centred = rows - rows.mean(0)
    largest = centred.detach().abs().amax(0)
    scaled = centred / largest.where(largest > 0, 1)
    return scaled / scaled.square().mean(0).where(largest > 0, 1).sqrt()


def _correlations(pair: Tensor, standardise: Standardise = _standardised) -> Tensor:
    first, second = standardise(pair[0]), standardise(pair[1])
    return first.T @ second / len(first)


def _terms(c: Tensor, weight: float) -> Tensor:
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum() + weight * (c - torch.diag(diagonal)).square().sum()


def _correct(pair: Tensor, weight: float) -> Tensor:
    return _terms(_correlations(pair), weight)


def _by(standardise: Standardise) -> Loss:
    """Return the loss with views standardised in another way."""
    return _of(lambda pair, weight: _terms(_correlations(pair, standardise), weight))


def _from(function: Callable[[Tensor, Tensor, float], Tensor]) -> Loss:
    """Return a loss of the diagonal (D,), of the rest (D, D) with a zero diagonal, and λ."""

    def loss(pair: Tensor, weight: float) -> Tensor:
        c = _correlations(pair)
        return function(c.diagonal(), c - torch.diag(c.diagonal()), weight)

    return _of(loss)


def _with_pair(change: Callable[[Tensor], Tensor]) -> Loss:
    """Return the loss of other projections."""
    return _of(lambda pair, weight: _correct(change(pair), weight))


def _with_correlations(change: Callable[[Tensor], Tensor]) -> Loss:
    """Return the loss of other correlations."""
    return _of(lambda pair, weight: _terms(change(_correlations(pair)), weight))


def _diagonal(d: Tensor) -> Tensor:
    return (1 - d).square().sum()


def _pooled(pair: Tensor, weight: float) -> Tensor:
    """Standardise both views by what they have in common."""
    rows = _standardised(pair.flatten(0, 1)).view_as(pair)
    return _terms(rows[0].T @ rows[1] / pair.shape[1], weight)


def _one_pass(rows: Tensor) -> Tensor:
    variance = rows.square().mean(0) - rows.mean(0).square()
    return (rows - rows.mean(0)) / variance.clamp_min(1e-30).sqrt()


def _deviation_detached(rows: Tensor) -> Tensor:
    deviation = (rows - rows.mean(0)).square().mean(0).sqrt().detach()
    return (rows - rows.mean(0)) / deviation.where(deviation > 0, 1)


def _between_samples(pair: Tensor, weight: float) -> Tensor:
    first, second = _standardised(pair[0]), _standardised(pair[1])
    return _terms(first @ second.T / first.shape[1], weight)


def _detached(part: str) -> Loss:
    return _from(
        lambda d, rest, weight: (
            _diagonal(d.detach() if part == "diagonal" else d)
            + weight * (rest.detach() if part == "rest" else rest).square().sum()
        )
    )


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    pair = inputs["projections"]
    centred = pair - pair.mean(1, keepdim=True)
    lengths = (centred * centred).sum(1, keepdim=True).sqrt().clamp_min(1e-30)
    first, second = centred / lengths
    return _terms(first.T @ second, hyper["redundancy_weight"])


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    whole = _of(_correct)

    def loss(first: Tensor, second: Tensor) -> Tensor:
        return whole({"projections": torch.stack([first, second.expand_as(first)])}, hyper)

    return loss


def _cut_to_the_shorter(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    whole = _of(_correct)

    def loss(first: Tensor, second: Tensor) -> Tensor:
        count = min(len(first), len(second))
        return whole({"projections": torch.stack([first[:count], second[:count]])}, hyper)

    return loss


_CORRECT = _of(_correct)
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "projections"),
    Mutant("weight-missing", _of(lambda p, w: _correct(p, 1.0))),
    Mutant("weight-fixed", _of(lambda p, w: _correct(p, 0.005))),
    Mutant("weight-squared", _of(lambda p, w: _correct(p, w * w))),
    Mutant("weight-on-the-diagonal", _from(lambda d, r, w: w * _diagonal(d) + r.square().sum())),
    Mutant("weight-on-both", _from(lambda d, r, w: w * (_diagonal(d) + r.square().sum()))),
    Mutant(
        "weight-shared-out",
        _from(lambda d, r, w: (1 - w) * _diagonal(d) + w * r.square().sum()),
    ),
    Mutant("no-redundancy-term", _from(lambda d, r, w: _diagonal(d))),
    Mutant("no-invariance-term", _from(lambda d, r, w: w * r.square().sum())),
    Mutant("rest-not-squared", _from(lambda d, r, w: _diagonal(d) + w * r.abs().sum())),
    Mutant("rest-with-its-sign", _from(lambda d, r, w: _diagonal(d) + w * r.sum())),
    Mutant("rest-squared-as-a-sum", _from(lambda d, r, w: _diagonal(d) + w * r.sum().square())),
    Mutant(
        "rest-towards-minus-one",
        _from(lambda d, r, w: _diagonal(d) + w * ((1 + r).square().sum() - len(d))),
    ),
    Mutant(
        "rest-averaged",
        _from(lambda d, r, w: _diagonal(d) + w * r.square().sum() / max(1, len(d) * (len(d) - 1))),
    ),
    Mutant(
        "upper-half-of-the-rest", _from(lambda d, r, w: _diagonal(d) + w * r.triu().square().sum())
    ),
    Mutant(
        "diagonal-averaged", _from(lambda d, r, w: (1 - d).square().mean() + w * r.square().sum())
    ),
    Mutant(
        "diagonal-in-the-rest",
        _from(lambda d, r, w: _diagonal(d) + w * (r.square().sum() + d.square().sum())),
    ),
    Mutant("diagonal-not-squared", _from(lambda d, r, w: (1 - d).sum() + w * r.square().sum())),
    Mutant(
        "diagonal-squared-as-a-sum",
        _from(lambda d, r, w: (1 - d).sum().square() + w * r.square().sum()),
    ),
    Mutant("diagonal-towards-zero", _from(lambda d, r, w: d.square().sum() + w * r.square().sum())),
    Mutant(
        "diagonal-without-its-sign",
        _from(lambda d, r, w: _diagonal(d.abs()) + w * r.square().sum()),
    ),
    Mutant("divided-by-dimensions", _of(lambda p, w: _correct(p, w) / p.shape[-1])),
    Mutant("multiplied-by-samples", _of(lambda p, w: _correct(p, w) * p.shape[1] / 4)),
    Mutant("root-of-it", _of(lambda p, w: (_correct(p, w) + 1e-12).sqrt())),
    Mutant("not-divided-by-samples", _with_correlations(lambda c: 2 * c)),
    Mutant(
        "unbiased-for-biased",
        _of(lambda p, w: _terms(_correlations(p) * p.shape[1] / (p.shape[1] - 1), w)),
    ),
    Mutant("correlations-clamped", _with_correlations(lambda c: c.clamp(-0.99, 0.99))),
    Mutant("only-positive-correlations", _with_correlations(lambda c: c.relu())),
    Mutant("dimensions-off-by-one", _with_correlations(lambda c: c.roll(1, 0))),
    Mutant("not-standardised", _by(lambda rows: rows)),
    Mutant("not-centred", _by(lambda rows: rows / rows.square().mean(0).clamp_min(1e-30).sqrt())),
    Mutant("not-scaled", _by(lambda rows: rows - rows.mean(0))),
    Mutant("standardised-over-dimensions", _by(lambda rows: _standardised(rows.T).T)),
    Mutant(
        "standardised-as-one",
        _by(
            lambda rows: (
                (rows - rows.mean()) / (rows - rows.mean()).square().mean().sqrt().clamp_min(1e-9)
            )
        ),
    ),
    Mutant("rows-normalised-for-columns", _by(lambda rows: F.normalize(rows, dim=-1))),
    Mutant("rows-normalised-first", _by(lambda rows: _standardised(F.normalize(rows, dim=-1)))),
    Mutant(
        "scaled-by-mean-deviation",
        _by(
            lambda rows: (rows - rows.mean(0)) / (rows - rows.mean(0)).abs().mean(0).clamp_min(1e-9)
        ),
    ),
    Mutant(
        "centred-by-the-first-sample",
        _by(
            lambda rows: (
                (rows - rows[0]) / (rows - rows.mean(0)).square().mean(0).sqrt().clamp_min(1e-9)
            )
        ),
    ),
    Mutant(
        "large-epsilon",
        _by(
            lambda rows: (
                (rows - rows.mean(0)) / ((rows - rows.mean(0)).square().mean(0) + 1e-2).sqrt()
            )
        ),
    ),
    Mutant(
        "no-epsilon",
        _by(lambda rows: (rows - rows.mean(0)) / (rows - rows.mean(0)).square().mean(0).sqrt()),
    ),
    Mutant("variance-in-one-pass", _by(_one_pass)),
    Mutant("views-standardised-as-one", _of(_pooled)),
    Mutant("deviation-detached", _by(_deviation_detached)),
    Mutant("diagonal-detached", _detached("diagonal")),
    Mutant("rest-detached", _detached("rest")),
    Mutant("second-view-detached", _with_pair(lambda p: torch.stack([p[0], p[1].detach()]))),
    Mutant("both-views-one-tensor", _with_pair(lambda p: p[:1].expand_as(p))),
    Mutant("views-mixed-up", _with_pair(lambda p: torch.stack([p[0], p.mean(0)]))),
    Mutant("samples-mispaired", _with_pair(lambda p: torch.stack([p[0], p[1].roll(1, 0)]))),
    Mutant("samples-in-the-place-of-dimensions", _of(_between_samples)),
    Mutant("last-sample-dropped", _with_pair(lambda p: p[:, : max(2, p.shape[1] - 1)])),
    Mutant(
        "last-chunk-of-dimensions-dropped",
        _with_pair(lambda p: p[..., : max(4, p.shape[-1] // 4 * 4)]),
    ),
    Mutant("squared-in-half", _in_the_type_given),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("cuts-to-the-shorter", plain=_cut_to_the_shorter),
)
