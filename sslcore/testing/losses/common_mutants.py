"""Faults that a loss of any family can have, added to a correct loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslcore.testing.losses.example import Inputs
from sslcore.testing.losses.family import Hyper, Mutant

Loss = Callable[[Inputs, Hyper], Tensor]

_LOW = (torch.bfloat16, torch.float16)


def taking(
    signals: Sequence[str], function: Callable[[Inputs], object], *, optional: Sequence[str] = ()
) -> Callable[..., object]:
    """Return a function of these signals as keywords, and of others that may be left out."""

    def loss(**inputs: Tensor) -> object:
        return function(inputs)

    loss.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in signals]
        + [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
            for name in optional
        ]
    )
    return loss


def exact(item: Tensor) -> Tensor:
    """Return a tensor in float32 at least, unless it is no floating-point one."""
    return item.float() if item.dtype in _LOW else item


def unit_rows(rows: Tensor) -> Tensor:
    """Return rows (..., D) at unit length, in their own type; a zero row stays zero."""
    # The largest entry first, so that no square overflows or vanishes.
    largest = rows.detach().abs().amax(-1, keepdim=True)
    return F.normalize(rows / largest.where(largest > 0, 1), dim=-1)


def careful(loss: Loss, refuse: Callable[[Inputs], None]) -> Loss:
    """Return the loss with no fault but its own.

    It refuses malformed inputs and computes at least in float32, so that the checks can find
    nothing but the fault.

    Args:
        loss: the loss, faulty or not.
        refuse: raises `ValueError` for malformed inputs.
    """

    def checked(inputs: Inputs, hyper: Hyper) -> Tensor:
        refuse(inputs)
        dtype = next(iter(inputs.values())).dtype
        return loss({name: exact(item) for name, item in inputs.items()}, hyper).to(dtype)

    return checked


class _OtherInEvalMode(torch.nn.Module):
    """Halves the loss in eval mode."""

    def __init__(self, loss: Loss, signals: Sequence[str], hyper: Hyper) -> None:
        super().__init__()
        self.forward = taking(
            signals, lambda inputs: loss(inputs, hyper) * (1.0 if self.training else 0.5)
        )


def _remembering(loss: Loss, signals: Sequence[str], changed: str, hyper: Hyper) -> Any:
    """Return a loss that depends on the first batch of its life."""
    seen: list[Tensor] = []

    def remembered(inputs: Inputs) -> Tensor:
        seen.append(inputs[changed].detach().double().mean())
        shift = 0.1 * (seen[0] - seen[-1]).to(inputs[changed].dtype)
        return loss(inputs, hyper) + shift

    return taking(signals, remembered)


def _in_half(inputs: Inputs) -> Inputs:
    return {
        name: item.half() if getattr(item, "dtype", None) == torch.float32 else item
        for name, item in inputs.items()
    }


def common_mutants(loss: Loss, signals: Sequence[str], changed: str) -> tuple[Mutant, ...]:
    """Return broken variants of a correct loss, with faults in the result, gradient or state.

    Args:
        loss: the correct loss, which refuses malformed inputs.
        signals: the arguments of the loss.
        changed: the trainable signal that some faults affect.
    """

    def result(what: Callable[[Tensor, Tensor], object]) -> Callable[[Inputs, Hyper], object]:
        return lambda inputs, hyper: what(loss(inputs, hyper), inputs[changed])

    def changed_in_place(inputs: Inputs, hyper: Hyper) -> Tensor:
        score = loss({**inputs, changed: inputs[changed].clone()}, hyper)
        with torch.no_grad():
            inputs[changed].mul_(0.5)
        return score

    def drawing(score: Tensor, inputs: Tensor) -> Tensor:
        torch.rand(1)
        return score

    def lost_in_low_precision(score: Tensor, inputs: Tensor) -> Tensor:
        return score.detach() + 0 * inputs.sum() if inputs.dtype in _LOW else score

    def shared(**hyper: float) -> object:
        current.update(hyper)
        return keeper

    current: dict[str, float] = {}
    keeper = torch.nn.Module()
    keeper.forward = taking(signals, lambda inputs: loss(inputs, current))

    return (
        Mutant("sign", result(lambda score, x: -score)),
        Mutant("a-constant-added", result(lambda score, x: score + 0.01)),
        Mutant("a-hundredth-too-much", result(lambda score, x: 1.01 * score)),
        Mutant("norm-penalty-added", result(lambda score, x: score + 1e-3 * x.square().mean())),
        Mutant("gradient-halved", result(lambda score, x: 0.5 * score + 0.5 * score.detach())),
        Mutant("gradient-lost-in-low-precision", result(lost_in_low_precision)),
        Mutant(
            "computed-in-half",
            lambda inputs, hyper: loss(_in_half(inputs), hyper).to(inputs[changed].dtype),
        ),
        Mutant("returns-float32", result(lambda score, x: score.float())),
        Mutant("returns-a-number", result(lambda score, x: float(score.detach()))),
        Mutant("returns-a-vector", result(lambda score, x: score[None])),
        Mutant("returns-detached", result(lambda score, x: score.detach())),
        Mutant(
            "a-random-part", result(lambda score, x: score * (0.99 + 0.02 * float(torch.rand(()))))
        ),
        Mutant("draws-from-the-global-generator", result(drawing)),
        Mutant("changes-its-input", changed_in_place),
        Mutant(
            "remembers-the-first-batch",
            make=lambda **hyper: _remembering(loss, signals, changed, hyper),
        ),
        Mutant("other-in-eval-mode", make=lambda **hyper: _OtherInEvalMode(loss, signals, hyper)),
        Mutant("shared-object", make=shared),
    )
