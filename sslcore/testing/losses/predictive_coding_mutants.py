"""Broken variants of predictive coding; each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.family import Hyper, Mutant
from sslcore.testing.losses.infonce_faults import OF_THE_RESULT, without_gradient_in_half
from sslcore.testing.losses.prediction_faults import (
    OF_THE_MEAN,
    OF_THE_SIGNALS,
    OF_THE_VIEWS,
    Compared,
    Reduction,
    compare,
    over_pairs,
    over_signals,
    right_views,
    with_state,
)

#: From predictions and targets (B, F) to the error of a pair.
Error = Callable[[Tensor, Tensor], Tensor]


def _mean_square(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return the correct error."""
    return (predictions - targets.detach()).square().mean()


def _loss(
    predictions: Tensor,
    features: Tensor,
    temperature: float = 1.0,
    *,
    error: Error = _mean_square,
    views: Compared = right_views,
    mean: Reduction = over_pairs,
) -> Tensor:
    """Return predictive coding with one of its pieces replaced."""

    def each(ahead: Tensor, target: int) -> Tensor:
        return error(ahead, features[target])

    return compare(predictions, features, each, views=views, mean=mean)


def _of_gaps(function: Callable[[Tensor], Tensor]) -> Error:
    return lambda predictions, targets: function(predictions - targets.detach())


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=-1)


def _sampled(gaps: Tensor) -> Tensor:
    kept = torch.rand(len(gaps)) < 0.9
    kept[0] = True
    return gaps[kept].square().mean()


_OF_THE_ERROR: dict[str, Error] = {
    "target-not-detached": lambda p, x: (p - x).square().mean(),
    "prediction-detached-and-target-not": lambda p, x: (p.detach() - x).square().mean(),
    "target-half-detached": lambda p, x: (p - (x + x.detach()) / 2).square().mean(),
    "half-the-square": _of_gaps(lambda gap: gap.square().mean() / 2),
    "absolute-error": _of_gaps(lambda gap: gap.abs().mean()),
    "huber-error": _of_gaps(lambda gap: F.huber_loss(gap, torch.zeros_like(gap))),
    "log-cosh-error": _of_gaps(lambda gap: 2 * gap.cosh().log().mean()),
    "root-of-the-mean-square": _of_gaps(lambda gap: gap.square().mean().sqrt()),
    "square-of-the-mean": _of_gaps(lambda gap: gap.mean().square()),
    "variance-of-the-error": _of_gaps(
        lambda gap: (gap - gap.mean(0, keepdim=True)).square().mean()
    ),
    "mean-error-with-its-sign": _of_gaps(lambda gap: gap.mean()),
    "sum-over-features": _of_gaps(lambda gap: gap.square().sum(-1).mean()),
    "sum-over-images": _of_gaps(lambda gap: gap.square().mean(-1).sum()),
    "sum-over-both": _of_gaps(lambda gap: gap.square().sum()),
    "norm-of-rows": _of_gaps(lambda gap: gap.norm(dim=-1).mean()),
    "clipped-at-one": _of_gaps(lambda gap: gap.square().clamp_max(1.0).mean()),
    "clipped-at-five": _of_gaps(lambda gap: gap.clamp(-5, 5).square().mean()),
    "deadband": _of_gaps(lambda gap: (gap.abs() - 1e-3).relu().square().mean()),
    "positive-part-of-the-error": _of_gaps(lambda gap: 2 * gap.relu().square().mean()),
    "biased-by-one-image": _of_gaps(
        lambda gap: gap.square().sum() / ((len(gap) - 1) * gap.shape[-1])
    ),
    "last-image-dropped": _of_gaps(lambda gap: gap[: max(1, len(gap) - 1)].square().mean()),
    "last-chunk-dropped": _of_gaps(lambda gap: gap[: max(4, len(gap) // 4 * 4)].square().mean()),
    "chunks-averaged-unweighted": _of_gaps(
        lambda gap: torch.stack([part.square().mean() for part in gap.split(3)]).mean()
    ),
    "images-subsampled": _of_gaps(_sampled),
    "first-dimension-only": _of_gaps(lambda gap: gap[:, 0].square().mean()),
    "largest-dimension": _of_gaps(lambda gap: gap.square().amax(-1).mean()),
    "every-prediction-against-every-image": lambda p, x: (
        (p[:, None] - x.detach()[None]).square().mean()
    ),
    "normalised": lambda p, x: (_unit(p) - _unit(x.detach())).square().mean(),
    "cosine-distance": lambda p, x: (1 - F.cosine_similarity(p, x.detach(), -1)).mean(),
    "target-normalised": lambda p, x: (p - _unit(x.detach())).square().mean(),
    "target-standardised": lambda p, x: (
        ((p - x.detach()) / (x.detach().std(0, unbiased=False) + 1)).square().mean()
    ),
    "target-zero": lambda p, x: p.square().mean(),
    "negative-correlation": lambda p, x: -2 * (p * x.detach()).mean(),
    "square-of-the-target-left-out": lambda p, x: (p.square() - 2 * p * x.detach()).mean(),
    "large-sums-that-cancel": lambda p, x: (
        (p.square() - 2 * p * (x.detach() + 1e3) + x.detach().square()).mean() + 2e3 * p.mean()
    ),
    "root-of-the-mean-fourth-power": _of_gaps(
        lambda gap: (gap.square().square().mean() + 1e-300).sqrt()
    ),
    "variance-of-features-rewarded": lambda p, x: (
        _mean_square(p, x) - 0.01 * x.detach().var(0, unbiased=False).mean()
    ),
    "weight-decay-of-predictions": lambda p, x: _mean_square(p, x) + 1e-3 * p.square().mean(),
    "sign": lambda p, x: -_mean_square(p, x),
}


def _plain() -> tuple[Mutant, ...]:
    def broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda predictions, targets: (predictions - targets.detach()).square().mean()

    def fewer(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(predictions: Tensor, targets: Tensor) -> Tensor:
            if predictions.shape[1:] != targets.shape[1:] or predictions.numel() == 0:
                raise ValueError("predictions and targets are of different dimensions")
            kept = targets[: len(predictions)].detach()
            return (predictions[: len(kept)] - kept).square().mean()

        return loss

    def trained(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
        def loss(predictions: Tensor, targets: Tensor) -> Tensor:
            if predictions.shape != targets.shape or predictions.dim() != 2:
                raise ValueError("predictions and targets are of different shapes")
            return F.mse_loss(predictions, targets)

        return loss

    return (
        Mutant("broadcasts", plain=broadcasting),
        Mutant("takes-fewer-predictions-than-targets", plain=fewer),
        Mutant("target-trained-in-plain-form", plain=trained),
    )


def predictive_coding_mutants() -> tuple[Mutant, ...]:
    """Return broken variants of predictive coding."""
    found: list[Mutant] = []

    def add(faults: dict[str, Any], variant: Callable[[Any], Callable[..., object]]) -> None:
        found.extend(Mutant(name, over_signals(variant(fault))) for name, fault in faults.items())

    add(OF_THE_VIEWS, lambda fault: lambda p, x, t: _loss(p, x, views=fault))
    add(OF_THE_MEAN, lambda fault: lambda p, x, t: _loss(p, x, mean=fault))
    add(_OF_THE_ERROR, lambda fault: lambda p, x, t: _loss(p, x, error=fault))
    add(OF_THE_SIGNALS, lambda fault: lambda p, x, t: fault(_loss, p, x, t))
    # The loss has no temperature, so a factor of it is no fault.
    results = {name: fault for name, fault in OF_THE_RESULT.items() if "temperature" not in name}
    add(results, lambda fault: lambda p, x, t: fault(_loss(p, x), p, t))
    add(
        {"steps-equally": lambda steps, views: torch.stack([x.mean() for x in steps]).mean()},
        lambda fault: lambda p, x, t: _loss(p, x, mean=fault),
    )
    found.append(
        Mutant(
            "gradient-lost-in-low-precision",
            over_signals(lambda p, x, t: without_gradient_in_half(_loss(p, x), p)),
            needs="gradient-points-as-reference-bfloat16",
        )
    )
    return (*found, *with_state(_loss, {}), *_plain())
