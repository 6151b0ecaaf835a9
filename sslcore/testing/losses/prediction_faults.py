"""Faults of losses over predictions, in the pairs of views and in their average."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

#: From the numbers of steps and views to the pairs to compare: (index of the step, predicting view,
#: predicted view).
Compared = Callable[[int, int], list[tuple[int, int, int]]]
Loss = Callable[[Tensor, Tensor, float], Tensor]


def right_views(steps: int, views: int) -> list[tuple[int, int, int]]:
    """Return the correct pairs."""
    return [(k - 1, t, t + k) for k in range(1, steps + 1) for t in range(views - k)]


def _instead(change: Callable[[int, int, int, int], tuple[int, int, int]]) -> Compared:
    """Return the correct pairs, each changed by `change(k, t, K, V)`."""
    return lambda steps, views: [
        change(index + 1, view, steps, views) for index, view, _ in right_views(steps, views)
    ]


def _only(kept: Callable[[int, int, int, int], bool]) -> Compared:
    """Return the correct pairs for which `kept(k, t, K, V)`, or all if there are none."""

    def compared(steps: int, views: int) -> list[tuple[int, int, int]]:
        right = right_views(steps, views)
        return [item for item in right if kept(item[0] + 1, item[1], steps, views)] or right

    return compared


def _of_every_view(target: Callable[[int, int], int]) -> Compared:
    """Return every (k, t), with the view `target(t + k, V)`."""
    return lambda steps, views: [
        (k - 1, t, target(t + k, views)) for k in range(1, steps + 1) for t in range(views)
    ]


OF_THE_VIEWS: dict[str, Compared] = {
    "predicts-the-view-itself": _instead(lambda k, t, K, V: (k - 1, t, t)),
    "predicts-one-view-early": _instead(lambda k, t, K, V: (k - 1, t, t + k - 1)),
    "predicts-one-view-late": _instead(lambda k, t, K, V: (k - 1, t, min(t + k + 1, V - 1))),
    "predicts-the-next-view-always": _instead(lambda k, t, K, V: (k - 1, t, t + 1)),
    "predicts-the-past": _instead(lambda k, t, K, V: (k - 1, t + k, t)),
    "predicts-from-the-target": _instead(lambda k, t, K, V: (k - 1, t + k, t + k)),
    "predicts-the-last-view-always": _instead(lambda k, t, K, V: (k - 1, t, V - 1)),
    "steps-counted-from-zero": _instead(lambda k, t, K, V: (min(k, K - 1), t, t + k)),
    "steps-in-reverse": _instead(lambda k, t, K, V: (K - k, t, t + k)),
    "views-in-reverse": _instead(lambda k, t, K, V: (k - 1, V - k - 1 - t, t + k)),
    "counted-around-the-end": _of_every_view(lambda target, V: target % V),
    "clamped-at-the-end": _of_every_view(lambda target, V: min(target, V - 1)),
    "last-view-dropped": _only(lambda k, t, K, V: t + k < V - 1),
    "first-view-dropped": _only(lambda k, t, K, V: t > 0),
    "first-view-only": _only(lambda k, t, K, V: t == 0),
    "last-view-only": _only(lambda k, t, K, V: t + k == V - 1),
    "every-other-view": _only(lambda k, t, K, V: t % 2 == 0),
    "views-of-the-longest-step-only": _only(lambda k, t, K, V: t < V - K),
    "first-step-only": _only(lambda k, t, K, V: k == 1),
    "last-step-only": _only(lambda k, t, K, V: k == K),
    "last-step-dropped": _only(lambda k, t, K, V: k < K),
    "fourth-step-dropped": _only(lambda k, t, K, V: k != 4),
}

#: From the losses of each step's views, and the number of views, to a scalar.
Reduction = Callable[[Sequence[Tensor], int], Tensor]


def over_pairs(steps: Sequence[Tensor], views: int) -> Tensor:
    """Return the correct result: the mean over all pairs of a step and a view."""
    return torch.cat(list(steps)).mean()


def _weighted(steps: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    parts = [weight * losses.mean() for weight, losses in zip(weights, steps, strict=True)]
    return torch.stack(parts).sum() / sum(weights)


OF_THE_MEAN: dict[str, Reduction] = {
    "sum-over-pairs": lambda steps, V: torch.cat(list(steps)).sum(),
    "sum-over-steps": lambda steps, V: torch.stack([losses.mean() for losses in steps]).sum(),
    "mean-over-steps-of-sums": lambda steps, V: torch.stack([x.sum() for x in steps]).mean(),
    "divided-by-all-views": lambda steps, V: torch.cat(list(steps)).sum() / (len(steps) * V),
    "near-steps-weigh-more": lambda steps, V: _weighted(steps, [0.5**k for k in range(len(steps))]),
    "far-steps-weigh-more": lambda steps, V: _weighted(steps, range(1, len(steps) + 1)),
    "highest-pair-for-mean": lambda steps, V: torch.cat(list(steps)).amax(),
    "lowest-pair-for-mean": lambda steps, V: torch.cat(list(steps)).amin(),
    "last-pair-for-mean": lambda steps, V: steps[-1][-1],
}


def checked(predictions: Tensor, features: Tensor) -> None:
    """Raise if the shapes are malformed, so that a mutant has no fault but its own."""
    right = predictions.dim() == 4 and predictions.shape[1:] == features.shape
    if not right or predictions.numel() == 0:
        raise ValueError(f"got {tuple(predictions.shape)} and {tuple(features.shape)}")


def compare(
    predictions: Tensor,
    features: Tensor,
    each: Callable[[Tensor, int], Tensor],
    *,
    views: Compared = right_views,
    mean: Reduction = over_pairs,
) -> Tensor:
    """Return the loss whose pairs are `each(predictions, view that is predicted)`."""
    checked(predictions, features)
    count = len(features)
    steps: list[list[Tensor]] = [[] for _ in predictions]
    for index, view, target in views(len(predictions), count):
        steps[index].append(each(predictions[index, view], target))
    return mean([torch.stack(losses) for losses in steps if losses], count)


def _in_place(loss: Loss, predictions: Tensor, features: Tensor, temperature: float) -> Tensor:
    value = loss(predictions, features, temperature)
    with torch.no_grad():
        features -= features.mean(0, keepdim=True)
    return value


def _drawing(loss: Loss, predictions: Tensor, features: Tensor, temperature: float) -> Tensor:
    torch.rand(1)
    return loss(predictions, features, temperature)


def _at(kind: torch.dtype) -> Callable[[Loss, Tensor, Tensor, float], Tensor]:
    def loss(correct: Loss, predictions: Tensor, features: Tensor, temperature: float) -> Tensor:
        exact = predictions.dtype in (torch.float32, torch.float64)
        if not exact:
            return correct(predictions, features, temperature)
        value = correct(predictions.to(kind), features.to(kind), temperature)
        return value.to(predictions.dtype)

    return loss


def _with_noise(loss: Loss, predictions: Tensor, features: Tensor, temperature: float) -> Tensor:
    return loss(predictions + 1e-4 * torch.randn_like(predictions), features, temperature)


OF_THE_SIGNALS: dict[str, Callable[[Loss, Tensor, Tensor, float], Tensor]] = {
    "predictions-detached": lambda loss, p, x, t: loss(p.detach(), x, t),
    "images-off-by-one": lambda loss, p, x, t: loss(p, x.roll(1, 1), t),
    "views-and-images-exchanged": lambda loss, p, x, t: loss(
        p.transpose(1, 2).reshape(p.shape), x.transpose(0, 1).reshape(x.shape), t
    ),
    "last-dimension-dropped": lambda loss, p, x, t: loss(
        p[..., : max(1, p.shape[-1] - 1)], x[..., : max(1, p.shape[-1] - 1)], t
    ),
    "first-hundred-images-only": lambda loss, p, x, t: loss(p[:, :, :100], x[:, :100], t),
    "first-fifty-dimensions-only": lambda loss, p, x, t: loss(p[..., :50], x[..., :50], t),
    "predictions-centred": lambda loss, p, x, t: loss(p - p.mean(2, keepdim=True), x, t),
    "predictions-averaged-over-steps": lambda loss, p, x, t: loss(
        p.mean(0, keepdim=True).expand_as(p), x, t
    ),
    "residual-to-the-features": lambda loss, p, x, t: loss(p + x, x, t),
    "noise-on-the-predictions": _with_noise,
    "computed-in-half": _at(torch.half),
    "computed-in-single": _at(torch.float),
    "changes-features-in-place": _in_place,
    "draws-from-the-global-generator": _drawing,
}


def with_state(correct: Loss, hyper: Mapping[str, float]) -> tuple[Mutant, ...]:
    """Return mutants that keep a state, or differ between modes.

    Args:
        correct: the loss without a fault.
        hyper: the family's hyperparameters, with their defaults.
    """

    class OnlyInTraining(torch.nn.Module):
        def __init__(self, **given: float) -> None:
            super().__init__()
            self.hyper = {**hyper, **given}

        def forward(self, step_predictions: Tensor, features: Tensor) -> Tensor:
            temperature = self.hyper.get("temperature", 1.0)
            loss = correct(step_predictions, features, temperature)
            return loss if self.training else loss * 0.5

    shared = OnlyInTraining()

    def one_object(**given: float) -> torch.nn.Module:
        shared.hyper = {**hyper, **given}
        return shared.train()

    def remembering(**given: float) -> Callable[..., Tensor]:
        seen: list[Tensor] = []

        def loss(*, step_predictions: Tensor, features: Tensor) -> Tensor:
            seen.append(step_predictions.detach().mean())
            changed = 0.1 * (seen[-1] != seen[0])
            recalled = step_predictions + changed * step_predictions.flip(-1)
            return correct(recalled, features, given.get("temperature", 1.0))

        return loss

    return (
        Mutant("other-in-eval-mode", make=OnlyInTraining),
        Mutant("shared-object", make=one_object),
        Mutant("remembers-the-first-batch", make=remembering),
    )


def over_signals(function: Callable[..., Any]) -> Callable[[Inputs, Hyper], Any]:
    """Return `function(step_predictions, features, temperature)` as a mutant's loss."""
    return lambda inputs, hyper: function(
        inputs["step_predictions"], inputs["features"], hyper.get("temperature", 1.0)
    )
