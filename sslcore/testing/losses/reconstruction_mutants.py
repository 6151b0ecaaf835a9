"""Broken reconstruction losses, from mean((x − y)²); each is named after its fault."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.common_mutants import Loss, careful, common_mutants, exact
from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

SIGNALS = ("reconstructions", "views", "targets")


def _refuse(inputs: Inputs) -> None:
    found = inputs["reconstructions"]
    if found.numel() == 0 or found.shape != inputs["targets"].shape:
        raise ValueError("reconstructions and targets must have one shape, and not be empty")


def _with(function: Callable[[Inputs], Tensor]) -> Loss:
    return careful(lambda inputs, hyper: function(inputs), _refuse)


def _of(function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    return _with(lambda inputs: function(inputs["reconstructions"], inputs["targets"]))


def _from(function: Callable[[Tensor], Tensor]) -> Loss:
    """Return a loss of the differences (V, B, C, h, w)."""
    return _of(lambda x, y: function(x - y))


def _transposed(x: Tensor, y: Tensor) -> Tensor:
    if y.shape[-1] == y.shape[-2]:
        y = y.transpose(-1, -2)
    return (x - y).square().mean()


def _by_range_of_targets(x: Tensor, y: Tensor) -> Tensor:
    span = (y.max() - y.min()).clamp_min(0.25)
    return ((x - y) / span).square().mean()


def _dropped_last_chunk(d: Tensor) -> Tensor:
    flat = d.square().flatten()
    kept = max(64, len(flat) // 64 * 64)
    return flat[:kept].mean()


def _chunks_averaged(d: Tensor) -> Tensor:
    return torch.stack([part.mean() for part in d.square().flatten().split(64)]).mean()


def _weighted_rows(d: Tensor) -> Tensor:
    weights = torch.linspace(0.9, 1.1, d.shape[-1], dtype=d.dtype)
    return (d.square() * weights).mean() / weights.mean()


def _only_differences(d: Tensor) -> Tensor:
    return d.square().sum() / (d != 0).sum().clamp_min(1)


def _in_the_type_given(inputs: Inputs, hyper: Hyper) -> Tensor:
    _refuse(inputs)
    difference = inputs["reconstructions"] - inputs["targets"]
    return (difference * difference).sum() / difference.numel()


def _broadcasting(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        if 0 in (x.numel(), y.numel()):
            raise ValueError("nothing to compare")
        return (exact(x) - exact(y)).square().mean().to(x.dtype)

    return loss


def _cut_to_the_shorter(hyper: Hyper) -> Callable[[Tensor, Tensor], Tensor]:
    whole = _broadcasting(hyper)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        count = min(x.numel(), y.numel())
        return whole(x.flatten()[:count], y.flatten()[:count])

    return loss


_CORRECT = _from(lambda d: d.square().mean())
#: The correct loss; every variant but the plain ones adds a fault to it.
CONTROL = Mutant("no-fault", _CORRECT)

MUTANTS: tuple[Mutant, ...] = (
    *common_mutants(_CORRECT, SIGNALS, "reconstructions"),
    Mutant("sum-for-mean", _from(lambda d: d.square().sum())),
    Mutant("sum-over-pixels", _from(lambda d: d.square().sum((2, 3, 4)).mean())),
    Mutant("sum-over-channels", _from(lambda d: d.square().sum(2).mean())),
    Mutant("sum-over-views", _from(lambda d: d.square().flatten(1).mean(1).sum())),
    Mutant("half-of-it", _from(lambda d: d.square().mean() / 2)),
    Mutant("one-entry-too-few-in-the-count", _from(lambda d: d.square().sum() / (d.numel() + 1))),
    Mutant("counts-differing-entries-only", _from(_only_differences)),
    Mutant("absolute-error", _from(lambda d: d.abs().mean())),
    Mutant("fourth-power", _from(lambda d: d.pow(4).mean())),
    Mutant("huber", _from(lambda d: torch.where(d.abs() < 1, d.square(), 2 * d.abs() - 1).mean())),
    Mutant("root-of-it", _from(lambda d: (d.square().mean() + 1e-12).sqrt())),
    Mutant("epsilon-under-a-root", _from(lambda d: (d.square() + 1e-6).sqrt().square().mean())),
    Mutant("square-of-the-mean", _from(lambda d: d.mean().square())),
    Mutant("mean-over-the-batch-first", _from(lambda d: d.mean(1).square().mean())),
    Mutant("mean-difference-removed", _from(lambda d: (d - d.mean()).square().mean())),
    Mutant("first-view-only", _from(lambda d: d[:1].square().mean())),
    Mutant("first-image-only", _from(lambda d: d[:, :1].square().mean())),
    Mutant("first-channel-only", _from(lambda d: d[:, :, :1].square().mean())),
    Mutant(
        "last-column-left-out", _from(lambda d: d[..., : max(1, d.shape[-1] - 1)].square().mean())
    ),
    Mutant("worst-image-only", _from(lambda d: d.square().mean((0, 2, 3, 4)).amax())),
    Mutant("last-chunk-dropped", _from(_dropped_last_chunk)),
    Mutant("chunks-averaged-unweighted", _from(_chunks_averaged)),
    Mutant("columns-weighted", _from(_weighted_rows)),
    Mutant("targets-of-the-next-image", _of(lambda x, y: (x - y.roll(1, 1)).square().mean())),
    Mutant("targets-mirrored", _of(lambda x, y: (x - y.flip(-1)).square().mean())),
    Mutant("targets-transposed", _of(_transposed)),
    Mutant("targets-missing", _of(lambda x, y: x.square().mean())),
    Mutant("added-for-subtracted", _of(lambda x, y: (x + y).square().mean())),
    Mutant("relative-to-targets", _of(lambda x, y: ((x - y) / (1 + y.abs())).square().mean())),
    Mutant("scaled-by-the-range-of-targets", _of(_by_range_of_targets)),
    Mutant("reconstructions-clamped", _of(lambda x, y: (x.clamp(-2, 2) - y).square().mean())),
    Mutant("reconstructions-squashed", _of(lambda x, y: (x.tanh() - y).square().mean())),
    Mutant(
        "weight-decay-on-outputs",
        _of(lambda x, y: (x - y).square().mean() + 1e-4 * x.abs().mean()),
    ),
    Mutant("directions-only", _of(lambda x, y: 1 - F.cosine_similarity(x, y, dim=-1).mean())),
    Mutant("reconstructions-detached", _of(lambda x, y: (x.detach() - y).square().mean())),
    Mutant("one-factor-detached", _from(lambda d: (d * d.detach()).mean())),
    Mutant(
        "gradient-clipped",
        _from(
            lambda d: torch.where(
                d.abs() < 2, d.square(), d.detach().square() + 4 * (d - d.detach())
            ).mean()
        ),
    ),
    Mutant("root-differentiated-at-zero", _from(lambda d: d.square().mean().sqrt().square())),
    Mutant(
        "views-for-targets",
        _with(lambda inputs: (inputs["reconstructions"] - inputs["views"]).square().mean()),
    ),
    Mutant(
        "views-and-targets-mixed",
        _with(
            lambda inputs: (
                (inputs["reconstructions"] - 0.9 * inputs["targets"] - 0.1 * inputs["views"])
                .square()
                .mean()
            )
        ),
    ),
    Mutant("squared-in-half", _in_the_type_given),
    Mutant("expanded-squares", _of(lambda x, y: (x * x - 2 * x * y + y * y).mean())),
    Mutant("broadcasts", plain=_broadcasting),
    Mutant("cuts-to-the-shorter", plain=_cut_to_the_shorter),
)
